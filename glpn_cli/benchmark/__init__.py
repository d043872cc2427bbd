"""How fast a model is on this machine, stage by stage, beside the machine's own limit and beside transformers.

timings     repeated measurements, in turns, and what they say
processes   whole processes: seconds and peak memory
machine     the machine's own matrix product, in turns with the network
subjects    what is measured where nothing is named: pictures, and random weights of published sizes
stages      one model in this process, stage by stage
agreement   whether two programs answer alike
peer        the same by transformers, where that is installed
"""
