"""Many inputs, one run: plan -> decode -> infer -> encode -> publish, in bounded queues, with one report.

policies    what a run may do and what it forgives
naming      what a result is called
inputs      what was named, found and told apart; stored: depth maps among it
tasks       an input, the files it becomes, and the rules that say which
judging     what is there already
plan        all of a run, and everything that can be refused before a model is loaded
streaming   the same one by one, for lists that are still being written
engine      threads that decode and write around the main thread, which computes
stages      what the engine asks of a kind of run; jobs: one task on its way through them
intake      tasks on their way in; batches: which of them go through the network next; crew: the threads
running     a plan through the engine
outcome     what became of an input; counts, exit code
records     the same as JSON lines (records.schema.json)
outputs     what is made of them, and which options that has a use for
network     the model that a run asks; answers: what it says
predicting, labelling, exporting, doubting
            what the two commands put through the engine
"""
