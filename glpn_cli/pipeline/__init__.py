"""Runs over many inputs: plan, read, predict, write and report.

settings     what a run is told
search       names -> files
sources      the inputs: pictures and stored maps, each looked into once
pairing      pictures and the maps beside them
naming       how outputs are named
outputs      the files that an input becomes
plan         what is left to do for each input, and everything that can be refused before a model is loaded
plan_stream  the same for a list that is still being written
stages       one input on its way: read, predict, write
engine       many at once, in bounded memory
run          the two runs: a plan, and a stream
many         many pictures of a program, or frames of a clip, through the engine
report       outcomes, JSON records, counts and the exit code
gallery      an HTML page
measuring    distances in a map
"""
