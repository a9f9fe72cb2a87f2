"""The law of jumping: what comes out for a choice of frames is what decoding all of them gives."""

import contextlib
import hashlib
import random
from pathlib import Path

from aqa_cache.logs import handled
from aqa_cache.video.decoder import Decoder, Frame
from aqa_cache.video.decoding import decode


def content(frame: Frame) -> tuple[int, str, str]:
    """A frame's number, time and pixels, to be compared."""
    return frame.index, f"{frame.pts_seconds!r}", hashlib.sha256(frame.rgb().tobytes()).hexdigest()


def random_ranges(frames: int, seed: int) -> list[tuple[int, int | None]]:
    """One to three ranges, some of them past the end of the video or open."""
    rng = random.Random(seed)
    cuts = sorted(rng.sample(range(frames + frames // 4), 2 * rng.randint(1, 3)))
    ranges = list(zip(cuts[::2], cuts[1::2], strict=True))
    return [*ranges[:-1], (ranges[-1][0], None)] if seed % 3 == 0 else ranges


@contextlib.contextmanager
def counted_pictures():
    """Counts the pictures that decoders give, in the first place of a list."""
    count, read = [0], Decoder.pictures

    def counting(decoder):
        for picture in read(decoder):
            count[0] += 1
            yield picture

    Decoder.pictures = counting
    try:
        yield count
    finally:
        Decoder.pictures = read


def check_jumps(path: Path, trials: int = 6) -> tuple[int, int, list[str]]:
    """Check the law on random ranges, with one and two threads by turns.

    Returns:
        How many pictures were decoded, how many it would have been without jumps, and what was logged.
    """
    everything = {frame.index: content(frame) for frame in decode(path)}
    count, plain = len(everything), 0
    said: list[str] = []
    with counted_pictures() as decoded, handled(lambda record: said.append(record.getMessage())):
        for seed in range(trials):
            ranges = random_ranges(count, seed)
            wanted = {
                n for start, end in ranges for n in range(start, min(count, count if end is None else end))
            }
            if ranges[-1][1] is None or ranges[-1][1] > count:
                wanted.add(count - 1)
            got = [content(frame) for frame in decode(path, threads=1 + seed % 2, wanted=ranges)]
            numbers = [number for number, *_ in got]
            assert numbers == sorted(set(numbers)) and wanted <= set(numbers), ranges
            assert got == [everything[number] for number in numbers], ranges
            plain += max(wanted) + 1
    return decoded[0], plain, said
