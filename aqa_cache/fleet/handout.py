"""Units that are handed out as workers ask for them, and what becomes of those with which a worker died."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace

from ..annotations import Sample
from .units import Unit

ATTEMPTS = 3
"""With a sample alone so many workers may die."""
# A hand is this share of what each worker would get if all were dealt now: large ones first, so that a worker
# seldom waits between units, small ones in the end, so that none holds up the rest.
_SHARE = 4
_MOST_UNITS = 16


class Handout:
    """What of an extraction is to be done and is in no worker's hands.

    A worker that dies leaves it open which of its units killed it: each of them then goes out alone, one with
    which a worker dies alone is halved, and a single sample is tried `attempts` times.

    Args:
        units: in any order; the largest are handed out first.
    """

    def __init__(self, units: Sequence[Unit], attempts: int = ATTEMPTS):
        self._units = deque(sorted(units, key=lambda unit: -unit.frames))
        self._frames = sum(unit.frames for unit in units)
        self._suspects: deque[Unit] = deque()
        self._attempts, self._deaths = attempts, Counter[str]()

    def __len__(self) -> int:
        """Units that are left."""
        return len(self._units) + len(self._suspects)

    def take(self, workers: int) -> list[Unit]:
        """What one of so many workers is to do next; nothing where nothing is left."""
        if not self._units:
            return [self._suspects.popleft()] if self._suspects else []
        share = self._frames / (_SHARE * max(1, workers))
        hand, frames = [], 0
        while self._units and len(hand) < _MOST_UNITS:
            if hand and frames + self._units[0].frames > share:
                break
            hand.append(self._units.popleft())
            frames += hand[-1].frames
        self._frames -= frames
        return hand

    def give_back(self, units: Sequence[Unit]) -> None:
        """What was not done, by no fault of its own."""
        self._units.extendleft(reversed(units))
        self._frames += sum(unit.frames for unit in units)

    def died(self, units: Sequence[Unit]) -> list[Sample]:
        """A worker died with these; gives the samples that have had all their attempts."""
        if len(units) > 1:
            self._suspects.extend(units)
            return []
        given_up = []
        for unit in units:
            if len(unit.samples) > 1:
                self._suspects.extend(_halves(unit))
                continue
            (sample,) = unit.samples
            self._deaths[sample.sample_id] += 1
            if self._deaths[sample.sample_id] < self._attempts:
                self._suspects.append(unit)
            else:
                given_up.append(sample)
        return given_up


def _halves(unit: Unit) -> list[Unit]:
    middle = len(unit.samples) // 2
    return [
        replace(unit, samples=samples, frames=unit.frames * len(samples) // len(unit.samples))
        for samples in (unit.samples[:middle], unit.samples[middle:])
    ]
