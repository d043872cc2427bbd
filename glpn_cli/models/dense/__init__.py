"""What the families share that are a vision transformer with the decoder of DPT (arXiv 2103.13413).

`transformer` turns a picture into tokens, `decoder` tokens into depth. `config` and `weights` say the same without
torch.
"""
