"""A place with the parts of one extraction: what lies in it, and what it is to hold in the end.

PLACE/wanted.h5                                  every sample asked for: a cache without features
PLACE/<settings>-<numerics>-<samples>.h5         parts (`parts`)
PLACE/<settings>-<numerics>-<samples>.failed.h5  samples that failed, and why
"""

import contextlib
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..annotations import Sample
from ..cache_file.feature_spec import FeatureSpec
from ..cache_file.reader import FeatureCache
from ..cache_file.record import Record
from ..errors import AqaError, CacheError, some
from ..extraction.existing import not_extracted
from ..remote.fetched import MOST_BYTES, Fetched, cache_folder
from ..remote.place import Item, Place
from ..remote.trouble import StoreError
from .parts import (
    HEADER_BYTES,
    DamagedPart,
    Key,
    PartName,
    check_part,
    key_of,
    read_header,
    settings_digest,
    write_part,
)

_log = logging.getLogger(__name__)

WANTED = "wanted.h5"
_AHEAD = 8  # parts that are fetched while one is read


@dataclass(frozen=True)
class Wanted:
    """What the extraction is to hold.

    Args:
        samples: in the order that the published file shall have; stamps: of each one's video.
        spec, views: of the features.
    """

    samples: list[Sample]
    stamps: list[tuple[int, int]]
    spec: FeatureSpec
    views: list[str]

    def keys(self) -> list[Key]:
        return [key_of(sample, stamp) for sample, stamp in zip(self.samples, self.stamps, strict=True)]


class PartPlace:
    """The parts below a URL.

    Raises:
        AqaError: as `remote.place.Place`.
    """

    def __init__(self, url: str):
        self.place = Place(url)
        self.url = self.place.url
        self._down = False

    def parts(self, spec: FeatureSpec | None = None) -> dict[PartName, Item]:
        """What parts there are.

        Args:
            spec: that they are to have; None: any, but the same.

        Raises:
            CacheError: there are parts of other settings.
        """
        found = {name: item for item in self.place.items() if (name := PartName.parse(item.name))}
        there = {name.settings for name in found}
        if spec is not None and (others := there - {settings_digest(spec)}):
            raise CacheError(
                f"{self.url}: holds parts of another fingerprint ({some(sorted(others))}) than is asked for"
                f" now ({settings_digest(spec)}), of other weights, preprocessing or clips; give another"
                " place, or the same settings"
            )
        if len(there) > 1:
            raise CacheError(
                f"{self.url}: holds parts of {len(there)} fingerprints ({some(sorted(there))}), which cannot"
                " be in one file; move those that are not wanted to another place"
            )
        return found

    def wanted(self) -> Wanted | None:
        """What was noted last; None where nothing was.

        Raises:
            CacheError: it is damaged.
        """
        if (item := self.place.item(WANTED)) is None:
            return None
        with self.opened({WANTED: item}) as opened, opened(WANTED) as cache:
            stamps = list(zip(cache.video_size.tolist(), cache.video_mtime_ns.tolist(), strict=True))
            return Wanted(cache.samples, stamps, cache.spec, cache.views)

    def note(self, wanted: Wanted, prune: bool = False) -> None:
        """Note what the extraction is to hold, unless that is there already.

        Args:
            prune: drop samples that were wanted before and are not now.

        Raises:
            CacheError: another extraction has this place, or samples would be dropped unasked.
        """
        before = self.wanted()
        if before is not None:
            wanted.spec.check_alike(
                before.spec,
                f"{self.url}: is the place of another extraction (asked for, there)",
                "Give another place.",
            )
            if before.views != wanted.views:
                raise CacheError(
                    f"{self.url}: has the views {'; '.join(before.views)}, asked for now:"
                    f" {'; '.join(wanted.views)}; give another place, or the same --views"
                )
            dropped = {sample.sample_id for sample in before.samples} - {s.sample_id for s in wanted.samples}
            if dropped and not prune:
                raise CacheError(
                    f"{self.url}: {len(dropped)} sample(s) were asked for before and are not now:"
                    f" {some(sorted(dropped))}. Give another place, or --prune to drop them"
                )
            if repr(before) == repr(wanted):  # a mark that is not given is NaN, which equals nothing
                return
        records = [
            not_extracted(sample, len(wanted.views), stamp)
            for sample, stamp in zip(wanted.samples, wanted.stamps, strict=True)
        ]
        with _scratch() as folder:
            path = folder / WANTED
            write_part(path, records, wanted.spec, {}, wanted.views, in_order=True)
            self.place.put(path, WANTED)

    @contextlib.contextmanager
    def opened(
        self, items: Mapping[str, Item], order: Sequence[str] = (), most_bytes: int = MOST_BYTES
    ) -> Iterator[Callable[[str], contextlib.AbstractContextManager[FeatureCache]]]:
        """In the block, whole parts can be opened by their names.

        Args:
            order: in which they will be opened, the first time.

        Raises, on opening:
            DamagedPart: it is not whole, also when it is fetched once more.
        """
        with Fetched(self.place, items, most_bytes, order=order, ahead=_AHEAD) as fetched:

            @contextlib.contextmanager
            def one(name: str) -> Iterator[FeatureCache]:
                with fetched.at_hand(name) as path:
                    check_part(path, f"{self.url}/{name}")
                    with FeatureCache(path) as cache:
                        yield cache

            yield one

    def host_of(self, name: PartName) -> str:
        """Who wrote a part; ? where that cannot be read."""
        try:
            return read_header(self.place.head(str(name), HEADER_BYTES), str(name))["host"]
        except (FileNotFoundError, DamagedPart):
            return "?"

    def put(
        self,
        name: PartName,
        records: Sequence[Record],
        spec: FeatureSpec,
        numerics: dict[str, Any],
        views: Sequence[str],
    ) -> None:
        """Put a part; one that the store does not take is kept on this machine, for `put_kept`.

        Raises:
            StoreError: it was kept.
        """
        with _scratch() as folder:
            path = folder / str(name)
            write_part(path, records, spec, numerics, views)
            try:
                if self._down:
                    raise StoreError(f"{self.url}: did not take the part before")
                self.place.put(path, str(name))
            except StoreError as error:
                self._down = True
                try:
                    self._kept.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, self._kept / f".{name}.{os.getpid()}")
                    os.replace(self._kept / f".{name}.{os.getpid()}", self._kept / str(name))
                except OSError as other:
                    raise StoreError(
                        f"{error}; nor can it be kept in {self._kept} ({other.strerror})"
                    ) from None
                raise StoreError(
                    f"{error}. The part is kept in {self._kept}; the next run on this machine puts it"
                ) from None

    def put_kept(self) -> None:
        """Put what earlier runs on this machine could not.

        Raises:
            StoreError: the store does not take it.
        """
        if not self._kept.is_dir():
            return
        kept = sorted(path for path in self._kept.iterdir() if PartName.parse(path.name))
        for path in kept:
            try:
                check_part(path, path.name)
                self.place.put(path, path.name)
            except (FileNotFoundError, DamagedPart, StoreError) as error:
                if isinstance(error, StoreError) and path.exists():  # else another process was faster
                    raise
            path.unlink(missing_ok=True)
        if kept:
            _log.info(f"Put {len(kept)} part(s) that an earlier run could not.")

    @property
    def _kept(self) -> Path:
        return cache_folder() / "unsent" / hashlib.sha256(self.url.encode()).hexdigest()[:16]


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    try:
        with tempfile.TemporaryDirectory(prefix="aqa-part-") as folder:
            yield Path(folder)
    except OSError as error:
        raise AqaError(
            f"{tempfile.gettempdir()}: cannot be written to ({error.strerror}); set TMPDIR"
        ) from None
