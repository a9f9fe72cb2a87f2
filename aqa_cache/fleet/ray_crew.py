"""Actors of Ray that do the units of a place: as many as there is room for, dead ones replaced.

Each actor holds one worker, which decodes and computes; what goes to it are samples, and what comes back are
names of parts. What is done is known by what lies in the place, and by nothing that Ray keeps.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..annotations import Sample
from ..backbones.names import KNOWN_BACKBONES
from ..cache_file.record import Record
from ..errors import AqaError, CacheError, first_line
from ..extraction.configuration import ExtractionConfig
from ..extraction.numerics import mixed, of_computing
from ..extraction.pipeline import Progress
from ..extraction.shards import Shard
from ..extraction.source import Source
from ..machine.ray_cluster import connected
from .handout import ATTEMPTS, Handout
from .part_place import PartPlace
from .parts import numerics_digest
from .ray_actor import Extractor, Loaded, Standing, Task
from .ray_member import Made, Member, id_of
from .ray_room import Room
from .standing import units_to_do
from .units import Unit
from .worker import UnitDone, put_records

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5  # from one look at the actors to the next
_ROOM_SECONDS = 10.0  # from one look at what the cluster has to the next
_WAITED_SECONDS = 60.0  # for room, until it is said
_UNREACHED_SECONDS = 60.0  # that a node may be silent until its actor is given up; Ray needs some 15
_CLOSING_SECONDS = 10.0
_UNREACHED = "it is not reached any more"
_NODE_DIED = "its node has died"  # Ray's own words
_DEATHS_IN_A_ROW = 10  # with nothing done between them, and the extraction ends


@dataclass(frozen=True)
class RayActors:
    """Who is to do an extraction.

    Args:
        address: of the cluster, see `machine.ray_cluster.connected`.
        most: actors at once; None: as many as the cluster has room for.
        attempts: with a sample alone so many actors may die before it fails.

    Raises:
        AqaError: a number below 1.
    """

    address: str | None = None
    most: int | None = None
    attempts: int = ATTEMPTS

    def __post_init__(self):
        for name in ("most", "attempts"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise AqaError(f"{name} is {value}, it must be at least 1")


class RayCrew:
    """A `Crew` of actors. A context manager; at its end they are ended.

    Args:
        asked: how many, and where.
        engine_before: see `Worker`.

    Raises:
        AqaError: on entering: no cluster, no room in it, or no actor can load the backbone.
    """

    def __init__(
        self,
        asked: RayActors,
        config: ExtractionConfig,
        place: PartPlace,
        source: Source,
        engine_before: str | None,
        stop: threading.Event,
    ):
        self._asked, self._config, self._place, self._source = asked, config, place, source
        self._stop, self._engine_before = stop, engine_before
        self._members: list[Member] = []
        self._said: set[str] = set()
        self._first_loaded: Loaded | None = None
        self._deaths, self._room_for, self._looked = 0, 0, float("-inf")
        self._open = contextlib.ExitStack()

    def __enter__(self) -> "RayCrew":
        with self._open:
            self._ray = self._open.enter_context(connected(self._asked.address))
            self._room = Room.of(self._ray, self._config)
            here = self._source.at if self._source.far else str(Path(self._source.folder).absolute())
            config = replace(
                self._config,
                shard=Shard(),
                device=self._room.device,
                threads=self._room.cpus,
                workers=self._config.workers or self._room.cpus,
            )
            spelt = KNOWN_BACKBONES.spelt(config.backbone)
            self._task = Task(config, spelt, here, self._place.url, self._engine_before)
            self._open.callback(self._end)
            first = self._first()
            self._open = self._open.pop_all()
        self.spec, self.views, self.row_bytes = first.spec, first.views, first.row_bytes
        self.numerics = first.numerics
        self.described = f"{first.described}, in actors of {self._room}"
        return self

    def __exit__(self, *_) -> None:
        self._open.close()

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
        """As `Crew.work`.

        Raises:
            AqaError: as `Worker.do`; an actor computes otherwise than the others; or actors die and nothing
                gets done.
        """
        self._left, self._hashes, self._done = Handout(units, self._asked.attempts), hashes, done
        self._made = Made(units, self._config, len(self.views), progress)
        told = False
        while self._busy or (len(self._left) and not stop.is_set()):
            if not stop.is_set():
                self._deal()
            elif not told:
                self._tell_to_stop()
                told = True
            self._look()
            self._made.tell(self._members)

    @property
    def _busy(self) -> bool:
        return any(member.hand for member in self._members)

    def _first(self) -> Loaded:
        """The first actor that has loaded the backbone."""
        self._begin()
        began, waited = time.monotonic(), False
        while True:
            if self._stop.is_set():
                raise KeyboardInterrupt
            self._look()
            loaded = next((member.loaded for member in self._members if member.loaded), None)
            if loaded is not None:
                return loaded
            if not self._members:
                self._begin()
            if not waited and time.monotonic() - began > _WAITED_SECONDS:
                _log.info(
                    f"No actor of {self._room} is ready yet; see with `ray status` whether a node has room."
                )
                waited = True

    def _begin(self) -> None:
        actor = self._room.actor(self._ray, Extractor, self._task)
        self._members.append(Member(actor, actor.load.remote()))

    def _deal(self) -> None:
        """Units to those who wait, actors for units that are left, an end to those with nothing to do."""
        room = self._asked.most or self._room_now()
        for member in [member for member in self._members if member.loaded and not member.hand]:
            if hand := self._left.take(min(room, len(self._members) + len(self._left))):
                member.hand = {id_of(unit): unit for unit in hand}
                hashes = {v: self._hashes[v] for unit in hand for v in unit.videos if v in self._hashes}
                member.reference = member.actor.do.remote(hand, hashes)
            elif len(self._members) > 1:
                self._end_member(member)
        loading = sum(member.loaded is None for member in self._members)
        for _ in range(min(room - len(self._members), len(self._left) - loading)):
            self._begin()

    def _room_now(self) -> int:
        if time.monotonic() - self._looked > _ROOM_SECONDS:
            self._looked, self._room_for = time.monotonic(), max(1, self._room.actors(self._ray))
        return self._room_for

    def _look(self) -> None:
        """What has become of the actors."""
        waiting = {member.reference: member for member in self._members if member.reference is not None}
        ready: list[Any] = []
        if waiting:
            ready, _ = self._ray.wait(list(waiting), num_returns=len(waiting), timeout=_LOOK_SECONDS)
        else:
            time.sleep(_LOOK_SECONDS)
        for reference in ready:
            member = waiting[reference]
            with self._deaths_of(member):
                self._hear(member, self._ray.get(reference))
        for member in [member for member in self._members if member.hand]:
            if member.unreached_since is not None:
                self._look_for_node(member)
                continue
            with self._deaths_of(member):
                self._ask(member)

    def _hear(self, member: Member, said: "Loaded | Standing | str") -> None:
        """The end of a call."""
        member.reference = None
        if isinstance(said, str):
            raise AqaError(said)
        if isinstance(said, Loaded):
            self._check(said)
            member.loaded = said
            return
        if member.asked is not None:  # what its answer tells, the end of the hand tells no more
            self._take(member, self._ray.get(member.asked))
        self._take(member, said)
        if said.refused:
            raise AqaError(said.refused)
        assert self._stop.is_set() or not member.hand, "an actor ended with units that are not done"
        self._end_hand(member)

    def _end_hand(self, member: Member) -> None:
        self._made.clips += member.put
        member.hand, member.clips, member.put, member.asked = {}, 0, 0, None

    def _ask(self, member: Member) -> None:
        """Take what an actor told since it was asked last, and ask again."""
        if member.asked is not None:
            if not self._ray.wait([member.asked], timeout=0)[0]:
                return
            self._take(member, self._ray.get(member.asked))
        member.asked = member.actor.standing.remote()

    def _take(self, member: Member, standing: Standing) -> None:
        for level, line in standing.said:
            if line not in self._said:
                self._said.add(line)
                _log.log(level, line)
        member.clips = standing.clips
        for unit in standing.done:
            member.hand.pop(id_of(unit.unit), None)
            member.put += unit.clips
            self._take_unit(unit)

    def _take_unit(self, unit: UnitDone) -> None:
        self._deaths = 0
        self._made.samples += unit.samples
        self._done(unit)
        if unit.failures and self._config.on_error == "stop":
            self._stop.set()

    def _check(self, loaded: Loaded) -> None:
        """Whether an actor makes the same features as the first.

        Raises:
            AqaError: it has other weights; CacheError: it computes otherwise, and that is not allowed.
        """
        first = self._first_loaded = self._first_loaded or loaded
        if loaded.spec != first.spec:
            differing = "; ".join(loaded.spec.differences(first.spec))
            raise AqaError(
                f"actors on {loaded.host} and {first.host} make other features ({differing}); give all nodes"
                " the same weights and the same version of this program"
            )
        if (
            numerics_digest(loaded.numerics) != numerics_digest(first.numerics)
            and not self._config.allow_mixed
        ):
            mine, theirs = of_computing(loaded.numerics), of_computing(first.numerics)
            whose = f"an actor on {first.host}, which is not as one on {loaded.host},"
            raise CacheError(mixed(self._place.url, mine, theirs, whose))

    @contextlib.contextmanager
    def _deaths_of(self, member: Member) -> Generator[None]:
        try:
            yield
        except self._ray.exceptions.RayTaskError as error:
            self._bury(member, f"{type(error.cause).__name__}: {first_line(error.cause)}")
        except self._ray.exceptions.ActorUnavailableError:
            if member.loaded is None:
                self._bury(member, _UNREACHED)
                return
            # One that died is told of as dead. Of a lost node Ray knows only when it was silent for a while.
            member.reference = member.asked = None
            member.unreached_since = member.unreached_since or time.monotonic()
        except self._ray.exceptions.RayError as error:
            why = "its process ended: it was killed, or the node had no memory left"
            self._bury(member, why, _NODE_DIED in str(error))

    def _look_for_node(self, member: Member) -> None:
        """Whether an actor is not reached because its node is lost."""
        assert member.unreached_since is not None
        if self._node_is_lost(member) or time.monotonic() - member.unreached_since > _UNREACHED_SECONDS:
            self._bury(member, _UNREACHED)

    def _node_is_lost(self, member: Member) -> bool:
        alive = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        return member.loaded is not None and member.loaded.node not in alive

    def _bury(self, member: Member, why: str, node_died: bool = False) -> None:
        """An actor is dead: what it had and had not put goes to others."""
        self._end_member(member)
        host, gone = (
            member.loaded.host if member.loaded else "a node",
            node_died or self._node_is_lost(member),
        )
        units, left = list(member.hand.values()), []
        if units:
            left = self._not_put(units)
            self._end_hand(member)
        lost = f"{sum(len(unit.samples) for unit in left)} sample(s) go to others"
        if gone and member.loaded is None:
            _log.info("A node was lost, with an actor that loaded the backbone; another begins.")
        elif gone:
            _log.info(f"A node was lost, with an actor on {host}; {lost}.")
        elif member.loaded is None:
            _log.info(f"An actor died as it loaded the backbone ({why}); another begins.")
        else:
            _log.info(f"An actor on {host} died ({why}); {lost}.")
        if gone:
            self._left.give_back(left)
            return
        self._deaths += 1
        if self._deaths >= _DEATHS_IN_A_ROW:
            raise AqaError(
                f"{self._deaths} actors died one after the other, and nothing got done between them; the last"
                f" on {host}: {why}"
            )
        for sample in self._left.died(left) if left else ():
            self._give_up(sample, why)

    def _not_put(self, units: list[Unit]) -> list[Unit]:
        """What is left of units, by what lies in the place."""
        left = units_to_do(units, self._source.stamp, self._place, self._place.parts(self.spec), self.views)
        of_unit = {sample.sample_id for unit in left for sample in unit.samples}
        for unit in units:
            there = sum(sample.sample_id not in of_unit for sample in unit.samples)
            if there:
                self._take_unit(UnitDone(unit, 0, [], [], there))
        return left

    def _give_up(self, sample: Sample, why: str) -> None:
        """Note that a sample failed, as an actor would."""
        reason = (
            f"{sample.sample_id} ({sample.video}): {self._asked.attempts} actors died with it ({why}); the"
            " next run tries it again"
        )
        sha256 = self._hashes.get(sample.video, "")
        record = Record(sample, [None] * len(self.views), reason, *self._source.stamp(sample.video), sha256)
        unit = Unit((sample,), 0)
        self._take_unit(put_records(self._place, unit, [record], self.spec, self.numerics, self.views))

    def _tell_to_stop(self) -> None:
        for member in list(self._members):
            if member.hand:
                member.actor.stop.remote()
            else:
                self._end_member(member)

    def _end_member(self, member: Member) -> None:
        self._members.remove(member)
        self._ray.kill(member.actor)

    def _end(self) -> None:
        """End the actors; those that live remove what they have fetched."""
        closing = [member.actor.close.remote() for member in self._members if member.loaded]
        if closing:
            self._ray.wait(closing, num_returns=len(closing), timeout=_CLOSING_SECONDS)
        for member in list(self._members):
            self._end_member(member)
