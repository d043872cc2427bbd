"""Dense Prediction Transformers (Ranftl et al. 2021, arXiv 2103.13413): inverse depth, or a label for every pixel.

Read `encoder`, `backbone` (the hybrid's convolutions), `decoder`, `network` in this order; they follow the paper's
section 3. What it shares with Depth Anything is in `glpn_cli.models.dense`.
"""
