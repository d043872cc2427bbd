"""Depth maps over HTTP, by the engine of `predict`: a service of requests, its application, its one page."""
