"""Units of work: some videos with their samples, or a stretch of a long one, which make one part."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..annotations import Sample
from ..clips.rule import ClipRule
from ..errors import AqaError

UNIT_BYTES = 4 << 20
"""Of features, as float32: a unit ends at the sample that reaches them."""
UNIT_FRAMES = 256, 1 << 14
"""Of samples, at least and at most; a long video is divided at gaps between samples, so that no unit holds up
the rest. In between, so many that there are `UNITS` units or more.
"""
UNITS = 64
# Whole videos have no annotated end; they count as so many frames for each byte of the file.
_BYTES_PER_FRAME = 4096


@dataclass(frozen=True)
class Unit:
    """What one worker makes and puts at once.

    Args:
        samples: of whole videos, or of a stretch of one.
        frames: about how many are to be decoded, for the balance.
    """

    samples: tuple[Sample, ...]
    frames: int

    @property
    def videos(self) -> list[str]:
        return list(dict.fromkeys(sample.video for sample in self.samples))


def make_units(
    samples: Sequence[Sample], rule: ClipRule, row_bytes: int, size_of: Callable[[str], int]
) -> list[Unit]:
    """Divide samples, in the order in which their videos come first; every worker that has the same samples
    divides them in the same way.

    Args:
        row_bytes: of one clip's feature, over all views.
        size_of: bytes of a video.
    """
    by_video: dict[str, list[Sample]] = {}
    for sample in samples:
        by_video.setdefault(sample.video, []).append(sample)
    stretches = [part for each in by_video.values() for part in _stretches(each)]
    most_frames = _most_frames(sum(map(_span, stretches)))
    units: list[Unit] = []
    open_samples: list[Sample] = []
    size = frames = 0
    for stretch in stretches:
        if any(sample.end_frame is None for sample in stretch):
            units.append(Unit(tuple(stretch), size_of(stretch[0].video) // _BYTES_PER_FRAME))
            continue
        open_samples += stretch
        frames += _span(stretch)
        size += row_bytes * sum(clips_of(sample, rule) for sample in stretch)
        if size >= UNIT_BYTES or frames >= most_frames:
            units.append(Unit(tuple(open_samples), frames))
            open_samples, size, frames = [], 0, 0
    if open_samples:
        units.append(Unit(tuple(open_samples), frames))
    return units


def _stretches(samples: list[Sample]) -> Iterator[list[Sample]]:
    """Samples of one video, divided where no frame lies between two of them that both take."""
    if any(sample.end_frame is None for sample in samples):
        yield samples
        return
    stretch: list[Sample] = []
    reached = 0
    for sample in sorted(samples, key=lambda sample: (sample.start_frame or 0, sample.end_frame or 0)):
        if stretch and (sample.start_frame or 0) >= reached:
            yield stretch
            stretch = []
        stretch.append(sample)
        reached = max(reached, sample.end_frame or 0)
    yield stretch


def _most_frames(total: int) -> int:
    """A power of two, so that the divisions stay where they are while a table grows to twice its length."""
    least, most = UNIT_FRAMES
    return min(most, max(least, 1 << max(0, (total // UNITS).bit_length() - 1)))


def _span(stretch: list[Sample]) -> int:
    """Frames; 0 of whole videos, whose number only decoding tells."""
    if any(sample.end_frame is None for sample in stretch):
        return 0
    first = min(sample.start_frame or 0 for sample in stretch)
    return max(sample.end_frame or 0 for sample in stretch) - first


def clips_of(sample: Sample, rule: ClipRule) -> int:
    """How many it will have; 1 where only decoding tells, or where it will fail."""
    if sample.end_frame is None:
        return 1
    try:
        return len(rule.first_frames(sample.start_frame or 0, sample.end_frame))
    except AqaError:
        return 1
