"""Many inputs, one run: plan -> decode -> infer -> encode -> publish, in bounded queues, with one report.

naming    what a result is called
plan      which file becomes which, what is there already, and everything that can be refused before a model is loaded
engine    threads that decode and write around the main thread, which computes
outcome   what became of an input; counts, exit code
records   the same as JSON lines (schema: records.schema.json)
predicting, exporting
          what the two commands put through the engine
"""
