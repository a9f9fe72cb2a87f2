"""Configurations that are compared on validation: the best is tested, the others never are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import TrainingError
from .evaluation.metrics import relative_l2, spearman
from .settings.choices import CANDIDATES
from .settings.training import TrainingConfig
from .table import Shown, Table

if TYPE_CHECKING:
    from .ray_runs import RayRuns
    from .runs.format import Run

NAME = "chosen"
_FEWEST = 3  # samples to compare by
# From here on the best result of validation is clearly too good.
MANY = 4


@dataclass(frozen=True)
class Candidate:
    """What validation says of one configuration: means over its seeds.

    Args:
        config: without fold, with the first seed.
        label: as a report has it.
        relative_l2, spearman: on the samples that every candidate was validated with; None where there are no
            scores, or it is not defined.
        accuracy: of classes, on its validation samples, where there are no scores.
    """

    config: TrainingConfig
    label: str
    relative_l2: float | None
    spearman: float | None
    accuracy: float | None = None

    @property
    def loss(self) -> float:
        """What it is chosen by, the lower the better."""
        value = self.relative_l2 if self.accuracy is None else -self.accuracy
        return math.inf if value is None or math.isnan(value) else value


@dataclass(frozen=True)
class Contest:
    """All candidates on one division of the samples.

    Args:
        fold: that is tested; None: the annotations' split.
        samples: that every candidate was validated with.
    """

    fold: str | None
    candidates: tuple[Candidate, ...]
    samples: int

    @property
    def best(self) -> Candidate:
        """The first of those with the lowest loss."""
        return min(self.candidates, key=lambda candidate: candidate.loss)

    def record(self) -> dict[str, Any]:
        """For `config.json`."""
        return {
            "candidates": [
                {
                    "label": each.label,
                    "relative_l2": each.relative_l2,
                    "spearman": each.spearman,
                    "class_accuracy": each.accuracy,
                }
                for each in self.candidates
            ],
            "chosen": self.best.label,
            "samples": self.samples,
        }


def compare(
    configs: Sequence[TrainingConfig], shown: Shown | None = None, ray: "RayRuns | None" = None
) -> list[Contest]:
    """Train configurations without testing them, in the folder `candidates` of their `out`, and say what
    validation says of each.

    With scores the criterion is the relative L2 of predictions by models that did not learn from the sample
    (`out_of_fold.csv`), on the samples that all candidates were so validated with; else the accuracy of
    classes. With folds every fold has a contest of its own.

    Args:
        configs: as `table_configs` gives them: those that differ in nothing but the seed are one candidate.
        shown: who is told of each run.

    Raises:
        AqaError: there is only one candidate, a run cannot be trained, or nothing tells candidates apart.
    """
    kinds = list(dict.fromkeys(replace(config, seed=0) for config in configs))
    if len(kinds) < 2:
        raise TrainingError(
            "--choose: there is one configuration; give several, such as --exp default,ridge or --lr"
            " 1e-4,3e-4"
        )
    if configs[0].protocol == "paper":
        raise TrainingError("--choose: the paper's protocol has no validation to choose by; leave it out")
    with Table([replace(configs[0], name=configs[0].name or NAME)]):
        pass  # a mistake is said before anything is trained, and so is a run that is in the way
    candidates = [
        replace(config, out=Path(config.out) / CANDIDATES, name=None, withhold_test=True)
        for config in configs
    ]
    with Table(candidates) as table:
        runs = table.train(shown, ray)
        plans = list(table.plans)
    by_fold: dict[str | None, dict[TrainingConfig, list[Run]]] = {}
    labels: dict[TrainingConfig, str] = {}
    for plan, run in zip(plans, runs, strict=True):
        asked = plan.config.asked
        kind = replace(
            asked, seed=0, fold=None, out=configs[0].out, name=configs[0].name, withhold_test=False
        )
        labels[kind] = plan.label
        by_fold.setdefault(asked.fold, {}).setdefault(kind, []).append(run)
    return [_contest(fold, of_kind, labels) for fold, of_kind in by_fold.items()]


def chosen_configs(configs: Sequence[TrainingConfig], contests: Sequence[Contest]) -> list[TrainingConfig]:
    """The best of every contest with all seeds, to be trained and tested."""
    seeds = list(dict.fromkeys(config.seed for config in configs))
    return [
        replace(
            contest.best.config,
            seed=seed,
            fold=contest.fold,
            name=contest.best.config.name or NAME,
            choice=contest.record(),
        )
        for contest in contests
        for seed in seeds
    ]


def _contest(
    fold: str | None, of_kind: "dict[TrainingConfig, list[Run]]", labels: dict[TrainingConfig, str]
) -> Contest:
    held_out = {
        kind: [{row.sample_id: (row.predicted, row.true) for row in run.out_of_fold} for run in runs]
        for kind, runs in of_kind.items()
    }
    shared = sorted(set.intersection(*(set(rows) for each in held_out.values() for rows in each)))
    if any(any(each) for each in held_out.values()):
        if len(shared) < _FEWEST:
            raise TrainingError(
                f"--choose: {len(shared)} samples were held out in every configuration, expected at least"
                f" {_FEWEST} to compare them by; give all the same --seed, --validation and --validate-on"
            )
        found = [_by_scores(kind, labels[kind], rows, shared) for kind, rows in held_out.items()]
    else:
        found = [_by_classes(kind, labels[kind], runs) for kind, runs in of_kind.items()]
    if all(candidate.loss == math.inf for candidate in found):
        raise TrainingError(
            "--choose: validation says nothing of any configuration; give more training samples, or labels"
        )
    return Contest(fold, tuple(found), len(shared))


def _by_scores(
    kind: TrainingConfig, label: str, seeds: Sequence[dict[str, Any]], shared: Sequence[str]
) -> Candidate:
    pairs = [np.array([rows[name] for name in shared]).T for rows in seeds]
    means = [float(np.mean([metric(*pair) for pair in pairs])) for metric in (relative_l2, spearman)]
    return Candidate(kind, label, *(None if math.isnan(mean) else mean for mean in means))


def _by_classes(kind: TrainingConfig, label: str, runs: "Sequence[Run]") -> Candidate:
    values = [
        chosen["value"]
        for run in runs
        for part, chosen in (run.summary.get("chosen") or {}).items()
        if part != "captioner" and chosen["value"] is not None
    ]
    return Candidate(kind, label, None, None, float(np.mean(values)) if values else math.nan)
