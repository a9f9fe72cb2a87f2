"""The parts of an extraction that has not ended: finished samples beside the cache they will be published in.

feats.h5                        the published cache: at every instant the old one or the new one
feats.h5.parts/
    annotations.csv             the samples asked for
    <time>-<process>-<n>.h5     parts: small caches of the same format
    shard-1-of-2.lock           held by the process that works on this shard
    starting.lock               held while weights are fetched, and while publishing
"""

import contextlib
import hashlib
import logging
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..annotations import FILE_NAME, Sample, read_written, write_annotations
from ..cache_file.feature_spec import FeatureSpec
from ..disk.atomic import replacing
from ..disk.links import refuse_link
from ..disk.locks import FileLock
from ..errors import AqaError, CacheError, some
from .numerics import mixed
from .shards import Shard

_log = logging.getLogger(__name__)

_STARTING = "starting.lock"
_PART = re.compile(r"\d{20}-.*-\d+\.h5", re.DOTALL)
_LOCK = re.compile(r"shard-\d+-of-\d+\.lock")
_TEMPORARY = re.compile(r"\.(.*)\.[\w-]+\.tmp", re.DOTALL)


class Parts:
    """The folder of parts of one output.

    Args:
        output: the cache they belong to.

    Raises:
        AqaError: the folder is a link, or lies on another disk, so that nothing can be published from it.
    """

    def __init__(self, output: Path):
        self.output, self.folder = output, folder_of(output)
        self._locks_known = False  # whether there are any was said, which is the same at every lock
        self._lock: FileLock | None = None
        self._check()

    def _check(self) -> None:
        refuse_link(self.folder, "the folder of its parts")
        try:
            disk = self.folder.stat().st_dev
        except (FileNotFoundError, NotADirectoryError):  # perhaps since this moment
            return
        if disk != self.folder.parent.stat().st_dev:
            raise AqaError(
                f"{self.folder}: lies on another disk than {self.output.name}, which could not be published"
                " from there; remove the folder, or give another output name"
            )

    def paths(self) -> list[Path]:
        """The parts there are, oldest first."""
        return [self.folder / name for name in self._names() if _PART.fullmatch(name)]

    def _names(self) -> list[str]:
        """Of what lies in the folder; none where another process has taken it away."""
        try:
            return sorted(os.listdir(self.folder))
        except (FileNotFoundError, NotADirectoryError):
            return []

    @contextlib.contextmanager
    def exclusively(self) -> Iterator[None]:
        """Only one process at a time is in here, of all that work for this output.

        Raises:
            AqaError: the folder cannot be made or written to, or is a link.
        """
        self._check()
        lock = FileLock(self.folder / _STARTING, quiet=self._locks_known)
        while True:
            try:
                self._make()
                lock.wait("starts or publishes")
                break
            except OSError as error:
                if isinstance(error, FileNotFoundError) and self.folder.parent.is_dir():
                    continue  # another process has published and taken the folder away
                raise self._unwritable(error) from None
        self._locks_known = True
        try:
            yield
        finally:
            lock.release()

    def _make(self) -> None:
        """Make the folder, unless it is there.

        Raises:
            AqaError: it cannot be made.
            FileNotFoundError: another process has taken it away meanwhile.
        """
        try:
            os.mkdir(self.folder)
        except FileExistsError as error:
            if not stat.S_ISDIR(os.lstat(self.folder).st_mode):
                raise self._unwritable(error) from None
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> AqaError:
        return AqaError(
            f"{self.folder}: cannot be made or written to ({error.strerror}); make room, or choose another"
            " folder for the output"
        )

    def claim(
        self,
        shard: Shard,
        spec: FeatureSpec,
        views: Sequence[str],
        numerics: dict[str, Any],
        samples: Sequence[Sample],
        allow_mixed: bool = False,
    ) -> None:
        """Take a shard of the work for this process, until `release`; to be called exclusively.

        Args:
            spec, views, numerics: of the features this process will make.
            samples: that the whole extraction is to have; noted for `merge`.

        Raises:
            AqaError: another process has it, works on shards of another number, on other samples, or makes
                other features.
        """
        mine = {
            "settings": spec.fingerprint,
            "--views": list(views),
            "annotations": hashlib.sha256(repr(samples).encode()).hexdigest(),
        }
        for owner in self.others_at_work():
            who = f"process {owner['pid']} on {owner['host']}, at work since {owner.get('since', '?')}"
            for name, value in mine.items():
                if owner.get(name, value) != value:
                    raise AqaError(
                        f"{self.output}: {who}, extracts into it with other {name}; wait for it, or give"
                        " another output name"
                    )
            if owner.get("shard") == str(shard) or owner.get("shards", shard.count) != shard.count:
                raise AqaError(
                    f"{self.output}: shard {owner.get('shard', '?')} of its extraction is being done by"
                    f" {who}; wait for it or stop it (this process would be shard {shard})"
                )
            if owner.get("numerics", numerics) != numerics and not allow_mixed:
                raise AqaError(
                    mixed(self.output, numerics, owner["numerics"], f"shard {owner['shard']} ({who})")
                )
        self._lock = FileLock(self.folder / f"shard-{shard.number}-of-{shard.count}.lock", quiet=True)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        try:
            claimed = self._lock.acquire(
                shard=str(shard), shards=shard.count, numerics=numerics, since=since, **mine
            )
        except OSError as error:
            raise self._unwritable(error) from None
        assert claimed, "claims are made one at a time"
        with replacing(self.folder / FILE_NAME) as temporary:
            write_annotations(temporary, samples)

    def others_at_work(self) -> list[dict[str, Any]]:
        """Owners of the shards that other processes work on now."""
        mine = self._lock and self._lock.path
        locks = (self.folder / name for name in self._names() if _LOCK.fullmatch(name))
        owners = (FileLock(path).owner() for path in locks if path != mine)
        return [owner for owner in owners if owner is not None]

    def release(self) -> None:
        """Give the shard back; to be called exclusively, and before publishing, so that of two that end
        together one publishes.
        """
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def close(self) -> None:
        """Give the shard back, and take the folder away if it holds no parts and nobody works in it.

        Files that this program did not make stay, and the folder with them. Where
        nothing can be locked, as on a full disk, everything stays for the next run to take away.
        """
        if not self.folder.is_dir() or self.folder.is_symlink():
            return
        try:
            with self.exclusively():
                self.release()
                if self.paths() or self.others_at_work():
                    return
                others = self._remove_ours()
        except AqaError:
            self.release()
            others = []
        if others:
            _log.info(f"{self.folder} stays: it holds what this program did not make ({some(others, 3)}).")
            return
        with contextlib.suppress(OSError):  # another process has come in meanwhile
            self.folder.rmdir()

    def _remove_ours(self) -> list[str]:
        """Remove what is left of this process and of dead ones; the names of all others."""
        others = []
        for path in sorted(self.folder.iterdir()):
            if not self._is_ours(path):
                others.append(path.name)
            elif path.name != _STARTING:
                path.unlink(missing_ok=True)
        return others

    def _is_ours(self, path: Path) -> bool:
        if path.is_dir() and not path.is_symlink():
            return False
        temporary = _TEMPORARY.fullmatch(path.name)
        name = temporary[1] if temporary else path.name
        return (
            name in (FILE_NAME, _STARTING)
            or bool(_PART.fullmatch(name) or _LOCK.fullmatch(name))
            or (temporary is not None and name == self.output.name)
        )

    def samples(self) -> list[Sample]:
        """The samples that the last `claim` noted.

        Raises:
            AqaError: nothing was noted.
        """
        self.check_begun()
        return read_written(self.folder / FILE_NAME)

    def check_begun(self) -> None:
        """Raise CacheError where no `claim` has noted anything."""
        if not (self.folder / FILE_NAME).is_file():
            raise CacheError(
                f"{self.output}: has no parts ({self.folder} holds no extraction); nothing to merge"
            )


def folder_of(output: Path) -> Path:
    """Where the parts of an output lie."""
    return output.with_name(output.name + ".parts")
