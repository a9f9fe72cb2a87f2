"""What stands behind a score: the scores of training, what is reached without any video, and how the runs
tested.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .results import Score
from .trained import Trained, learned_by

RANDOM_FEATURES = "the features come from random weights: the scores show that the tool works, no more"
MEAN, DIFFICULTY = "mean training score", "what the difficulty alone gives"
_METRICS = ("spearman", "mae", "relative_l2")


@dataclass(frozen=True)
class Tested:
    """How runs did on their test samples, averaged over the runs.

    Args:
        n: samples that any of the runs was tested on: those of all folds.
        spearman, mae, relative_l2: None where one is not defined. mae in points.
        interval: of Spearman's rho, 95 %, of one run; None of several, or where it is not known.
        floors: Spearman and mean absolute error without any video, by name; None where not defined.
        ceiling: Spearman of one judge with the others; None where marks are not known.
    """

    n: int
    spearman: float | None
    mae: float | None
    relative_l2: float | None
    interval: tuple[float, float] | None
    floors: dict[str, tuple[float | None, float | None]]
    ceiling: float | None


@dataclass(frozen=True)
class Background:
    """What a page says of the runs that scored.

    Args:
        label: of the row that the runs are of.
        runs: their names.
        training_scores: in points, ascending.
        line: slope and intercept of the score by difficulty, of the training samples; None where it is not
            known.
        tested: None of a model file alone.
        limits: what the numbers cannot tell, a line each.
    """

    label: str
    runs: tuple[str, ...]
    training_scores: tuple[float, ...] = ()
    line: tuple[float, float] | None = None
    tested: Tested | None = None
    limits: tuple[str, ...] = ()

    def floors_of(self, score: Score) -> dict[str, float]:
        """What would be said of a sample without seeing it, in points."""
        found = {MEAN: float(np.mean(self.training_scores))} if self.training_scores else {}
        if self.line is not None and score.difficulty is not None:
            found[DIFFICULTY] = self.line[0] * score.difficulty + self.line[1]
        return found


def background_of(runs: Sequence[Trained], names: Sequence[str]) -> Background:
    """What is to be said of runs whose scores are averaged."""
    learned = learned_by(runs)
    known = sorted(s.final_score for s in learned.values() if s.final_score is not None)
    tested = _tested(runs)
    return Background(
        str(runs[0].config.get("label") or runs[0].name),
        tuple(names),
        tuple(known),
        _line(runs, frozenset(learned)),
        tested,
        tuple(_limits(runs, len(learned), known, tested)),
    )


def _line(runs: Sequence[Trained], learned: frozenset[str]) -> tuple[float, float] | None:
    """The least-squares line from difficulty to score, as the floor of that name has it."""
    rows = {
        row["sample_id"]: (float(row["difficulty"]), float(row["final_score"]))
        for trained in runs
        if trained.run is not None
        for row in trained.run.predictions
        if row["sample_id"] in learned and None not in (row.get("difficulty"), row["final_score"])
    }
    values = np.array(list(rows.values()))
    if len({difficulty for difficulty, _ in rows.values()}) < 2 or not np.isfinite(values).all():
        return None
    slope, intercept = np.polyfit(values[:, 0], values[:, 1], 1)
    return float(slope), float(intercept)


def _tested(runs: Sequence[Trained]) -> Tested | None:
    summaries = [trained.run.summary for trained in runs if trained.run is not None]
    if len(summaries) < len(runs) or not summaries[0].get("n_test"):
        return None
    metrics = {name: _mean([summary.get(name) for summary in summaries]) for name in _METRICS}
    if metrics["spearman"] is None and metrics["mae"] is None:
        return None
    interval = summaries[0].get("interval") or ()
    of_floors = [summary.get("floors") or {} for summary in summaries]
    floors = {}
    for name in of_floors[0]:
        found = [floors_of_run.get(name) for floors_of_run in of_floors]
        if all(found):
            floors[name] = (
                _mean([floor.get("spearman") for floor in found]),
                _mean([floor.get("mae") for floor in found]),
            )
    known = len(summaries) == 1 and len(interval) == 2 and None not in interval
    tested = {
        row["sample_id"]
        for trained in runs
        if trained.run is not None
        for row in trained.run.predictions
        if row["split"] == "test" and None not in (row["final_score"], row["predicted_score"])
    }
    return Tested(
        len(tested) or summaries[0]["n_test"],
        **metrics,
        interval=(float(interval[0]), float(interval[1])) if known else None,
        floors=floors,
        ceiling=_mean([(summary.get("ceiling") or {}).get("spearman") for summary in summaries]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def _limits(
    runs: Sequence[Trained], learned: int, known: Sequence[float], tested: Tested | None
) -> list[str]:
    limits = []
    scored = f", with scores from {known[0]:g} to {known[-1]:g}" if known else ""
    from_what = f"It learned from {learned:,} samples{scored}. " if learned else ""
    limits.append(
        f"{from_what}It knows actions, cameras and judges like those; of others its numbers mean little."
    )
    floors = [floor for floor, _ in (tested.floors.values() if tested else ()) if floor is not None]
    if tested and tested.spearman is not None and floors and tested.spearman <= max(floors):
        limits.append("On the test samples it ranked no better than what needs no video does.")
    if any(run.config.get("leaked") for run in runs):
        limits.append(
            "Some of its test samples are, in part, training samples too: its test results are too good."
        )
    limits.append(
        "It gives no reason that a judge would give: what a clip adds, and which samples are alike, is of the"
        " model, not of the rules of the sport."
    )
    return limits
