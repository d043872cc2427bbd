"""How good a model is: metrics, the protocols they are defined under, and the run that applies them."""
