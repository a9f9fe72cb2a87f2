"""Who is told how far a run is."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..runs.folder import Work
from ..runs.tables import Epoch


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

    on_stage: Callable[[str], None] = lambda stage: None
    on_frames: Callable[[int, int], None] = lambda done, total: None
    on_step: Callable[[Step], None] = lambda step: None
    on_epoch: Callable[[Epoch], None] = lambda epoch: None

    def telling(self, work: Work, epochs: int) -> "Listener":
        """One that notes in the run's folder, too, how many epochs are done, of at most `epochs`."""

        def on_epoch(epoch: Epoch) -> None:
            work.tell(epoch.epoch, epochs, epoch.val_spearman)
            self.on_epoch(epoch)

        return replace(self, on_epoch=on_epoch)
