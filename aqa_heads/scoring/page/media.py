"""What a page shows of a video: a player where browsers play it, and stills of the clips in any case."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote

from aqa_cache.errors import AqaError, VideoError, escaped

from ..results import Score
from ..stills import pictures

MOST_STILLS = 24
_WIDTH, _WIDTH_WITHOUT_PLAYER, _QUALITY = 320, 560, 82  # pixels; of JPEG
# Codecs by suffix of the file, as Chromium, Firefox and Safari of 2026 play them, and their pixel formats.
_MP4 = {"h264": ("yuv420p", "yuvj420p"), "av1": ("yuv420p", "yuv420p10le"), "vp9": ("yuv420p",)}
_PLAYED = {
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": {"h264": _MP4["h264"]},
    ".webm": {"vp8": ("yuv420p",), "vp9": ("yuv420p", "yuv420p10le"), "av1": _MP4["av1"]},
}


@dataclass(frozen=True)
class Stretch:
    """A clip, or the whole action where clips are not told apart.

    Args:
        clip: its number, from 0 up; None: the whole.
        frames: `[first, end)` in the video; None where they are not known, as of imported features.
        seconds: likewise, on a player's clock; None where the source has no times.
        points: what it adds; None where that is not said.
    """

    clip: int | None
    frames: tuple[int, int] | None
    seconds: tuple[float, float] | None = None
    points: float | None = None


@dataclass(frozen=True)
class Media:
    """What the page of one sample shows of its video.

    Args:
        stretches: in the order of time; empty where neither frames nor clips are known.
        href: of the video, as its page names it; None: it is not played, a note says why.
        stills: JPEG of the middle frame, by place among the stretches; of some where there are many.
        notes: what is to be said of player and stills.
    """

    stretches: tuple[Stretch, ...] = ()
    href: str | None = None
    stills: dict[int, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> tuple[float, float] | None:
        """Of all that was scored, on a player's clock."""
        first, last = (
            (self.stretches[0].seconds, self.stretches[-1].seconds) if self.stretches else (None, None)
        )
        return None if first is None or last is None else (first[0], last[1])


def media_of(score: Score, folder: Path | None, page: Path, stream: int | None = None) -> Media:
    """What a page shows of a sample's video.

    Args:
        folder: what the sample's video is relative to; None: it was scored from cached features.
        page: the folder of the page.
        stream: index of the video stream that was scored; None: the best one.
    """
    stretches = _stretches(score)
    if folder is None:
        return Media(stretches, None, {}, ("Scored from cached features: the video was not at hand.",))
    path = folder / score.video
    href, notes = None, []
    if path.is_dir():
        notes.append("Images have no times, so there is nothing to play.")
    else:
        try:
            stretches = _timed(path, stretches, stream)
            href, why = _played(path, page, stream)
            notes += [why] if why else []
        except VideoError as error:
            notes.append(f"Nothing to play: {error}")
    try:
        stills = _stills(path, stretches, stream, _WIDTH if href else _WIDTH_WITHOUT_PLAYER)
    except AqaError as error:
        stills, notes = {}, [*notes, f"No stills: {error}"]
    return Media(stretches, href, stills, tuple(notes))


def _stretches(score: Score) -> tuple[Stretch, ...]:
    made = score.contributions
    if made is None:
        return () if score.frames is None else (Stretch(None, score.frames),)
    if score.frames is None or made.clips[0].first_frame < 0:
        return tuple(Stretch(clip.clip, None, None, clip.points) for clip in made.clips)
    span = score.frames[1] - made.clips[-1].first_frame
    return tuple(
        Stretch(clip.clip, (clip.first_frame, clip.first_frame + span), None, clip.points)
        for clip in made.clips
    )


def _timed(path: Path, stretches: Sequence[Stretch], stream: int | None) -> tuple[Stretch, ...]:
    """With the moments at which a player shows the frames."""
    from aqa_cache.video.times import frame_times

    times = frame_times(path, stream)
    gap = times[-1] - times[-2] if len(times) > 1 else 0.0
    times.append(times[-1] + gap)

    def at(frames: tuple[int, int]) -> tuple[float, float]:
        return times[min(frames[0], len(times) - 1)], times[min(frames[1], len(times) - 1)]

    return tuple(one if one.frames is None else replace(one, seconds=at(one.frames)) for one in stretches)


def _played(path: Path, page: Path, stream: int | None) -> tuple[str | None, str]:
    """The link from a page to a video that browsers play, and what is to be said of it."""
    from aqa_cache.video.opening import opened

    known = _PLAYED.get(path.suffix.lower(), {})
    with opened(path, stream) as (container, video):
        codec, pixels = video.codec_context.name, str(video.codec_context.pix_fmt)
        # Decoders have names of their own: libdav1d decodes av1.
        codec = {"libdav1d": "av1", "libvpx-vp9": "vp9", "libvpx": "vp8"}.get(codec, codec)
        several = len(container.streams.video) > 1
    if several:
        return (
            None,
            "The file has several video streams, and players choose by themselves: stills alone.",
        )
    if pixels not in known.get(codec, ()):
        return None, (
            f"Browsers do not play this video ({codec}, {pixels}, {path.suffix or 'no suffix'}): stills"
            " alone."
        )
    try:
        relative = os.path.relpath(os.path.abspath(path), os.path.abspath(page))
    except ValueError:  # another drive
        return None, "The video lies on another drive than this page, where no link leads: stills alone."
    href = quote(os.fsencode(Path(relative).as_posix()))
    if relative.split(os.sep)[0] != os.pardir:
        return f"./{href}", ""
    return f"./{href}", (
        f"The video stays where it is, {escaped(Path(relative).as_posix())} as seen from this page; where one"
        " of them is moved alone, stills remain."
    )


def _stills(path: Path, stretches: Sequence[Stretch], stream: int | None, width: int) -> dict[int, bytes]:
    """The middle frames of at most `MOST_STILLS` stretches, as JPEG."""
    every = -(-len(stretches) // MOST_STILLS) or 1
    chosen = ((place, stretches[place].frames) for place in range(0, len(stretches), every))
    middle = {place: sum(frames) // 2 for place, frames in chosen if frames is not None}

    def size(of_frame: int, height: int) -> tuple[int, int]:
        shown = min(of_frame, width)
        return shown, max(1, round(height * shown / of_frame))

    found = pictures(path, middle.values(), size, _QUALITY, stream)
    return {place: found[frame] for place, frame in middle.items() if frame in found}
