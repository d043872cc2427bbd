"""Clips: frames of a video in, depth or colours of every frame out.

library      PyAV, the one reader and writer of containers and codecs (extra `video`)
settings     which frames are asked for; find: the clips among the inputs
clip         reading, frame by frame; frame: one of them; colors: from a decoded frame to 8-bit sRGB
target       the file that a clip becomes, and whether it is there already
depth_clip   depth in a video file, written and read; painted_clip: colours, with the sound
run          a run over clips and the pictures beside them; plan: what makes sense of it
steady       maps of a film without flicker; motion: the camera's, between two pictures
to_file      a clip becomes a video file; making: the file while it is written; to_folder: every frame becomes files
"""
