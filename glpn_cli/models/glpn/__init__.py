"""Global-Local Path Networks (Kim et al. 2022, arXiv 2201.07436).

Read `encoder`, `decoder`, `network`, `loss` in this order: they follow section 3 of the paper, on the encoder, the
lightweight decoder, its selective feature fusion, and the training loss. (Vertical CutDepth is an augmentation of
pictures, and stands in `glpn_cli.data.augment`.)
"""
