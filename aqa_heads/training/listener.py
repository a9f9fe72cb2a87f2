"""Who is told how far a run is."""

from collections.abc import Callable
from dataclasses import dataclass

from ..runs.format import Epoch


@dataclass(frozen=True)
class Step:
    """Where an epoch stands.

    Args:
        clips: of the epoch that are done, `clips_total` of all.
        made: clips that this command has trained on in all, what it resumed from left out.
        loss: of the step.
    """

    epoch: int
    clips: int
    clips_total: int
    made: int
    loss: float | None


@dataclass(frozen=True)
class Listener:
    """Who is told how far a run is; see `fine_tune`."""

    say: Callable[[str], None] = lambda line: None
    on_stage: Callable[[str], None] = lambda stage: None
    on_frames: Callable[[int, int], None] = lambda done, total: None
    on_step: Callable[[Step], None] = lambda step: None
    on_epoch: Callable[[Epoch], None] = lambda epoch: None
