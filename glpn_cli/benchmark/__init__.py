"""How fast a model is on this machine, stage by stage, beside the machine's own limit and beside transformers.

timing      repeated timings in turns; whole processes, their seconds and peak memory
synthetic   made pictures, and models of published sizes with random weights
stages      one model in this process, stage by stage, and the machine's matrix product
peer        the same model in transformers, where that is installed
agreement   whether the results of both agree
measure     all of it for one model
"""
