"""Global-Local Path Networks (Kim et al. 2022, arXiv 2201.07436).

Read `encoder`, `decoder`, `network` in this order: they follow section 3 of the paper, on the encoder, the lightweight
decoder and its selective feature fusion. The training loss is in `glpn_cli.models.losses`, and Vertical CutDepth, an
augmentation of pictures, in `glpn_cli.data.augment`.
"""
