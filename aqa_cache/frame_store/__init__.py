"""Decoded frames on disk, for training the backbone."""
