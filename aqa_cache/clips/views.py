"""Views of a sample: the same clips mirrored or a few frames earlier or later, stored beside the plain ones.

The cache replaces augmentation while training: what would be drawn anew in every epoch is extracted once.
"""

import re
from dataclasses import dataclass

from ..errors import AqaError

MAX_JITTER = 16


@dataclass(frozen=True, order=True)
class View:
    """One variant of a sample's clips.

    Args:
        shift: frames by which every clip begins later; negative: earlier.
        flip: whether the prepared frames are mirrored left to right.
    """

    shift: int = 0
    flip: bool = False

    @property
    def name(self) -> str:
        """`plain`, `flip`, `shift-3`, `flip,shift+1`, …"""
        parts = ["flip"] * self.flip + [f"shift{self.shift:+d}"] * bool(self.shift)
        return ",".join(parts) or "plain"


PLAIN = View()


def parse_views(text: str | None) -> tuple[View, ...]:
    """The views that `flip,jitter=3` asks for, the plain one first.

    `flip` doubles them; `jitter=N` adds shifts of 1 to N frames in both directions. `flip,jitter=3` gives 14.

    Raises:
        AqaError: anything else.

    Source: Parmar & Morris 2019 draw a flip and a shift of up to 3 frames for each sample and epoch. Differs:
    they shift the whole window of a sample, and so does a view; a view that leaves the video is stored as
    absent, where theirs reads other frames.
    """
    flip, jitter = False, 0
    for part in (text or "").replace(" ", "").split(","):
        if part == "flip":
            flip = True
        elif match := re.fullmatch(r"jitter=([0-9]+)", part):
            jitter = int(match[1])
            if not 1 <= jitter <= MAX_JITTER:
                raise AqaError(f"jitter is {jitter} frames, it must be 1 to {MAX_JITTER}")
        elif part and part != "plain":
            raise AqaError(
                f"unknown view {part!r} in {text!r}; expected flip, jitter=N or both, such as flip,jitter=3"
            )
    shifts = sorted(range(-jitter, jitter + 1), key=lambda shift: (abs(shift), shift))
    return tuple(
        View(shift, mirrored) for mirrored in ((False, True) if flip else (False,)) for shift in shifts
    )
