"""The parts of an extraction that has not ended: finished samples beside the cache they will be published in.

feats.h5                        the published cache: at every instant the old one or the new one
feats.h5.parts/
    annotations.csv             the samples asked for
    <time>-<process>-<n>.h5     parts: small caches of the same format
    share-1-of-2.lock           held by the process that works on this share
    starting.lock               held while weights are fetched, and while publishing
"""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from .annotations import FILE_NAME, Sample, read_annotations, write_annotations
from .atomic import replacing
from .cache import Record, write_cache
from .errors import AqaError, CacheError
from .locks import FileLock
from .meaning import Meaning
from .shares import Share

PART_SAMPLES, PART_SECONDS, PART_BYTES = 64, 30.0, 1 << 25


class Parts:
    """The folder of parts of one output.

    Args:
        output: the cache they belong to.
        say: told in one line what a person should know.
    """

    def __init__(self, output: Path, say: Callable[[str], None] = lambda line: None):
        self.output, self.folder = output, folder_of(output)
        self._say = say
        self._share_lock: FileLock | None = None

    def paths(self) -> list[Path]:
        """The parts there are, oldest first."""
        return sorted(self.folder.glob("*.h5"))

    @contextlib.contextmanager
    def exclusively(self) -> Iterator[None]:
        """Only one process at a time is in here, of all that work for this output.

        Raises:
            AqaError: the folder cannot be made or written to.
        """
        lock = FileLock(self.folder / "starting.lock", self._say)
        while True:
            try:
                self.folder.mkdir(exist_ok=True)
                if not lock.acquire():
                    owner = lock.owner() or {}
                    self._say(
                        f"Waiting for process {owner.get('pid', '?')} on {owner.get('host', '?')}, which starts or publishes."
                    )
                    lock.acquire(wait=True)
                break
            except FileNotFoundError:  # another process has published and taken the folder away
                continue
            except OSError as error:
                raise AqaError(
                    f"{self.folder}: cannot be made or written to ({error.strerror}); choose another folder for the output"
                ) from None
        try:
            yield
        finally:
            lock.release()

    def claim(self, share: Share, fingerprint: str) -> None:
        """Take a share of the work for this process, until `release`.

        Raises:
            AqaError: another process has it, works on shares of another number, or extracts something else.
        """
        for path in self.folder.glob("share-*.lock"):
            owner = FileLock(path).owner()
            if owner is None:
                continue
            who = f"process {owner['pid']} on {owner['host']}, at work since {owner.get('since', '?')}"
            if owner.get("fingerprint", fingerprint) != fingerprint:
                raise AqaError(
                    f"{self.output}: {who}, extracts into it with other settings; wait for it, or give another output name"
                )
            if owner.get("share") == str(share) or owner.get("shares", share.count) != share.count:
                raise AqaError(
                    f"{self.output}: share {owner.get('share', '?')} of its extraction is being done by {who}; wait for it or stop "
                    f"it (this process would be share {share})"
                )
        if not self.others_at_work():
            self.remove(self.folder.glob(".*.tmp"))  # what a process that was killed has left
        self._share_lock = FileLock(self.folder / f"share-{share.number}-of-{share.count}.lock", lambda line: None)
        claimed = self._share_lock.acquire(
            share=str(share), shares=share.count, fingerprint=fingerprint, since=time.strftime("%Y-%m-%d %H:%M:%S")
        )
        assert claimed, "claims are made one at a time"

    def others_at_work(self) -> list[dict]:
        """Owners of the shares that other processes work on now."""
        owners = [FileLock(path).owner() for path in self.folder.glob("share-*.lock")]
        mine = {"pid": os.getpid()}
        return [owner for owner in owners if owner is not None and {"pid": owner["pid"]} != mine]

    def release(self) -> None:
        """Give the share back, and remove the folder if it holds no parts and nobody works in it."""
        if self._share_lock is not None:
            self._share_lock.release()
            self._share_lock = None
        if not self.paths() and not list(self.folder.glob("*.lock")):
            shutil.rmtree(self.folder, ignore_errors=True)

    def write_samples(self, samples: Sequence[Sample]) -> None:
        """Note which samples the whole extraction is to have, for `merge`."""
        with replacing(self.folder / FILE_NAME) as temporary:
            write_annotations(temporary, samples)

    def samples(self) -> list[Sample]:
        """The samples that `write_samples` noted.

        Raises:
            AqaError: nothing was noted.
        """
        if not (self.folder / FILE_NAME).is_file():
            raise CacheError(f"{self.output}: has no parts ({self.folder} holds no extraction); nothing to merge")
        return read_annotations(self.folder / FILE_NAME)

    def remove(self, paths: Iterable[Path]) -> None:
        """Throw files of the folder away, once they are published."""
        for path in paths:
            path.unlink(missing_ok=True)


class PartWriter:
    """Saves finished samples as parts, every `PART_SAMPLES` samples, `PART_SECONDS` seconds or `PART_BYTES` bytes.

    A part is written at once, beside the work of the calling thread; a process that is killed loses at most what came after the
    last one.

    Args:
        meaning, numerics, views: of the records.
    """

    def __init__(self, folder: Path, meaning: Meaning, numerics: dict, views: Sequence[str]):
        self._folder, self._meaning, self._numerics, self._views = folder, meaning, numerics, views
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="parts")
        self._written: Future | None = None
        self._unsaved: list[Record] = []
        self._bytes, self._number, self._saved_at = 0, 0, time.monotonic()

    def add(self, record: Record) -> None:
        """Keep a finished sample, and save a part if it is time for one.

        Raises:
            AqaError: a part cannot be written.
        """
        self._unsaved.append(record)
        self._bytes += sum(4 * view.features.shape[0] * view.features.shape[1] for view in record.views if view)
        late = time.monotonic() - self._saved_at > PART_SECONDS
        if late or len(self._unsaved) >= PART_SAMPLES or self._bytes >= PART_BYTES:
            self._save()

    def close(self) -> None:
        """Save what has not been saved yet."""
        try:
            self._save()
            self._wait()
        finally:
            self._writer.shutdown()

    def _save(self) -> None:
        self._wait()  # for the part before: no more than two are in memory
        if self._unsaved:
            self._number += 1
            # Start time and process in the name, so that no run writes over a part of another.
            path = self._folder / f"{time.time_ns():020d}-{os.getpid()}-{self._number:06d}.h5"
            self._written = self._writer.submit(
                write_cache, path, self._unsaved, self._meaning, views=self._views, numerics=self._numerics, dtype="float32"
            )  # fmt: skip
        self._unsaved, self._bytes, self._saved_at = [], 0, time.monotonic()

    def _wait(self) -> None:
        if self._written is not None:
            written, self._written = self._written, None
            written.result()


def folder_of(output: Path) -> Path:
    """Where the parts of an output lie."""
    return output.with_name(output.name + ".parts")
