"""Intervals of new samples' scores, from what a run's held-out samples say of its errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from aqa_cache.errors import some

from .conformal import (
    clipped,
    coverage_range,
    cv_plus,
    cv_plus_floor,
    fewest,
    half_width,
    half_width_of_groups,
)

if TYPE_CHECKING:
    from ..runs.format import Run

# A standard deviation of fewer seeds is itself known to no more than a factor of 2.
FEWEST_SEEDS = 5
_ROUNDING = 1e-9  # of a width
FOLDS_NEEDED = "train with --validation-folds 5"
NOT_STRICT = (
    "the guarantee is not strict: the scoring model learned from these samples, their errors are of others"
)

Interval = tuple[float, float]


@dataclass(frozen=True)
class Calibration:
    """Errors on samples that the models which made them did not learn from.

    Args:
        errors: |true - predicted|, in points.
        spreads: of each prediction, in points; None where there are none to scale by.
        of_seeds: whether they are standard deviations over runs of several seeds, not a score head's.
        labels: of each sample by column, to calibrate groups or classes apart; None where it has none.
        groups: of each sample, where whole groups are what is counted; else None.
        members: what a group is, for a person.
        folds: of each sample, where each fold has a model that is kept (CV+); else None.
        fold_of_run: of each run whose points `interval` is given, likewise.
        scale: lowest and highest score there can be; None: not known.
        caution: what is to be said beside every interval.
        signed: true - predicted, for the errors of differences; None where there is nothing.
        lacking: why there is no interval, with what to do; empty where there can be one.

    Shape: errors, spreads, folds, signed: `(samples,)`; fold_of_run: `(runs,)`.
    """

    errors: np.ndarray = field(default_factory=lambda: np.empty(0))
    spreads: np.ndarray | None = None
    of_seeds: bool = False
    labels: dict[str, list[str | None]] = field(default_factory=dict)
    groups: list[str] | None = None
    members: str = "groups"
    folds: np.ndarray | None = None
    fold_of_run: np.ndarray | None = None
    scale: Interval | None = None
    caution: tuple[str, ...] = ()
    lacking: str = ""
    signed: np.ndarray | None = None
    _widths: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    @property
    def n(self) -> int:
        """What is counted: samples, or groups where these were held out whole."""
        return len(self.errors) if self.groups is None else len(set(self.groups))

    @property
    def counted(self) -> str:
        return f"{self.n} {'calibration samples' if self.groups is None else self.members}"

    def interval(
        self,
        points: float | np.ndarray,
        spread: float | None = None,
        group: str | None = None,
        level: float = 0.9,
        by: str = "group",
    ) -> tuple[Interval | None, str]:
        """As `interval_of`."""
        if self.lacking:
            return None, self.lacking
        of_runs = np.atleast_1d(np.asarray(points, float))
        if not np.isfinite(of_runs).all():
            return None, "no interval: the score is not known"
        own, note = self._own(group, by, level)
        reached = coverage_range(own.n, level)
        if reached is None:
            possible = f"; they allow {int(100 * own.n / (own.n + 1))} % at most" if own.n else ""
            return None, (
                f"no interval: {own.counted} are too few for {100 * level:g} %, which needs {fewest(level)}"
                f"{possible}"
            )
        said = f"{100 * level:g} %, with {own.counted}: {100 * reached[0]:.0f} to {100 * reached[1]:.0f} %"
        if self.folds is not None:
            note += [own._of_cv_plus(level) if len(of_runs) > 1 else NOT_STRICT]
        low, high = clipped(*own._ends(of_runs, spread, level), self.scale)
        return (float(low), float(high)), "; ".join([said, *note, *self.caution])

    def share_as_wide(
        self,
        points: float | np.ndarray,
        spread: float | None = None,
        group: str | None = None,
        level: float = 0.9,
        by: str = "group",
    ) -> float | None:
        """Which share of the calibration samples, and a new one itself, has an interval as wide as it, before
        the ends are clipped to the scale; 1 where all are as wide.

        None where there is no interval, or with CV+, whose widths come of models that these samples do not
        have.

        Args: as `interval_of`.
        """
        of_runs = np.atleast_1d(np.asarray(points, float))
        if self.lacking or (self.folds is not None and len(of_runs) > 1):
            return None
        if (found := ("widths", level, by)) not in self._widths:
            labels, spreads = self.labels.get(by) or [None] * len(self.errors), self.spreads
            self._widths[found] = np.array(
                [
                    self._width(
                        np.zeros(1), None if spreads is None else float(spreads[place]), label, level, by
                    )
                    for place, label in enumerate(labels)
                ]
            )
        width, others = self._width(of_runs, spread, group, level, by), self._widths[found]
        if not np.isfinite(width):
            return None
        return float((1 + (others >= width * (1 - _ROUNDING)).sum()) / (1 + len(others)))

    def _width(
        self, of_runs: np.ndarray, spread: float | None, group: str | None, level: float, by: str
    ) -> float:
        low, high = self._own(group, by, level)[0]._ends(of_runs, spread, level)
        return high - low

    def _own(self, group: str | None, by: str, level: float) -> tuple["Calibration", list[str]]:
        """The calibration of samples of this group or class alone, where they are enough; what to say."""
        found = self.labels.get(by)
        if group is None or found is None or (by.startswith("group") and self.groups is not None):
            return self, []
        key = by, group
        if key not in self._widths:
            self._widths[key] = self._of([place for place, label in enumerate(found) if label == group])
        own = self._widths[key]
        if own.n < fewest(level):
            return self, [f"{own.n} of them of {by} {group}, too few for their own"]
        return own, [f"all of {by} {group}"]

    def _of(self, places: list[int]) -> "Calibration":
        return replace(
            self,
            errors=self.errors[places],
            spreads=None if self.spreads is None else self.spreads[places],
            folds=None if self.folds is None else self.folds[places],
            groups=None if self.groups is None else [self.groups[place] for place in places],
            labels={},
            signed=None if self.signed is None else self.signed[places],
            _widths={},
        )

    def _of_cv_plus(self, level: float) -> str:
        if self.groups is not None:
            return "CV+ of whole groups"
        least = cv_plus_floor(len(self.errors), len(np.unique(self.folds)), level)
        return f"CV+: {100 * least:.0f} % are guaranteed, close to {100 * level:g} % is usual"

    def _ends(self, of_runs: np.ndarray, spread: float | None, level: float) -> Interval:
        if self.folds is not None and len(of_runs) > 1:
            by_fold = np.bincount(self.fold_of_run, of_runs) / np.bincount(self.fold_of_run)
            if self.groups is None:
                low, high = cv_plus(by_fold[self.folds], self.errors, level)
                return float(low), float(high)
            said, width = by_fold[self.folds], half_width_of_groups
            return (
                -width(self.errors - said, self.groups, level),
                width(self.errors + said, self.groups, level),
            )
        if self.of_seeds and len(of_runs) > 1:
            spread = float(np.std(of_runs, ddof=1))
        scaled = self.spreads is not None and bool(spread)
        width = self._half_width(scaled, level) * (spread if scaled else 1)
        return float(of_runs.mean() - width), float(of_runs.mean() + width)

    def _half_width(self, scaled: bool, level: float) -> float:
        if (scaled, level) not in self._widths:
            errors = self.errors / self.spreads if scaled else self.errors
            self._widths[scaled, level] = float(
                half_width(errors, level)
                if self.groups is None
                else half_width_of_groups(errors, self.groups, level)
            )
        return self._widths[scaled, level]


def interval_of(
    run: "Run | Sequence[Run]",
    points: float | np.ndarray,
    spread: float | None = None,
    group: str | None = None,
    level: float = 0.9,
    by: str = "group",
) -> tuple[Interval | None, str]:
    """The interval that holds a new sample's true score with probability `level`, and what is to be said
    beside it; without an interval, why, and what to do.

    Args:
        run: or runs that differ in seed or fold and are averaged. For many samples, make `calibration_of`
            once.
        points: the predicted score; of several runs their mean, or one score per run, in their order. Of the
            runs of folds, their scores give CV+, their mean alone the cross-conformal interval.
        spread: of the score head, in points; of several runs the mean. Without effect where the held-out
            scores have none; then, of at least `FEWEST_SEEDS` seeds, the standard deviation of `points`
            scales the interval.
        group: of the sample: where enough calibration samples are of it too, it is calibrated by them alone
            (Mondrian).
        by: the column of `predictions.csv` that `group` is in, such as `class_event`.

    The ends are clipped to the scale that the run knows (`--score-range`), never to its training scores.
    """
    return calibration_of(run).interval(points, spread, group, level, by)


def calibration_of(run: "Run | Sequence[Run]") -> Calibration:
    """What a run, or runs that differ in seed or fold and are averaged, say of their errors.

    A run that was not refitted has its validation samples (split conformal); a refitted one what the models
    of its folds predicted (cross-conformal); runs of several test folds what each predicted of its own.
    """
    runs = [run] if hasattr(run, "out_of_fold") else list(run)
    if any("score" not in (each.config.get("tasks") or ("score",)) for each in runs):
        return Calibration(lacking="no interval: the run predicts no score")
    folds = list(dict.fromkeys(each.config.get("fold") for each in runs))
    return _of_seeds(runs) if len(folds) == 1 else _of_folds(runs, folds)


def _of_seeds(runs: "Sequence[Run]") -> Calibration:
    """The calibration of runs that differ in nothing but the seed."""
    first = runs[0]
    refit = bool(first.config.get("refit"))
    rows = [{row.sample_id: row for row in run.out_of_fold} for run in runs]
    names = [name for name in rows[0] if all(name in of_run for of_run in rows[1:])]
    if lacking := _lacking(runs, refit, names):
        return Calibration(lacking=f"no interval: {lacking}; {FOLDS_NEEDED}")
    true = np.array([rows[0][name].true for name in names])
    predicted = np.array([[of_run[name].predicted for name in names] for of_run in rows])
    spreads = [[of_run[name].spread for name in names] for of_run in rows]
    caution = [NOT_STRICT] if refit else []
    if not refit and any(rows[0][name].chose_epoch for name in names):
        caution.append("the epoch was chosen on these samples, so the interval is a little narrow")
    validation = first.config.get("validation") or {}
    role = validation.get("role") or "group"
    labels = _labels({row["sample_id"]: row for row in first.predictions}, names)
    groups = [rows[0][name].group or of_table for name, of_table in zip(names, labels["group"])]
    counted = None
    if validation.get("whole_groups"):
        counted = [name if group is None else f"of {group}" for name, group in zip(names, groups)]
    elif any(group is not None for group in groups):
        caution.append(f"for a sample of a new {_singular(role)} it may be too narrow")
    return Calibration(
        np.abs(true - predicted.mean(axis=0)),
        *_usable(spreads, predicted),
        labels | {role: groups},
        counted,
        _plural(role),
        scale=_scale(first),
        caution=tuple(caution),
        signed=true - predicted.mean(axis=0),
    )


def _lacking(runs: "Sequence[Run]", refit: bool, names: Sequence[str]) -> str:
    """Why runs of one fold say nothing of their errors; empty where they do.

    Args:
        names: sample_ids that were held out in all of them.
    """
    if any(not run.out_of_fold for run in runs):
        return "the run has no scores of held-out samples (out_of_fold.csv)"
    if refit and any(len({row.fold for row in run.out_of_fold}) < 2 for run in runs):
        return "the model was trained once more on the samples that were held out"
    return "" if names else f"no sample was held out in all {len(runs)} runs"


def _of_folds(runs: "Sequence[Run]", folds: Sequence[str]) -> Calibration:
    """The calibration of runs of several test folds: by what each predicted of its test samples, which it has
    not seen.
    """
    found: dict[str, dict[str, list[float]]] = {fold: {} for fold in folds}
    true: dict[str, float] = {}
    rows: dict[str, dict[str, str]] = {}
    for run in runs:
        for row in run.predictions:
            if row["split"] == "test" and None not in (row["final_score"], row["predicted_score"]):
                name = row["sample_id"]
                true[name], rows[name] = float(row["final_score"]), row
                found[run.config.get("fold")].setdefault(name, []).append(float(row["predicted_score"]))
    placed = [(name, fold) for fold in folds for name in found[fold]]
    if len({name for name, _ in placed}) < len(placed):
        twice = some([name for name in true if sum(name in found[fold] for fold in folds) > 1])
        return Calibration(
            lacking=f"no interval: {twice} tested in more than one fold, as each seed divides the samples"
            " otherwise; name the runs of one seed"
        )
    means = np.array([np.mean(found[fold][name]) for name, fold in placed])
    of_fold = {fold: {rows[name]["group"] for name in found[fold]} - {""} for fold in folds}
    error = np.array([true[name] for name, _ in placed]) - means
    whole = any(of_fold.values()) and sum(map(len, of_fold.values())) == len(set().union(*of_fold.values()))
    labels = _labels(rows, [name for name, _ in placed])
    groups = labels["group"]
    return Calibration(
        np.abs(error),
        labels=labels,
        groups=[f"of {g}" if g else name for g, (name, _) in zip(groups, placed)] if whole else None,
        folds=np.array([folds.index(fold) for _, fold in placed]),
        fold_of_run=np.array([folds.index(run.config.get("fold")) for run in runs]),
        scale=_scale(runs[0]),
        signed=error,
    )


def _usable(spreads: list[list[float | None]], predicted: np.ndarray) -> tuple[np.ndarray | None, bool]:
    """The score heads' spreads, of several runs their mean, or else those of the seeds, and which they are;
    None where there are none or one is 0.
    """
    if all(value is not None for of_run in spreads for value in of_run):
        found, of_seeds = np.array(spreads, float).mean(axis=0), False
    elif len(predicted) >= FEWEST_SEEDS:
        found, of_seeds = predicted.std(axis=0, ddof=1), True
    else:
        return None, False
    return (found, of_seeds) if (found > 0).all() else (None, False)


def _labels(rows: Mapping[str, Mapping[str, str]], names: Sequence[str]) -> dict[str, list[str | None]]:
    """The cells of the samples in the columns of `predictions.csv` that name groups and classes.

    Args:
        rows: of that table, by sample_id.
    """
    columns = [name for name in next(iter(rows.values()), {}) if name == "group" or name.startswith("class_")]
    return {
        column: [rows.get(name, {}).get(column) or None for name in names] for column in ("group", *columns)
    }


def _scale(run: "Run") -> Interval | None:
    ends = run.config.get("score_range")
    return (float(ends[0]), float(ends[1])) if ends and len(ends) == 2 else None


def _singular(role: str) -> str:
    return role.removeprefix("group_")


def _plural(role: str) -> str:
    """
    >>> _plural("group_person"), _plural("group"), _plural("group_day")
    ('people', 'groups', 'groups (group_day)')
    """
    return {"group": "groups", "group_person": "people"}.get(role, f"groups ({role})")
