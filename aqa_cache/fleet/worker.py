"""A worker: given units, it makes their features and puts them as parts. It knows of no other worker.

This is the seam for engines that hand out units (an actor of `ray_actor` holds one worker): `do` takes any
units, in any order, as often as they are given. What the driver asks of one worker, or of many, is a `Crew`.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from ..cache_file.feature_spec import FeatureSpec
from ..cache_file.record import Record
from ..extraction.configuration import ExtractionConfig
from ..extraction.loading import load_model
from ..extraction.numerics import numerics_of
from ..extraction.pipeline import Pipeline, Progress
from ..extraction.source import Source
from ..remote.trouble import StoreError
from ..video.held import Videos
from ..weights.download import weights_folder
from ..weights.random_weights import random_weights_path
from .part_place import PartPlace
from .parts import PartName, key_of_record, numerics_digest, samples_digest, settings_digest
from .units import Unit


@dataclass(frozen=True)
class UnitDone:
    """What became of a unit, or of that part of it that was reached.

    Args:
        clips: that were made.
        failures: sample_id and reason.
        parts: names of what was put.
        samples: how many of the unit's have features or have failed.
    """

    unit: Unit
    clips: int
    failures: list[tuple[str, str]]
    parts: list[str]
    samples: int


class Crew(Protocol):
    """Whoever makes and puts units.

    Attributes:
        spec, views, numerics: of the features.
        row_bytes (int): of one clip's feature over all views, for `make_units`.
        described (str): what computes, for a person.
    """

    spec: FeatureSpec
    views: list[str]
    numerics: dict[str, Any]
    row_bytes: int
    described: str

    def work(
        self,
        units: Sequence[Unit],
        source: Source,
        *,
        hashes: Mapping[str, str],
        done: Callable[[UnitDone], None],
        progress: Callable[[Progress], None],
        stop: threading.Event,
    ) -> None:
        """Make and put all units; as `Worker.do`, but that videos are where `source` has them."""
        ...


class Worker:
    """A backbone that is loaded, and the place where its features go.

    Args:
        config: `shard` and what is said of caches on a disk have no effect.
        engine_before: of the features that are there, see `load_model`.

    Attributes:
        spec, views, numerics: of the features it makes.
        row_bytes (int), described (str): as of a `Crew`.

    Raises:
        AqaError: as `load_model`.
    """

    def __init__(self, config: ExtractionConfig, place: PartPlace, engine_before: str | None = None):
        self.config, self.place = config, place
        random_path = random_weights_path(weights_folder() / "place.h5", config.backbone)
        if config.weights == "random":
            random_path.parent.mkdir(parents=True, exist_ok=True)
        self.model, self.spec = load_model(config, random_path, engine_before)
        self.numerics = numerics_of(self.model, config.deterministic)
        self.views = [view.name for view in config.views]
        self.row_bytes = 4 * self.spec.dim * len(self.views)
        model, by = self.model, " by OpenVINO" if self.model.engine == "openvino" else ""
        self.described = f"{model.device} in {model.precision}{by}, batches of {model.batch_size}"

    def work(
        self,
        units: Sequence[Unit],
        source: Source,
        *,
        hashes: Mapping[str, str],
        done: Callable[[UnitDone], None],
        progress: Callable[[Progress], None],
        stop: threading.Event,
    ) -> None:
        """As a `Crew`: the largest units first, as what is left at the end is then small."""
        units = sorted(units, key=lambda unit: -unit.frames)
        order = [video for unit in units for video in unit.videos]
        with source.held(order, self.config.cache_bytes) as held:
            self.do(units, held, hashes=hashes, done=done, progress=progress, stop=stop)

    def do(
        self,
        units: Sequence[Unit],
        videos: Videos,
        *,
        hashes: Mapping[str, str] = MappingProxyType({}),
        done: Callable[[UnitDone], None] = lambda unit: None,
        progress: Callable[[Progress], None] = lambda progress: None,
        stop: threading.Event | None = None,
    ) -> None:
        """Make and put units; several at once are decoded side by side.

        Args:
            videos: where theirs are; hashes: SHA-256 of those of them for which it is to be in the cache.
            done: told of each unit when its part is put.
            progress: called after every batch.
            stop: when it is set, the batch in flight is finished, and what is done of each unit is put.

        Raises:
            AqaError: nothing more can be done; what was done is put, or, where the store takes nothing, kept
                on this machine.
        """
        stop = stop or threading.Event()
        pipeline = Pipeline(
            self.model,
            self.config.clip_rule,
            videos,
            [sample for unit in units for sample in unit.samples],
            step=self.spec.step,
            views=self.config.views,
            hashes=dict(hashes),
            workers=self.config.workers,
            stream=self.config.stream,
            decode_timeout=self.config.decode_timeout,
            in_order=True,
        )
        with _Putting(self, units, done) as putting:
            for record in pipeline.records(progress, stop):
                putting.add(record)
                if not record.ok and self.config.on_error == "stop":
                    stop.set()

    def put(self, unit: Unit, records: Sequence[Record]) -> UnitDone:
        """See `put_records`."""
        return put_records(self.place, unit, records, self.spec, self.numerics, self.views)


def put_records(
    place: PartPlace,
    unit: Unit,
    records: Sequence[Record],
    spec: FeatureSpec,
    numerics: dict[str, Any],
    views: list[str],
) -> UnitDone:
    """Put what was made of a unit: one part of the samples that have features, one of those that failed.

    Raises:
        StoreError: the store takes nothing; the parts are kept on this machine.
    """
    named, refused = [], None
    for failed in (False, True):
        chosen = [record for record in records if record.ok is not failed]
        if not chosen:
            continue
        digest = samples_digest(map(key_of_record, chosen), views)
        name = PartName(settings_digest(spec), numerics_digest(numerics), digest, failed)
        try:
            place.put(name, chosen, spec, numerics, views)
        except StoreError as error:
            refused = refused or error
        named.append(str(name))
    if refused is not None:
        raise refused
    clips = sum(len(view.features) for record in records for view in record.views if view)
    failures = [(record.sample.sample_id, record.reason) for record in records if not record.ok]
    return UnitDone(unit, clips, failures, named, len(records))


class _Putting:
    """Collects records by unit, and puts each unit beside the work of the calling thread; at the end of the
    block also what was reached of the others.
    """

    def __init__(self, worker: Worker, units: Sequence[Unit], done: Callable[[UnitDone], None]):
        self._worker, self._units, self._done = worker, units, done
        self._unit_of = {
            sample.sample_id: number for number, unit in enumerate(units) for sample in unit.samples
        }
        self._made: dict[int, list[Record]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="put")
        self._under_way: Future[UnitDone] | None = None

    def __enter__(self) -> "_Putting":
        return self

    def add(self, record: Record) -> None:
        number = self._unit_of[record.sample.sample_id]
        made = self._made.setdefault(number, [])
        made.append(record)
        if len(made) == len(self._units[number].samples):
            self._put(number)

    def __exit__(self, kind, error, trace) -> None:
        refused: StoreError | None = None
        try:
            for number in [None, *self._made]:  # the first: what is under way
                try:
                    self._wait() if number is None else self._put(number)
                except StoreError as later:
                    refused = refused or later
            try:
                self._wait()
            except StoreError as later:
                refused = refused or later
        finally:
            self._thread.shutdown()
        if refused is not None and kind is None:
            raise refused

    def _put(self, number: int) -> None:
        records = self._made.pop(number)
        try:
            self._wait()  # for the one before: no more than two are in memory
        finally:
            self._under_way = self._thread.submit(self._worker.put, self._units[number], records)

    def _wait(self) -> None:
        if self._under_way is not None:
            under_way, self._under_way = self._under_way, None
            self._done(under_way.result())
