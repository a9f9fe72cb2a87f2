"""What a person should know of the scores of a table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .background import RANDOM_FEATURES
from .flags import uncounted_note
from .results import Score

if TYPE_CHECKING:
    from .trained import Trained


def notes_on_all(runs: "Sequence[Trained]", scores: Sequence[Score]) -> list[str]:
    """What a person should know of all scores of a table, a line each."""
    notes = []
    if runs[0].config.get("features", {}).get("weights_random") and not runs[0].tuned_itself:
        notes.append(RANDOM_FEATURES)
    if any(run.config.get("without_neighbours") for run in runs):
        notes.append(
            "the model was packed without its training samples: it says neither which of them are alike,"
            " nor whether a sample is out of their range or unlike them, nor whether it learned from it"
        )
    elif any(run.samples is None for run in runs):
        notes.append(
            "no neighbours, and not known what was learned from: the run is of an earlier version, or a"
            " model file alone; train it again for both"
        )
    notes += uncounted_note(runs)
    if len(runs) > 1:
        notes.append(f"scores are averages of {len(runs)} runs, and the spread is that among them")
        if any(one.caption is not None for one in scores):
            notes.append(f"captions are those of {runs[0].name}")
    return notes
