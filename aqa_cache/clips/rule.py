"""Which frames of a sample form its clips."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import AqaError
from ..short_repr import short_repr
from .records import check_clip_rule

CLIP_LEN = 16
MTL_AQA_WINDOW = 103
DROP, FROM_END = LAST_CLIPS = "drop", "from-end"
CORE_CLIP_STARTS = (0, 10, 20, 30, 40, 50, 60, 70, 80, 86)
MUSDL_CLIP_STARTS = (*CORE_CLIP_STARTS[:-1], 87)
CLIP_STARTS = {"core": CORE_CLIP_STARTS, "musdl": MUSDL_CLIP_STARTS}
"""By the names that `--clip-starts` takes; both are of a window of 103 frames."""


@dataclass(frozen=True)
class ClipRule:
    """How a sample's frames `[start, end)` are cut into clips::

        start                                   end
          |-- clip 0 --|-- clip 1 --| ... |rest|      rest: frames behind the last clip that fits
          |<--stride-->|         |-- last clip --|

    Args:
        clip_len: frames in a clip.
        clip_stride: frames from the start of a clip to the start of the next.
        frame_step: frames from one frame of a clip to the next; 2 takes every other frame.
        window: use only the last `window` frames of the sample, also where its annotated start is later.
            None: all of it.
        clip_starts: explicit first frames, counted from the start of the window or sample; replaces
            `clip_stride`.
        last_clip: `drop` leaves the rest unused; `from-end` adds a clip that ends with the last frame, where
            there is a rest.

    Raises:
        AqaError: a value that makes no clips.

    Source: Parmar & Morris 2019 (MTL-AQA) take the 103 frames that end at `end_frame`, 6 clips of 16 frames
    in a row, whatever the annotated start; `ClipRule(window=103)` gives the same frames. Their loop stops one
    frame early (a window of 96 would give them 5 clips, here 6); with 103 there is no difference.
    `clip_starts` of CoRe (Yu et al. 2021) and T2CR: `CORE_CLIP_STARTS`; of USDL and MUSDL (Tang et al. 2020)
    and DAE: `MUSDL_CLIP_STARTS`.
    """

    clip_len: int = CLIP_LEN
    clip_stride: int = CLIP_LEN
    frame_step: int = 1
    window: int | None = None
    clip_starts: tuple[int, ...] | None = None
    last_clip: str = DROP

    __repr__ = short_repr

    def __post_init__(self):
        for name in ("clip_len", "clip_stride", "frame_step"):
            if getattr(self, name) < 1:
                raise AqaError(f"{name} is {getattr(self, name)}, it must be at least 1")
        if self.window is not None and self.window < self.clip_span:
            raise AqaError(
                f"window is {self.window} frames but one clip spans {self.clip_span}; use a window at least"
                " as long"
            )
        if self.last_clip not in LAST_CLIPS:
            raise AqaError(f"last_clip is {self.last_clip!r}, expected one of {', '.join(LAST_CLIPS)}")
        if self.clip_starts is not None:
            if self.last_clip != DROP:
                raise AqaError(
                    f"clip_starts say which clip is the last, and last_clip {self.last_clip} does too; give"
                    " one of them"
                )
            if (
                not self.clip_starts
                or min(self.clip_starts) < 0
                or list(self.clip_starts) != sorted(set(self.clip_starts))
            ):
                raise AqaError(
                    f"clip starts {list(self.clip_starts)} must be different frame numbers from 0 up, in"
                    " order"
                )
            if self.window is not None and self.clip_starts[-1] + self.clip_span > self.window:
                raise AqaError(
                    f"the clip that starts at {self.clip_starts[-1]} spans {self.clip_span} frames and leaves"
                    f" the window of {self.window}"
                )

    @property
    def clip_span(self) -> int:
        """Frames from the first to the last frame of a clip, both counted."""
        return (self.clip_len - 1) * self.frame_step + 1

    @property
    def needs_end(self) -> bool:
        """Whether clips depend on where the sample ends, before its frames are read."""
        return self.window is not None or self.last_clip == FROM_END

    def first_frames(self, start: int, end: int) -> list[int]:
        """First frame of every clip of a sample that has frames `[start, end)`, 0-based in the video.

        Raises:
            AqaError: the sample is too short for one clip, or the window begins before the video does.
        """
        if self.window is not None:
            if end < self.window:
                raise AqaError(
                    f"the window of {self.window} frames that ends at frame {end} begins before the video"
                    f" does; an action must end at frame {self.window} at the earliest"
                )
            start = end - self.window
        if self.clip_starts is not None:
            if start + self.clip_starts[-1] + self.clip_span > end:
                raise AqaError(
                    f"has {end - start} frames, but the clip that starts at {self.clip_starts[-1]} needs "
                    f"{self.clip_starts[-1] + self.clip_span}"
                )
            return [start + first for first in self.clip_starts]
        if end - start < self.clip_span:
            raise AqaError(f"has {end - start} frame(s), shorter than one clip of {self.clip_span}")
        firsts = list(range(start, end - self.clip_span + 1, self.clip_stride))
        if self.last_clip == FROM_END and firsts[-1] + self.clip_span < end:
            firsts.append(end - self.clip_span)
        return firsts

    def record(self) -> dict[str, Any]:
        """The rule as it enters the fingerprint; what does not apply is null, and `drop` is not written, as
        it was the only way before there was another.
        """
        record = asdict(self)
        if self.last_clip == DROP:
            del record["last_clip"]
        if self.clip_starts is not None:
            record["clip_starts"] = list(self.clip_starts)
            record["clip_stride"] = None
        return record

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "ClipRule":
        """The rule of a record; its key `stream`, where a cache has one, is no part of the rule.

        Raises:
            AqaError: keys are lacking or not known, or a value is none of its kind or makes no clips.
        """
        check_clip_rule(record)
        record = {name: value for name, value in record.items() if name != "stream"}
        expected = {field.name for field in fields(cls)} - {"last_clip"}
        if record.keys() - {"last_clip"} != expected:
            raise AqaError(
                f"a clip rule has the keys {', '.join(sorted(record)) or 'none'}, expected"
                f" {', '.join(sorted(expected))}"
            )
        if record["clip_starts"] is None and record["clip_stride"] is None:
            raise AqaError("a clip rule has neither clip_stride nor clip_starts, expected one of them")
        if record["clip_starts"] is not None:
            record["clip_starts"] = tuple(record["clip_starts"])
            del record["clip_stride"]
        return cls(**record)
