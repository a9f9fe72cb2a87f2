"""Synthetic dives: real video files whose scores, classes and captions are known by construction.

`dive` draws labels and faults, `judging` turns faults into marks and captions, `diver` moves the body,
`picture` draws it, `broadcast` puts the dives into videos and writes the annotations, `faults` says what each
fault cost and which frames show it, `keypoints` where the joints are.
"""

from .broadcast import render_broadcasts
from .keypoints import write_keypoints

__all__ = ["render_broadcasts", "write_keypoints"]
