"""Video to clip features on disk: decode, clips, backbones, weights, and the cache file. Knows no losses and no heads."""

__version__ = "0.1.0"
