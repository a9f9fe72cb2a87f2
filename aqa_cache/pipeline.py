"""The extraction pipeline: decoding threads, batches of clips across videos, the backbone.

Decoding threads each take one video at a time, decode it once for all its samples, and hand over finished clips. The calling
thread fills batches of one fixed shape with the clips of whatever videos are at hand, and gives out a record for each sample as
soon as its last clip is through. Queues are bounded, so memory does not grow with the length or the number of videos.
"""

import contextlib
import itertools
import os
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .annotations import Sample
from .assemble import Clip, ClipAssembler
from .cache import ClipFeatures, Record
from .clips import ClipRule
from .errors import AqaError, VideoError
from .preprocess import FramePreparer, Preprocessing, normalise
from .video import Frame, decode, expected_frames


@dataclass(frozen=True)
class Progress:
    """Where an extraction stands. `clips_total` is an estimate while whole videos are among the samples."""

    clips: int
    clips_total: int
    samples: int
    samples_total: int


@dataclass(frozen=True)
class Outcome:
    """A decoding thread is through with a sample: how many clips it handed over, or why it has none."""

    sample: int
    clips: int
    reason: str = ""


@dataclass(frozen=True)
class Model:
    """A backbone ready to run, and what its batches look like."""

    module: torch.nn.Module
    device: torch.device
    dtype: torch.dtype
    preprocessing: Preprocessing
    batch_size: int

    def forward(self, clips: list[np.ndarray]) -> np.ndarray:
        """Features of at most `batch_size` clips, `(len(clips), dim)` float32.

        The batch is filled up with zeros, so that its shape never changes: a clip's feature then depends on nothing but the clip.
        """
        batch = np.zeros((self.batch_size, *clips[0].shape), np.uint8)
        for row, clip in enumerate(clips):
            batch[row] = clip
        with torch.inference_mode():
            inputs = normalise(torch.from_numpy(batch).to(self.device), self.preprocessing, self.dtype)
            return self.module(inputs)[: len(clips)].float().cpu().numpy()


def default_workers() -> int:
    """Decoding threads when none are asked for: half the cores, at least one, at most sixteen."""
    return max(
        1,
        min(16, len(os.sched_getaffinity(0)) // 2 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) // 2),
    )


def video_stamp(path: Path) -> tuple[int, int]:
    """Size in bytes and time of modification in nanoseconds, by which a changed video is known; zeros if it is not there."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return (0 if path.is_dir() else stat.st_size), stat.st_mtime_ns


class VideoReader:
    """Decodes one video for all its samples.

    Args:
        path: the video.
        samples: by key, the samples it holds.
        rule: how they are cut into clips.
        stream: index of the video stream; None: the best one.
    """

    def __init__(self, path: Path, samples: dict[int, Sample], rule: ClipRule, stream: int | None = None):
        self._path, self._samples, self._rule, self._stream = path, samples, rule, stream

    def estimate_clips(self) -> int:
        """About how many clips will come, from annotations and headers, for a progress bar."""
        clips, length = 0, None
        for sample in self._samples.values():
            end = sample.end_frame
            if end is None:
                length = length if length is not None else expected_frames(self._path, self._stream)
                end = length
            with contextlib.suppress(AqaError):
                clips += len(self._rule.first_frames(sample.start_frame or 0, end))
        return clips

    def read(self, prepare: FramePreparer, stop: threading.Event | None = None) -> Iterator[Clip | Outcome]:
        """Clips as they are completed, and one outcome for every sample, after its last clip.

        Args:
            prepare: resizes and crops frames.
            stop: looked at before every frame; when it is set, nothing more comes.
        """
        stop = stop or threading.Event()
        if not self._path.exists():
            for key in self._samples:
                yield Outcome(
                    key, 0, f"no such video ({self._path}); correct the column 'video' in the annotations, or fetch it"
                )
            return
        spans: dict[int, tuple[int, int | None]] = {}
        length = None
        for key, sample in self._samples.items():
            start, end = sample.start_frame or 0, sample.end_frame
            try:
                if end is None and self._rule.window is not None:
                    # The window ends where the video does, and only decoding tells where that is.
                    if length is None:
                        length = sum(1 for _ in itertools.takewhile(lambda _: not stop.is_set(), self._frames()))
                    end = length
                if end is not None:
                    self._rule.first_frames(start, end)
                spans[key] = (start, end)
            except VideoError as error:
                yield Outcome(key, 0, error.reason)
            except AqaError as error:
                yield Outcome(key, 0, str(error))
        if not spans:
            return
        assembler = ClipAssembler(self._rule, spans)
        # Samples are done when their last frame was seen, also where no clip uses it: a range past the end is a mistake.
        by_end = sorted((key for key, span in spans.items() if span[1] is not None), key=lambda key: -spans[key][1])
        handed = dict.fromkeys(spans, 0)
        open_ended = len(by_end) < len(spans)
        available, damage = 0, ""
        try:
            for frame in self._frames():
                if stop.is_set():
                    return
                available = frame.index + 1
                if assembler.needs(frame.index):
                    for clip in assembler.feed(frame.index, frame.pts_seconds, prepare(frame.rgb())):
                        handed[clip.sample] += 1
                        yield clip
                while by_end and spans[by_end[-1]][1] <= available:
                    key = by_end.pop()
                    yield Outcome(key, handed[key])
                if not by_end and not open_ended:
                    return
        except VideoError as error:
            damage = error.reason
        for key in by_end:
            start, end = spans[key]
            first = end - self._rule.window if self._rule.window is not None else start
            why = (
                f"the video {damage}"
                if damage
                else f"the video has {available}; correct end_frame in the annotations or drop the row"
            )
            yield Outcome(key, 0, f"needs frames [{first}, {end}) but {why}")
        for key in (key for key, span in spans.items() if span[1] is None):
            yield self._close_open_ended(key, spans[key][0], available, handed[key], damage)

    def _frames(self) -> Iterator[Frame]:
        return decode(self._path, self._stream)

    def _close_open_ended(self, key: int, start: int, available: int, handed: int, damage: str) -> Outcome:
        if damage:
            return Outcome(key, 0, damage)
        if start >= available:
            return Outcome(
                key, 0, f"starts at frame {start} but the video has {available}; correct start_frame in the annotations"
            )
        try:
            expected = len(self._rule.first_frames(start, available))
        except AqaError as error:
            return Outcome(key, 0, str(error))
        assert handed == expected, (handed, expected)
        return Outcome(key, handed)


class Pipeline:
    """Runs the clips of many samples through a backbone.

    Args:
        model: the backbone.
        rule: how samples are cut into clips.
        folder: what the samples' `video` columns are relative to.
        samples: what to extract.
        workers: decoding threads; None: `default_workers()`.
        stream: index of the video stream; None: the best one.
    """

    def __init__(
        self, model: Model, rule: ClipRule, folder: Path, samples: list[Sample], *, workers: int | None = None, stream: int | None = None
    ):  # fmt: skip
        self.model, self.samples, self.folder = model, samples, folder
        self.clips = 0
        by_video: dict[str, dict[int, Sample]] = {}
        for index, sample in enumerate(samples):
            by_video.setdefault(sample.video, {})[index] = sample
        # Largest files first: what is left when threads run out of videos is then small.
        videos = sorted(by_video, key=lambda video: -video_stamp(folder / video)[0])
        self._stamps = {video: video_stamp(folder / video) for video in videos}
        self._readers = [VideoReader(folder / video, by_video[video], rule, stream) for video in videos]
        self._workers = min(workers or default_workers(), len(self._readers))
        self._clips_total = sum(reader.estimate_clips() for reader in self._readers)
        self._queue: queue.Queue = queue.Queue(maxsize=2 * model.batch_size)
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def records(self, progress: Callable[[Progress], None] = lambda progress: None) -> Iterator[Record]:
        """One record for every sample, in the order in which they are done."""
        self._next_reader = iter(self._readers)
        threads = [threading.Thread(target=self._decode, name=f"decode-{n}", daemon=True) for n in range(self._workers)]
        for thread in threads:
            thread.start()
        try:
            yield from self._collect(progress)
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _collect(self, progress: Callable[[Progress], None]) -> Iterator[Record]:
        waiting: list[Clip] = []
        # Per sample and clip number: first frame, time, feature. Not the clip itself, whose pixels are to go.
        clips: dict[int, dict[int, tuple[int, float, np.ndarray]]] = {}
        expected: dict[int, int] = {}
        running, done = self._workers, 0
        while running or waiting:
            if running:
                item = self._next_item()
                if isinstance(item, BaseException):
                    raise item
                if item is None:
                    running -= 1
                elif isinstance(item, Clip):
                    waiting.append(item)
                elif item.reason:
                    waiting = [clip for clip in waiting if clip.sample != item.sample]
                    clips.pop(item.sample, None)
                    done += 1
                    yield self._failure(self.samples[item.sample], item.reason)
                else:
                    expected[item.sample] = item.clips
            if len(waiting) >= self.model.batch_size or (waiting and not running):
                batch, waiting = waiting[: self.model.batch_size], waiting[self.model.batch_size :]
                for clip, feature in zip(batch, self.model.forward([clip.frames for clip in batch]), strict=True):
                    clips.setdefault(clip.sample, {})[clip.number] = (clip.first_frame, clip.pts_seconds, feature)
                self.clips += len(batch)
            for sample in [sample for sample, count in expected.items() if len(clips.get(sample, ())) == count]:
                del expected[sample]
                done += 1
                yield self._record(self.samples[sample], clips.pop(sample))
            progress(Progress(self.clips, max(self._clips_total, self.clips), done, len(self.samples)))

    def _record(self, sample: Sample, clips: dict[int, tuple[int, float, np.ndarray]]) -> Record:
        first_frames, times, features = zip(*(clips[number] for number in sorted(clips)), strict=True)
        features = np.stack(features)
        if not np.isfinite(features).all():
            dtype = str(self.model.dtype).removeprefix("torch.")
            return self._failure(sample, f"its features are not finite in {dtype}; try --precision fp32")
        view = ClipFeatures(features, np.array(first_frames, np.int64), np.array(times, np.float64))
        return Record(sample, [view], "", *self._stamps[sample.video])

    def _failure(self, sample: Sample, reason: str) -> Record:
        return Record(sample, [None], f"{sample.sample_id} ({sample.video}): {reason}", *self._stamps[sample.video])

    def _decode(self) -> None:
        try:
            prepare = FramePreparer(self.model.preprocessing)
            while not self._stop.is_set():
                with self._lock:
                    reader = next(self._next_reader, None)
                if reader is None:
                    break
                for item in reader.read(prepare, self._stop):
                    self._put(item)
            self._put(None)
        except BaseException as error:
            self._put(error)

    def _next_item(self):
        # With a timeout, since some systems deliver Ctrl-C only between waits.
        while True:
            try:
                return self._queue.get(timeout=0.5)
            except queue.Empty:
                continue

    def _put(self, item) -> None:
        while not self._stop.is_set():
            try:
                return self._queue.put(item, timeout=0.1)
            except queue.Full:
                continue
