"""Clips: frames of a video in, depth or colours of every frame out.

library    PyAV, the one reader and writer of containers and codecs (extra `video`)
"""
