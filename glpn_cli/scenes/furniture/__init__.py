"""Furniture and clutter, by the place where it is found; each maker draws sizes from chance and answers a `Piece`."""
