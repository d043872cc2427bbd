"""Runs on many machines: the tasks of a plan go to the actors of a Ray cluster, and their outcomes come back."""
