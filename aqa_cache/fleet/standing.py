"""What of an extraction is done, by what exists in its place."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import CacheError, some
from ..extraction.numerics import mixed, of_computing
from ..remote.place import Item
from .part_place import PartPlace
from .parts import DamagedPart, PartName, key_of, key_of_record, numerics_digest, samples_digest
from .units import Unit

_log = logging.getLogger(__name__)

_HOSTS_SHOWN = 5


def units_to_do(
    units: Sequence[Unit],
    stamp: Callable[[str], tuple[int, int]],
    place: PartPlace,
    parts: Mapping[PartName, Item],
    views: Sequence[str],
) -> list[Unit]:
    """The units with those samples that no part has features of.

    The name of a unit's part says that it is whole; parts of other names (of a run that was stopped, of a
    unit of which samples failed, of a table that was shorter then) are read, to see what they hold.

    Args:
        stamp: of a video, see `Videos.stamp`.
        parts: that count.
    """
    by_digest: dict[str, list[PartName]] = {}
    for name in parts:
        if not name.failed:
            by_digest.setdefault(name.samples, []).append(name)
    keys = {id(unit): [key_of(sample, stamp(sample.video)) for sample in unit.samples] for unit in units}
    left = [unit for unit in units if not by_digest.pop(samples_digest(keys[id(unit)], views), None)]
    if not left or not by_digest:
        return left
    done = set()
    names = [str(name) for several in by_digest.values() for name in several]
    items = {str(name): item for name, item in parts.items()}
    with place.opened(items, names) as opened:
        for name in names:
            try:
                with opened(name) as cache:
                    records = map(cache.record, range(len(cache)))
                    done |= {key_of_record(record) for record in records if record.ok}
            except DamagedPart as error:
                _log.info(f"{error}: what it should hold is made anew.")
            except FileNotFoundError:
                continue
    remaining = []
    for unit in left:
        samples = [s for s, key in zip(unit.samples, keys[id(unit)], strict=True) if key not in done]
        if samples:
            share = unit.frames * len(samples) // len(unit.samples)
            remaining.append(replace(unit, samples=tuple(samples), frames=share))
    return remaining


def numerics_there(place: PartPlace, parts: Mapping[PartName, Item]) -> dict[str, dict[str, Any]]:
    """By their digests, the numerics of the parts; one part of each is read."""
    one_of = {name.numerics: name for name in parts if not name.failed}
    found = {}
    with place.opened({str(name): parts[name] for name in one_of.values()}) as opened:
        for digest, name in one_of.items():
            try:
                with opened(str(name)) as cache:
                    found[digest] = of_computing(cache.numerics)
            except (DamagedPart, FileNotFoundError):
                continue
    return found


def check_numerics(
    place: PartPlace,
    parts: Mapping[PartName, Item],
    there: Mapping[str, dict[str, Any]],
    mine: dict[str, Any],
) -> None:
    """Refuse to make features beside others that were computed otherwise.

    Args:
        there: as `numerics_there` gives it.

    Raises:
        CacheError: with the hosts that made the others.
    """
    others = {digest: numerics for digest, numerics in there.items() if digest != numerics_digest(mine)}
    if others:
        digest, numerics = next(iter(others.items()))
        whose = f"parts that {hosts_of(place, parts, digest)} made"
        raise CacheError(mixed(place.url, of_computing(mine), numerics, whose))


def hosts_of(place: PartPlace, parts: Mapping[PartName, Item], digest: str) -> str:
    """The hosts that made parts with some numerics; a few parts are asked."""
    names = [name for name in parts if name.numerics == digest][:_HOSTS_SHOWN]
    return some(sorted({place.host_of(name) for name in names}), _HOSTS_SHOWN)
