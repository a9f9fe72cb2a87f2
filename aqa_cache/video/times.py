"""From times in a video to its frames, by its own time stamps."""

import bisect
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ..errors import AnnotationError, VideoError, listed
from ..sample import Sample
from .decoding import decode
from .frame_index import Doubtful, index_frames
from .opening import opened
from .packets import read_packets

_ROUNDING = 0.0005  # seconds; tables give milliseconds


def frame_times(path: Path, stream: int | None = None) -> list[float]:
    """When each frame is shown, in seconds after the first.

    Raises:
        VideoError: it cannot be read, or has no times, as folders of frames have none.
    """
    if path.is_dir():
        raise VideoError(path.name, "is a folder of frames, which have no times; give start_frame, end_frame")
    with opened(path, stream) as (container, video):
        try:
            ticks = index_frames(read_packets(path, container, video), video).times
            return [float((tick - ticks[0]) * video.time_base) for tick in ticks]
        except Doubtful:
            pass
    seconds = [frame.pts_seconds for frame in decode(path, stream)]
    if any(time != time for time in seconds):
        raise VideoError(path.name, "has frames without a time; give start_frame, end_frame")
    return [time - seconds[0] for time in seconds]


def frame_at(times: Sequence[float], seconds: float) -> int:
    """The first frame that is shown at a time or later; as many as there are where none is."""
    return bisect.bisect_left(times, seconds - _ROUNDING)


def with_frames(
    folder: Path,
    samples: Sequence[Sample],
    times: Mapping[str, tuple[float | None, float | None]],
    stream: int | None = None,
) -> list[Sample]:
    """The samples, with frames in place of times.

    An action has the frames that are shown from its begin on and before its end, so that of two that follow
    each other none has a frame of the other.

    Args:
        times: begin and end by sample_id, in seconds after the first frame.

    Raises:
        AnnotationError: videos that cannot be read or have no times, times outside their video; all at once.
    """
    by_video: dict[str, list[float]] = {}
    mistakes: dict[str, str] = {}
    made = []
    for sample in samples:
        bounds = times.get(sample.sample_id)
        if bounds and sample.video not in by_video and sample.video not in mistakes:
            try:
                by_video[sample.video] = frame_times(folder / sample.video, stream)
            except VideoError as error:
                mistakes[sample.video] = str(error)
        if bounds and sample.video in by_video:
            try:
                sample = _within(sample, by_video[sample.video], bounds)
            except ValueError as error:
                mistakes[sample.sample_id] = f"{sample.sample_id} ({sample.video}): {error}"
        made.append(sample)
    if mistakes:
        raise AnnotationError(
            f"times of the annotations cannot be turned into frames:{listed([*mistakes.values()], 20)}"
        )
    return made


def _within(sample: Sample, times: Sequence[float], bounds: tuple[float | None, float | None]) -> Sample:
    start, end = bounds
    gap = statistics.median(b - a for a, b in zip(times, times[1:])) if len(times) > 1 else 0.0
    lasts = times[-1] + gap
    for name, time in (("start", start), ("end", end)):
        if time is not None and time > lasts + max(gap, _ROUNDING):
            raise ValueError(
                f"{name} is {time:g} s, but the video lasts {lasts:.3f} s; correct it, or its unit"
                " (a spreadsheet takes 1:05 for one hour and five minutes, 0:01:05 is plain)"
            )
    first = None if start is None else frame_at(times, start)
    behind = None if end is None else frame_at(times, end)
    last = len(times) if behind is None else behind
    if (first or 0) >= last:
        raise ValueError(f"no frame is shown from {start or 0:g} s to {lasts if end is None else end:g} s")
    return replace(sample, start_frame=first, end_frame=behind)
