"""Training the backbone too: videos to scores, in the memory of a few clips. The only part of the heads that
needs a decoder.
"""
