"""The networks: families of them, the names users know them by, and how their weights are read and written."""
