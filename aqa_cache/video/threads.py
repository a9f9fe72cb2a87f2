"""Decoding threads: each takes one video at a time and hands over its clips as they are completed."""

import collections
import queue
import threading
import time
from collections.abc import Iterator, Sequence

from ..clips.assembler import Clip
from ..clips.preprocess import FramePreparer, Preprocessing
from ..machine.cores import available_cores
from .decoding import DECODE_TIMEOUT
from .reader import Outcome, VideoReader

MAX_WORKERS = 32
_PATIENCE, _POLL = 5.0, 0.25


def default_workers() -> int:
    """Decoding threads when none are asked for: as many as cores, at most `MAX_WORKERS`."""
    return min(MAX_WORKERS, available_cores())


class Decoders:
    """Threads that decode videos; a context manager, in whose block they run.

    Args:
        readers: of the videos, in the order in which they are begun; no two have the same sample.
        preprocessing: of their frames.
        room: how many clips and outcomes may wait to be taken; with so many, the threads stand still.
        workers: threads; None: `default_workers()`.
        timeout: seconds without a new frame after which a video is given up.

    Attributes:
        ended (bool): whether the block has been left.
    """

    def __init__(
        self,
        readers: Sequence[VideoReader],
        preprocessing: Preprocessing,
        room: int,
        workers: int | None = None,
        timeout: float = DECODE_TIMEOUT,
    ):
        self._preprocessing, self._timeout = preprocessing, timeout
        self._threads = workers or default_workers()
        self._queue: queue.Queue = queue.Queue(maxsize=room)
        self._lock = threading.Lock()
        self._coming = collections.deque(readers)
        self._through: set[int] = set()
        # Open while decoding threads may work; they wait here before every frame.
        self._turn = threading.Event()
        self._turn.set()
        self.ended = False
        self._workers = [_Worker(self) for _ in range(min(self._threads, len(readers)))]

    def __enter__(self):
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(self, *_):
        self.ended = True
        self._turn.set()
        deadline = time.monotonic() + _PATIENCE
        for worker in self._workers:  # one that hangs in a decoder ends with the process
            worker.join(timeout=max(0, deadline - time.monotonic()))

    @property
    def working(self) -> bool:
        """Whether more may come."""
        return bool(self._workers)

    def pause(self) -> None:
        """Let the threads stand still at their next frame."""
        self._turn.clear()

    def resume(self) -> None:
        self._turn.set()

    def items(self, stop: threading.Event | None = None, blocking: bool = True) -> Iterator[Clip | Outcome]:
        """What the threads hand over: clips, and one outcome for every sample, after its last clip.

        It may be left after a clip, and called again for the rest.

        Args:
            stop: when set, nothing more comes.
            blocking: whether to wait for what is to come; if not, only what is there comes.
        """
        while self._workers and not (stop is not None and stop.is_set()):
            try:
                # With a timeout, to look after threads that hang, and since some systems deliver Ctrl-C only
                # between waits.
                worker, item = self._queue.get(timeout=_POLL) if blocking else self._queue.get_nowait()
            except queue.Empty:
                if not blocking:
                    return
                yield from self._give_up_on_hanging(_POLL)
                continue
            if worker not in self._workers:
                continue  # given up before
            if isinstance(item, BaseException):
                raise item
            if item is None:
                self._workers.remove(worker)
                continue
            if isinstance(item, Outcome):
                self._through.add(item.sample)
            yield item

    def _give_up_on_hanging(self, waited: float) -> list[Outcome]:
        """The outcomes of videos whose thread stands still; another thread takes over the videos that are
        left.
        """
        outcomes = []
        for worker in [worker for worker in self._workers if worker.stands_still(waited, self._timeout)]:
            reason = (
                f"decoding has not moved for {self._timeout:g} seconds; see that the video can be played and"
                " its disk answers, or give it longer with --decode-timeout"
            )
            left = [sample for sample in worker.reader.samples if sample not in self._through]
            self._through.update(left)
            outcomes += [Outcome(sample, reason=reason) for sample in left]
            self._workers.remove(worker)
            successor = _Worker(self)
            self._workers.append(successor)
            successor.start()
        return outcomes

    def _next_reader(self) -> tuple[VideoReader | None, int]:
        """The next video and the codec threads it may use: where fewer videos are left than threads,
        several.
        """
        with self._lock:
            if not self._coming:
                return None, 1
            threads = max(1, self._threads // max(len(self._workers), 1)) if len(self._coming) == 1 else 1
            return self._coming.popleft(), threads


class _Worker(threading.Thread):
    """A decoding thread."""

    def __init__(self, decoders: Decoders):
        super().__init__(name="decode", daemon=True)
        self._decoders = decoders
        self.reader: VideoReader | None = None
        self._decoding, self._moves = False, 0
        self._still, self._seen_moves = 0.0, 0
        self._given_up = False

    def stands_still(self, waited: float, seconds: float) -> bool:
        """Whether it has been at one picture for so long; it is then told to end, should it ever come back.

        Args:
            waited: seconds since this was asked last. They are added up, not read from a clock, which goes on
                while the whole process is suspended.
        """
        if not self._decoding or self._moves != self._seen_moves:
            self._still, self._seen_moves = 0.0, self._moves
            return False
        self._still += waited
        self._given_up = self._still > seconds
        return self._given_up

    def run(self) -> None:
        try:
            prepare = FramePreparer(self._decoders._preprocessing)
            while self._go_on():
                self.reader, threads = self._decoders._next_reader()
                if self.reader is None:
                    break
                self._read(prepare, threads)
            self._hand_over(None)
        except BaseException as error:
            self._hand_over(error)

    def _read(self, prepare: FramePreparer, threads: int) -> None:
        left = set(self.reader.samples)
        try:
            for item in self.reader.read(prepare, self._go_on, threads):
                if isinstance(item, Outcome):
                    left.discard(item.sample)
                self._hand_over(item)
        except OSError as error:
            for sample in left:
                reason = (
                    f"cannot be read ({error.strerror or error}); see that its file and folder may be read"
                    " and the disk answers"
                )
                self._hand_over(Outcome(sample, reason=reason))

    def _go_on(self) -> bool:
        self._decoding = False
        self._decoders._turn.wait()
        going = not self._decoders.ended and not self._given_up
        self._moves += 1
        self._decoding = True
        return going

    def _hand_over(self, item) -> None:
        self._decoding = False
        while not self._decoders.ended and not self._given_up:
            try:
                self._decoders._queue.put((self, item), timeout=0.1)
                break
            except queue.Full:
                continue
        self._moves += 1
        self._decoding = True
