"""The actors of Ray as the driver sees them, and how far all of them are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..extraction.configuration import ExtractionConfig
from ..extraction.pipeline import Progress
from .ray_actor import Loaded
from .units import Unit, clips_of


@dataclass(eq=False)
class Member:
    """An actor, as the driver sees it.

    Attributes:
        reference: of the call whose end is waited for, if any; asked: of its `standing`.
        loaded: None until it is; hand: by the id of their first sample, the units that it has and that are
            not put yet.
        clips: that it has made since its last hand began; put: those of them that are put.
        unreached_since: by `time.monotonic`, from when on it does not answer and is not known to be dead.
    """

    actor: Any
    reference: Any
    asked: Any = None
    loaded: Loaded | None = None
    hand: dict[str, Unit] = field(default_factory=dict)
    clips: int = 0
    put: int = 0
    unreached_since: float | None = None


class Made:
    """How far all actors together are.

    Attributes:
        clips: that were put, of hands that have ended; samples: of units that were put.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        config: ExtractionConfig,
        views: int,
        progress: Callable[[Progress], None],
    ):
        samples = [sample for unit in units for sample in unit.samples]
        self._clips_total = views * sum(clips_of(sample, config.clip_rule) for sample in samples)
        self._samples_total, self._progress = len(samples), progress
        self.clips = self.samples = 0

    def tell(self, members: Sequence[Member]) -> None:
        clips = self.clips + sum(max(member.clips, member.put) for member in members)
        total = max(clips, self._clips_total)
        self._progress(Progress(clips, total, self.samples, self._samples_total))


def id_of(unit: Unit) -> str:
    """By which a unit that is under way is known."""
    return unit.samples[0].sample_id
