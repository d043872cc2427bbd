"""Depth models that have no family here, run through transformers: ZoeDepth, Depth Pro and those to come.

Read `config` for what is known of them, `network` for how they are loaded, `processor` for pictures in and depth out.
Needs the extra `transformers`, which is imported only when such a model is used.
"""
