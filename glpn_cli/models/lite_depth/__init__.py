"""Depth on an EfficientNet-Lite encoder (Tan and Le 2019, arXiv 1905.11946; Lite: TensorFlow's repository, 2020).

Read `config` for the stages of the encoder, then `encoder`, `decoder`, `network`. The decoder is this project's own.
"""
