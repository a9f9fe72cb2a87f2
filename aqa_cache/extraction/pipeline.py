"""The extraction pipeline: clips from the decoding threads, batches across videos, the backbone.

Decoding threads (`video.threads`) each decode one video at a time, once for all its samples. The calling
thread fills batches of one fixed shape with the clips of whatever videos are at hand, and gives out a record
for each sample as soon as its last clip is through. Queues are bounded, so memory does not grow with the
length or the number of videos.

On a GPU decoding and backbone run side by side. On a CPU they want the same cores, and threads of one matrix
product that wait for each other while a decoder holds a core lose more than the decoder takes. So they take
turns: decoders fill the queue on all cores, then stand still while the backbone runs on all cores.
"""

import collections
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..annotations import Sample
from ..backbones.inference import SLOTS, Model, PendingFeatures
from ..cache_file.record import ClipFeatures, Record
from ..clips.assembler import Clip
from ..clips.rule import ClipRule
from ..clips.views import PLAIN, View
from ..errors import AqaError
from ..video.decoding import DECODE_TIMEOUT
from ..video.held import VideoFolder, Videos
from ..video.reader import Outcome, VideoReader
from ..video.threads import Decoders, default_workers
from .sample_buffer import SampleBuffer

# Decoded at each turn on a CPU, where decoding and backbone take turns; shorter turns mean more waiting at
# their ends.
_BATCHES_AHEAD, _CLIPS_AHEAD = 4, 2


@dataclass(frozen=True)
class Progress:
    """Where an extraction stands. `clips_total` is an estimate while whole videos are among the samples."""

    clips: int
    clips_total: int
    samples: int
    samples_total: int


class Pipeline:
    """Runs the clips of many samples through a backbone.

    Args:
        model: the backbone.
        rule: how samples are cut into clips.
        folder: what the samples' `video` columns are relative to, or where else their videos are.
        samples: what to extract.
        step: frames of a clip from one row of its features to the next; None: it has one row.
        views: of every sample, the plain one first.
        workers: decoding threads; None: `default_workers()`.
        stream: index of the video stream; None: the best one.
        decode_timeout: seconds without a new frame after which a video is given up.
        hashes: per video its SHA-256, where known.
        scratch: folder for the features of samples too long for memory; None: the system's.
        in_order: decode the videos in the order of the samples; by default the largest first.
    """

    def __init__(
        self,
        model: Model,
        rule: ClipRule,
        folder: Path | Videos,
        samples: Sequence[Sample],
        *,
        step: int | None = None,
        views: Sequence[View] = (PLAIN,),
        workers: int | None = None,
        stream: int | None = None,
        decode_timeout: float = DECODE_TIMEOUT,
        hashes: dict[str, str] | None = None,
        scratch: Path | None = None,
        in_order: bool = False,
    ):
        assert views[0] == PLAIN, views
        self.model, self.samples, self.views = model, samples, views
        self._step, self._frame_step = step, rule.frame_step
        by_video: dict[str, dict[int, Sample]] = {}
        for index, sample in enumerate(samples):
            by_video.setdefault(sample.video, {})[index] = sample
        held = VideoFolder(folder) if isinstance(folder, Path) else folder
        far = held if held.far else None
        self._stamps = {video: held.stamp(video) for video in by_video}
        # Largest files first: what is left when threads run out of videos is then small.
        videos = list(by_video) if in_order else sorted(by_video, key=lambda video: -self._stamps[video][0])
        self._readers = [
            VideoReader(held.path(video), by_video[video], rule, stream, views, far) for video in videos
        ]
        self._hashes, self._scratch = hashes or {}, scratch
        self._on_gpu = model.device.type == "cuda"
        # On a CPU a turn's worth of clips, so that no thread waits for room while it could decode.
        self._ahead = model.batch_size
        if not self._on_gpu:
            self._ahead = max(
                _BATCHES_AHEAD * model.batch_size, _CLIPS_AHEAD * (workers or default_workers())
            )
        room = self._ahead + model.batch_size
        self._decoders = Decoders(self._readers, model.preprocessing, room, workers, decode_timeout)
        self.clips = self._clips_total = 0
        self._waiting: collections.deque[Clip] = collections.deque()
        self._buffers: dict[int, list[SampleBuffer]] = {}
        self._expected: dict[int, tuple[int, ...]] = {}
        self._done: set[int] = set()

    def records(
        self,
        progress: Callable[[Progress], None] = lambda progress: None,
        stop: threading.Event | None = None,
    ) -> Iterator[Record]:
        """One record for every sample, in the order in which they are done; to be gone through once.

        Args:
            progress: called after every batch.
            stop: when set, no further batch is begun and the iteration ends.
        """
        # Beside the work: it opens every video whose samples have no end.
        threading.Thread(target=self._estimate, name="estimate", daemon=True).start()
        with self._decoders:
            yield from self._run(progress, stop or threading.Event())

    def _run(self, progress: Callable[[Progress], None], stop: threading.Event) -> Iterator[Record]:
        batch_size = self.model.batch_size
        in_flight: collections.deque[tuple[list[Clip], PendingFeatures]] = collections.deque()
        while (self._decoders.working or self._waiting or in_flight) and not stop.is_set():
            yield from self._receive(stop, blocking=not in_flight)
            if not self._on_gpu:
                self._decoders.pause()
            while len(self._waiting) >= batch_size or (self._waiting and not self._decoders.working):
                if stop.is_set():
                    break
                batch = [self._waiting.popleft() for _ in range(min(batch_size, len(self._waiting)))]
                in_flight.append((batch, self.model.submit([clip.frames for clip in batch])))
                if len(in_flight) >= (SLOTS if self._on_gpu else 1):
                    yield from self._finish(*in_flight.popleft(), progress)
            if in_flight and len(self._waiting) < batch_size:
                yield from self._finish(*in_flight.popleft(), progress)
            self._decoders.resume()
        while in_flight:
            yield from self._finish(*in_flight.popleft(), progress)

    def _receive(self, stop: threading.Event, blocking: bool) -> Iterator[Record]:
        """Take what decoding threads hand over until enough clips wait, or no thread is left."""
        for item in self._decoders.items(stop, blocking):
            if isinstance(item, Outcome):
                yield from self._take_outcome(item)
            elif item.sample not in self._done:
                self._waiting.append(item)
                if len(self._waiting) >= self._ahead:
                    return

    def _take_outcome(self, outcome: Outcome) -> Iterator[Record]:
        if outcome.sample in self._done:
            return
        if outcome.reason:
            self._waiting = collections.deque(clip for clip in self._waiting if clip.sample != outcome.sample)
            self._buffers.pop(outcome.sample, None)
            yield self._failure(outcome.sample, outcome.reason)
        else:
            self._expected[outcome.sample] = outcome.clips
            yield from self._complete(outcome.sample)

    def _finish(
        self, batch: list[Clip], features: PendingFeatures, progress: Callable[[Progress], None]
    ) -> Iterator[Record]:
        for clip, feature in zip(batch, features.wait(), strict=True):
            if clip.sample in self._done:
                continue
            views = self._buffers.setdefault(clip.sample, [SampleBuffer(self._scratch) for _ in self.views])
            views[clip.view].append(*self._rows(clip, feature))
        self.clips += len(batch)
        for sample in dict.fromkeys(clip.sample for clip in batch):
            yield from self._complete(sample)
        progress(Progress(self.clips, max(self._clips_total, self.clips), len(self._done), len(self.samples)))

    def _rows(self, clip: Clip, feature: np.ndarray) -> tuple[list[int], list[float], np.ndarray]:
        """First frame, time and feature of every row of a clip."""
        steps = range(0, len(clip.frames), self._step or len(clip.frames))
        rows = feature.reshape(-1, feature.shape[-1])
        if len(rows) != len(steps):
            raise AqaError(
                f"the backbone gave {len(rows)} time steps of a clip of {len(clip.frames)} frames, expected"
                f" {len(steps)}, one per {self._step} frames: its TimeSteps.frames is wrong"
            )
        firsts = [clip.first_frame + step * self._frame_step for step in steps]
        return firsts, [clip.times[step] for step in steps], rows

    def _complete(self, sample: int) -> Iterator[Record]:
        """The record of a sample, if all its clips are through."""
        expected, buffers = self._expected.get(sample), self._buffers.get(sample)
        if expected is None or buffers is None or tuple(map(len, buffers)) != expected:
            return
        del self._expected[sample], self._buffers[sample]
        if not all(view.finite for view in buffers):
            yield self._failure(
                sample, f"its features are not finite in {self.model.precision}; try --precision fp32"
            )
            return
        # A shifted view may have a clip more than the plain one, before or after the same clips; fewer: it
        # leaves the video.
        views = [view.features(expected[0]) if len(view) >= expected[0] else None for view in buffers]
        yield self._record(sample, views)

    def _failure(self, sample: int, reason: str) -> Record:
        annotated = self.samples[sample]
        reason = f"{annotated.sample_id} ({annotated.video}): {reason}"
        return self._record(sample, [None] * len(self.views), reason)

    def _record(self, sample: int, views: list[ClipFeatures | None], reason: str = "") -> Record:
        self._done.add(sample)
        video = self.samples[sample].video
        return Record(self.samples[sample], views, reason, *self._stamps[video], self._hashes.get(video, ""))

    def _estimate(self) -> None:
        for reader in self._readers:
            if self._decoders.ended:
                return
            # What fails here fails where it is decoded, too, and is said there.
            with contextlib.suppress(AqaError, OSError, MemoryError):
                self._clips_total += reader.estimate_clips()
