"""One video, decoded once, to the clips of all its samples."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..annotations import Sample
from ..clips.assembler import Clip, ClipAssembler
from ..clips.preprocess import FramePreparer
from ..clips.rule import ClipRule
from ..clips.views import PLAIN, View
from ..errors import AqaError, VideoError
from .decoder import Stopped
from .decoding import decode
from .held import Videos
from .missing import missing_video
from .probing import expected_frames


@dataclass(frozen=True)
class Outcome:
    """A decoding thread is through with a sample.

    Args:
        clips: how many clips of each view it handed over; the sample has as many as its plain view.
        reason: why it has none.
    """

    sample: int
    clips: tuple[int, ...] = ()
    reason: str = ""


class VideoReader:
    """Decodes one video for all its samples.

    Args:
        path: the video.
        samples: by key, the samples it holds.
        rule: how they are cut into clips.
        stream: index of the video stream; None: the best one.
        views: of every sample.
        far: of a video that has to be fetched first, see `held.Videos`; `path` is then only its name.
    """

    def __init__(
        self,
        path: Path,
        samples: dict[int, Sample],
        rule: ClipRule,
        stream: int | None = None,
        views: Sequence[View] = (PLAIN,),
        far: Videos | None = None,
    ):
        self.path, self.samples, self._far = path, samples, far
        self._rule, self._stream, self._views = rule, stream, views

    def estimate_clips(self) -> int:
        """About how many clips will come, from annotations and headers, for a progress bar."""
        clips, length = 0, None
        for sample in self.samples.values():
            end = sample.end_frame
            if end is None and self._far is not None:
                continue
            if end is None:
                length = length if length is not None else expected_frames(self.path, self._stream)
                end = length
            with contextlib.suppress(AqaError):
                clips += len(self._rule.first_frames(sample.start_frame or 0, end)) * len(self._views)
        return clips

    def read(
        self, prepare: FramePreparer, go_on: Callable[[], bool] = lambda: True, threads: int = 1
    ) -> Iterator[Clip | Outcome]:
        """Clips as they are completed, and one outcome for every sample, after its last clip.

        Args:
            prepare: resizes and crops frames.
            go_on: called at every picture that is decoded, may wait; when it returns False, nothing more
                comes.
            threads: decoding threads of the codec.
        """
        with contextlib.suppress(Stopped):
            if self._far is None:
                yield from self._read(prepare, go_on, threads)
            else:
                yield from self._read_fetched(self._far, prepare, go_on, threads)

    def _read_fetched(
        self, videos: Videos, prepare: FramePreparer, go_on: Callable[[], bool], threads: int
    ) -> Iterator[Clip | Outcome]:
        name = self.path.as_posix()
        with contextlib.ExitStack() as stack:
            try:
                self.path = stack.enter_context(videos.at_hand(name, go_on))
            except (FileNotFoundError, VideoError) as error:
                reason = error.reason if isinstance(error, VideoError) else videos.missing(name)
                for key in self.samples:
                    yield Outcome(key, reason=reason)
                return
            yield from self._read(prepare, go_on, threads)

    def _read(
        self, prepare: FramePreparer, go_on: Callable[[], bool], threads: int
    ) -> Iterator[Clip | Outcome]:
        if not self.path.exists():
            for key in self.samples:
                yield Outcome(key, reason=missing_video(self.path))
            return
        spans: dict[int, tuple[int, int | None]] = {}
        length = None
        for key, sample in self.samples.items():
            start, end = sample.start_frame or 0, sample.end_frame
            try:
                if end is None and self._rule.needs_end:
                    # The last clip ends where the video does, and only decoding tells where that is.
                    length = length if length is not None else self._count_frames(go_on, threads)
                    end = length
                    if start >= end:
                        raise AqaError(_behind(start, end))
                if end is not None:
                    self._rule.first_frames(start, end)
                spans[key] = (start, end)
            except VideoError as error:
                yield Outcome(key, reason=error.reason)
            except AqaError as error:
                yield Outcome(key, reason=str(error))
        if spans:
            yield from self._read_spans(spans, prepare, go_on, threads)

    def _count_frames(self, go_on: Callable[[], bool], threads: int) -> int:
        return sum(1 for _ in decode(self.path, self._stream, threads=threads, go_on=go_on))

    def _read_spans(
        self,
        spans: dict[int, tuple[int, int | None]],
        prepare: FramePreparer,
        go_on: Callable[[], bool],
        threads: int,
    ) -> Iterator[Clip | Outcome]:
        assembler = ClipAssembler(self._rule, spans, self._views)
        latest = max(view.shift for view in self._views)
        # Samples are done when their last frame was seen, also where no clip uses it: a range past the end is
        # a mistake.
        by_end = sorted(
            (key for key, span in spans.items() if span[1] is not None), key=lambda key: -spans[key][1]
        )
        handed = {key: [0] * len(self._views) for key in spans}
        open_ended = len(by_end) < len(spans)
        available, damage = 0, ""
        frames = decode(self.path, self._stream, threads=threads, wanted=self._wanted(spans), go_on=go_on)
        shifted: set[int] = set()
        try:
            for frame in frames:
                if frame.index == 0 and frame.missing:
                    shifted = {key for key in spans if self._has_range(key)}
                    by_end = [key for key in by_end if key not in shifted]
                    for key in shifted:
                        yield Outcome(key, reason=_shifted(frame.missing))
                    if len(shifted) == len(spans):
                        return
                if assembler.needs(frame.index):
                    for clip in assembler.feed(frame.index, frame.pts_seconds, prepare(frame.rgb())):
                        if clip.sample in shifted:
                            continue
                        handed[clip.sample][clip.view] += 1
                        yield clip
                available = frame.index + 1  # not before its pixels, which may turn out not to be readable
                while by_end and spans[by_end[-1]][1] + latest <= available:
                    key = by_end.pop()
                    yield Outcome(key, tuple(handed[key]))
                if not by_end and not open_ended:
                    return
        except VideoError as error:
            damage = error.reason
        for key in by_end:
            yield self._close_bounded(key, spans[key], available, handed[key], damage)
        for key in (key for key, span in spans.items() if span[1] is None and key not in shifted):
            yield self._close_open_ended(key, spans[key][0], available, handed[key], damage)

    def _has_range(self, key: int) -> bool:
        sample = self.samples[key]
        return bool(sample.start_frame) or sample.end_frame is not None

    def _wanted(self, spans: dict[int, tuple[int, int | None]]) -> list[tuple[int, int | None]]:
        """The frames that the samples' clips and their views may take, as sorted ranges that do not touch."""
        shifts = [view.shift for view in self._views]
        ranges: list[tuple[int, int | None]] = []
        firsts = {key: self._first_frame(span) for key, span in spans.items()}
        for key in sorted(spans, key=firsts.__getitem__):
            start, end = max(0, firsts[key] + min(shifts)), spans[key][1]
            end = None if end is None else end + max(shifts)
            if ranges and (ranges[-1][1] is None or start <= ranges[-1][1]):
                earlier = ranges.pop()
                ends = (earlier[1], end)
                start, end = earlier[0], None if None in ends else max(ends)
            ranges.append((start, end))
        return ranges

    def _first_frame(self, span: tuple[int, int | None]) -> int:
        start, end = span
        return start if end is None else self._rule.first_frames(start, end)[0]

    def _close_bounded(
        self, key: int, span: tuple[int, int], available: int, handed: list[int], damage: str
    ) -> Outcome:
        start, end = span
        if end <= available:
            return Outcome(key, tuple(handed))
        first = end - self._rule.window if self._rule.window is not None else start
        why = (
            f"the video {damage}"
            if damage
            else f"the video has {available}; correct end_frame in the annotations or drop the row"
        )
        return Outcome(key, reason=f"needs frames [{first}, {end}) but {why}")

    def _close_open_ended(
        self, key: int, start: int, available: int, handed: list[int], damage: str
    ) -> Outcome:
        if damage:
            return Outcome(key, reason=damage)
        if start >= available:
            return Outcome(key, reason=_behind(start, available))
        try:
            expected = len(self._rule.first_frames(start, available))
        except AqaError as error:
            return Outcome(key, reason=str(error))
        assert handed[0] == expected, (handed, expected)
        return Outcome(key, tuple(handed))


def _behind(start: int, available: int) -> str:
    return f"starts at frame {start} but the video has {available}; correct start_frame in the annotations"


def _shifted(missing: int) -> str:
    return (
        f"its video does not begin with a keyframe: {missing} frames before the first that can be shown are"
        " lost, so that the annotated frame numbers may be those of other frames; get the video again"
    )
