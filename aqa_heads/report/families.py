"""The rows of a report: runs that differ only in seed or fold, taken together."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import RunError
from ..evaluation.metrics import fisher_z_average
from ..runs.format import LEAKED
from ..settings.choices import SWEPT
from ..settings.experiments import ROWS
from ..settings.resolved import COLUMNS
from .foreign import foreign_results
from .names import colours, row_names
from .records import Asked, Features, FineTuning, FloorMetrics
from .results import Result, natural, read_result


@dataclass(frozen=True)
class Family:
    """Runs of one configuration, at least one: other seeds, other folds.

    Args:
        results: by seed, then by fold.
        short: its name in figures and tables, unlike that of every other row of the report.
        order: its place among the rows.
        colour: the number of its colour.
        alike: the rows that it stands for, where several predict the same to the bit; itself the first.
    """

    results: tuple[Result, ...]
    short: str = ""
    order: int = 0
    colour: int = 0
    alike: tuple["Family", ...] = ()

    @property
    def first(self) -> Result:
        return self.results[0]

    @property
    def config(self) -> dict:
        """Of the first run; what families share is equal in all of them."""
        return self.first.config

    @property
    def asked(self) -> Asked:
        return self.first.asked

    @property
    def features(self) -> Features:
        return self.first.features

    @property
    def fine_tuning(self) -> FineTuning | None:
        """How the backbone was trained too; None where the run read cached features."""
        return self.first.fine_tuning

    @property
    def refitted(self) -> bool:
        """Whether what is reported was trained on the validation samples too."""
        return bool(self.asked.refit)

    @property
    def foreign(self) -> bool:
        """Whether its predictions are another program's."""
        return self.first.foreign

    @property
    def end_to_end(self) -> bool:
        return self.fine_tuning is not None

    @property
    def tuned_in(self) -> str | None:
        """The run that fine-tuned the backbone of the cached features it read; None: none did, or it trained
        the backbone itself.
        """
        return str(self.features.weights) if self.features.tuned and not self.end_to_end else None

    @property
    def experiment(self) -> str | None:
        return self.first.experiment

    @property
    def label(self) -> str:
        label = self.first.label.removesuffix(LEAKED)
        return label + LEAKED if any(result.leaked for result in self.results) else label

    @property
    def name(self) -> str:
        """Of its first run's folder, without seed and fold where there are several."""
        if len(self.results) == 1:
            return self.first.name
        return re.sub(r"(-fold-[a-z0-9._-]+?)?(-seed\d+)?$", "", self.first.name) or self.first.name

    @property
    def slug(self) -> str:
        """Its short name as part of a file name."""
        return re.sub(r"[^a-z0-9]+", "_", self.short.lower()).strip("_") or "run"

    @property
    def seeds(self) -> list[int | None]:
        return list(dict.fromkeys(result.seed for result in self.results))

    @property
    def folds(self) -> list[str]:
        return [fold for fold in dict.fromkeys(result.fold for result in self.results) if fold is not None]

    @property
    def folded(self) -> bool:
        return len(self.folds) > 1

    @property
    def spread_over(self) -> str:
        """What its standard deviations are taken over: `seeds` where there are several, else `folds`; empty
        for one run.
        """
        return "seeds" if len(self.seeds) > 1 else "folds" if self.folded else ""

    def mean(self, values: Sequence[float | None]) -> float | None:
        """Plain average of one value per run; None where one is not defined, since leaving it out is another
        average.
        """
        return None if None in values else float(np.mean(values))

    def std(self, values: Sequence[float | None]) -> float | None:
        """Standard deviation (divisor n - 1) over the seeds, each averaged over its folds; else over the
        folds.
        """
        if None in values or not self.spread_over:
            return None
        if self.spread_over == "folds":
            return float(np.std(values, ddof=1))
        by_seed = {
            seed: [v for v, r in zip(values, self.results, strict=True) if r.seed == seed]
            for seed in self.seeds
        }
        return float(np.std([np.mean(of_seed) for of_seed in by_seed.values()], ddof=1))

    def numbers(self, name: str) -> list[float | None]:
        """A number of summary.json, per run."""
        return [result.number(name) for result in self.results]

    def number(self, name: str) -> float | None:
        """A number of summary.json, averaged over the runs."""
        return self.mean(self.numbers(name))

    def table(self, name: str) -> dict[str, float | None]:
        """A table of numbers of summary.json, such as `class_accuracy`, averaged over the runs."""
        tables = [result.numbers(name) for result in self.results]
        keys = dict.fromkeys(key for table in tables for key in table)
        return {key: self.mean([table.get(key) for table in tables]) for key in keys}

    @property
    def seconds(self) -> float | None:
        return self.mean([result.seconds for result in self.results])

    @property
    def fisher_z(self) -> float | None:
        """The average over folds by Fisher z, averaged plainly over seeds; None without folds or where it is
        not defined.
        """
        if not self.folded:
            return None
        rho = {seed: [r.number("spearman") for r in self.results if r.seed == seed] for seed in self.seeds}
        averages = [None if None in of_seed else fisher_z_average(of_seed) for of_seed in rho.values()]
        return None if None in averages or not np.isfinite(averages).all() else float(np.mean(averages))

    @cached_property
    def floors(self) -> dict[str, FloorMetrics]:
        """Metrics by name, averaged over the runs; `n` is that of all test samples. Only floors that every
        run has.
        """
        names = dict.fromkeys(name for result in self.results for name in result.floors)
        floors = {}
        for name in names:
            of_runs = [result.floors.get(name) for result in self.results]
            if None not in of_runs:
                metrics = [field.name for field in fields(FloorMetrics)]
                mean = {key: self.mean([getattr(floor, key) for floor in of_runs]) for key in metrics}
                if self.folded and mean["n"] is not None:
                    mean["n"] *= len(self.folds)
                floors[name] = FloorMetrics(**mean)
        return floors

    @property
    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """True and predicted scores (in points) of every run's test samples that have both."""
        pairs = [pair for result in self.results for pair in result.scored.values()]
        return tuple(np.array(pairs, float).reshape(-1, 2).T)

    @cached_property
    def truth(self) -> dict[str, float]:
        """The true score of every test sample of its runs, by sample_id."""
        return {name: true for result in self.results for name, (true, _) in result.scored.items()}

    @cached_property
    def tests(self) -> frozenset:
        """Equal in rows with the same test samples and true scores."""
        return frozenset(self.truth.items())

    @cached_property
    def group_of(self) -> dict[str, str | None]:
        """The group of every scored test sample, by sample_id; None where it has none."""
        tables = [result.test for result in self.results]
        groups = {n: group or None for t in tables for n, group in zip(t.sample_ids, t.groups, strict=True)}
        return {name: groups[name] for name in self.truth}

    @cached_property
    def groups(self) -> frozenset[str]:
        return frozenset().union(*(result.groups for result in self.results))

    @cached_property
    def tested_on(self) -> frozenset[str]:
        return frozenset().union(*(result.tested_on for result in self.results))

    def same_tests(self, other: "Family") -> bool:
        """Whether their test samples are the same, with the same true scores."""
        return self.truth == other.truth

    @cached_property
    def predictions(self) -> tuple:
        """What was predicted for what, to find rows that say the same to the bit."""
        return tuple(
            sorted((name, said) for result in self.results for name, (_, said) in result.scored.items())
        )

    def predicted(self, order: Sequence[str]) -> np.ndarray:
        """Predicted scores of each run, in points, of the samples in this order.

        Shape: `(runs, samples)`; NaN where a run was not tested on a sample.
        """
        place = {name: number for number, name in enumerate(order)}
        predicted = np.full((len(self.results), len(order)), np.nan)
        for row, result in zip(predicted, self.results, strict=True):
            for name, (_, said) in result.scored.items():
                row[place[name]] = said
        return predicted


def varied_settings(families: Sequence[Family]) -> list[str]:
    """The settings of `SWEPT` that rows of one experiment differ in, but for those that name columns of
    Table 1.
    """
    alike: dict[tuple, list[Family]] = {}
    for family in families:
        alike.setdefault((family.experiment, str(family.asked.literal)), []).append(family)
    return [
        name
        for name in SWEPT
        if name not in COLUMNS
        if any(len({str(family.config.get(name)) for family in rows}) > 1 for rows in alike.values())
    ]


def read_families(runs: Sequence[Path], others: Sequence[Path] = ()) -> list[Family]:
    """Read run folders, as rows in the order of the paper's Table 1, then the references; others follow, by
    name.

    Args:
        others: files with the predictions of other programs; each is a row, tested as the first row is.

    Raises:
        RunError: a file of a run is damaged.
    """
    found = [read_result(run) for run in runs]
    if others:
        found += _of_other_programs(others, found)
    return families_of(found)


def families_of(found: Sequence[Result]) -> list[Family]:
    """The rows of results, in the order of `read_families`."""
    results = sorted(found, key=lambda r: (r.seed is None, r.seed, natural(r.fold or ""), natural(r.name)))
    families = sorted(_families(results), key=_place)
    named = zip(families, row_names(families), colours(families), strict=True)
    return [_named(family, short, order, colour) for order, (family, short, colour) in enumerate(named)]


def _of_other_programs(paths: Sequence[Path], results: Sequence[Result]) -> list[Result]:
    """Each file's results, for the test samples of one seed of the first row."""
    rows = sorted(_families(sorted(results, key=lambda r: natural(r.fold or ""))), key=_place)
    scored = next((row for row in rows if row.truth), None)
    if scored is None:
        raise RunError(
            f"{paths[0]}: is to be held against the true scores of finished runs, but none of the runs has"
            " any; name a run that predicts scores"
        )
    beside = [result for result in scored.results if result.seed == scored.first.seed]
    return [result for path in paths for result in foreign_results(path, beside)]


def _families(results: Sequence[Result]) -> list[Family]:
    """Runs of one configuration together; apart by folder where one seed and fold is there twice."""
    families = []
    for alike in _by(results, lambda result: result.settings_key):
        for together in (
            _by(alike, lambda result: result.path.resolve().parent) if _repeated(alike) else [alike]
        ):
            families += (
                [Family((result,)) for result in together]
                if _repeated(together)
                else [Family(tuple(together))]
            )
    return families


def _by(results: Sequence[Result], key) -> list[list[Result]]:
    found: dict = {}
    for result in results:
        found.setdefault(key(result), []).append(result)
    return list(found.values())


def _repeated(results: Sequence[Result]) -> bool:
    return len({(result.seed, result.fold) for result in results}) < len(results)


def _place(family: Family) -> tuple:
    rows = list(ROWS)
    # The row itself before its variants, whose labels say more.
    row = rows.index(family.experiment) if family.experiment in rows else len(rows)
    return row, len(family.label), natural(family.name)


def _named(family: Family, short: str, order: int, colour: int) -> Family:
    results = []
    for result in family.results:
        which = [f"seed {result.seed}"] if len(family.seeds) > 1 else []
        which += [f"fold {result.fold}"] if family.folded else []
        results.append(replace(result, row=short, which=", ".join(which), order=order, colour=colour))
    return Family(tuple(results), short, order, colour)
