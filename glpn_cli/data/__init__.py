"""What networks learn from: pictures with depth, on disk or rendered."""
