"""How networks learn: the recipe, its course, and the loop."""
