"""Depth Anything (Yang et al. 2024, arXiv 2401.10891 and 2406.09414): inverse depth of any scene, or metres.

A DINOv2 (Oquab et al. 2023, arXiv 2304.07193) with the decoder of DPT. Read `encoder`, then `network`; what it shares
with DPT is in `glpn_cli.models.dense`.
"""
