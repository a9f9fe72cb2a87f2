"""What finished runs say, read from their folders and checked, in the order and under the names a report uses."""

import math
import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from .bootstrap import spearman_interval
from .errors import RunError
from .experiments import EXPERIMENTS
from .runs import RUN_FILES, Run, read_run


@dataclass(frozen=True)
class Result:
    """One finished run, as one row of a report.

    Args:
        test: rows of predictions.csv whose split is `test`, as text.
        short: its name in figures and tables, unlike that of every other run of the report.
        order: its place among the runs of the report, and so its colour.
    """

    run: Run
    test: tuple[dict[str, str], ...]
    short: str = ""
    order: int = 0

    @property
    def path(self) -> Path:
        return self.run.folder

    @property
    def config(self) -> dict:
        return self.run.config

    @property
    def summary(self) -> dict:
        return self.run.summary

    def by_epoch(self, name: str) -> np.ndarray:
        """A field of `Epoch`. Shape: `(epochs,)` float64, NaN where nothing was measured."""
        return np.array([getattr(epoch, name) for epoch in self.run.epochs], float)

    @property
    def name(self) -> str:
        """Of its folder."""
        return Path(os.path.abspath(self.path)).name

    @property
    def experiment(self) -> str | None:
        """`baseline` or `1` to `7`: its row of the paper's Table 1."""
        experiment = self.config.get("experiment")
        return None if experiment in (None, "") else str(experiment)

    @property
    def label(self) -> str:
        return str(self.config.get("label") or self.name)

    @property
    def slug(self) -> str:
        """Its short name as part of a file name."""
        return re.sub(r"[^a-z0-9]+", "_", self.short.lower()).strip("_") or "run"

    @property
    def features(self) -> dict:
        return self.config.get("features") or {}

    def number(self, name: str) -> float | None:
        """A finite number of summary.json, else None."""
        return finite(self.summary.get(name))

    def numbers(self, name: str) -> dict[str, float | None]:
        """A table of summary.json, such as `class_accuracy`; empty where there is none."""
        return {key: finite(value) for key, value in (self.summary.get(name) or {}).items()}

    @property
    def floors(self) -> dict[str, dict]:
        return {name: floor for name, floor in (self.summary.get("floors") or {}).items() if floor}

    @cached_property
    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """True and predicted scores (in points) of the test samples that have both."""
        pairs = [pair for row in self.test if (pair := _scores(row)) is not None]
        return tuple(np.array(pairs, float).reshape(-1, 2).T)

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """95 % bootstrap interval of Spearman's rho over the test samples, seed 0."""
        return spearman_interval(*self.scores) if self.number("spearman") is not None else None

    @property
    def groups(self) -> frozenset[str]:
        """Those that its scored test samples come from, where they have one."""
        return frozenset(row["group"] for row in self.test if row["group"] and _scores(row) is not None)

    @property
    def tested_on(self) -> frozenset[str]:
        return frozenset(row["sample_id"] for row in self.test)


def finite(value) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def find_runs(folders: Sequence[Path]) -> list[Path]:
    """Run folders among these and directly inside them, in the order given, each once.

    Raises:
        RunError: a folder does not exist or holds no run, or a run is not finished; all of them in one message.
    """
    found: dict[Path, Path] = {}
    problems = []
    for folder in map(Path, folders):
        if not folder.is_dir():
            problems.append(f"{folder}: {'is a file' if folder.exists() else 'does not exist'}")
            continue
        # Training writes into hidden folders until a run is finished.
        inside = [item for item in sorted(folder.iterdir()) if not item.name.startswith(".") and _looks_like_run(item)]
        inside = [folder] if _looks_like_run(folder) else inside
        if not inside:
            problems.append(f"{folder}: neither a run nor a folder of runs (no {', '.join(RUN_FILES[:-1])} or "
                            f"{RUN_FILES[-1]} in it or one level below)")  # fmt: skip
        for run in inside:
            if absent := [name for name in RUN_FILES if not (run / name).is_file()]:
                problems.append(f"{run}: not a finished run, without {', '.join(absent)}")
            found.setdefault(run.resolve(), run)
    if problems:
        lines = "\n  ".join(dict.fromkeys(problems))
        raise RunError(f"these are not finished runs:\n  {lines}\nName finished run folders, as aqa-train writes them.")
    return list(found.values())


def read_results(runs: Sequence[Path]) -> list[Result]:
    """Read run folders, in the order of the paper's Table 1; other runs follow, by name.

    Raises:
        RunError: a file of a run is damaged.
    """
    results = sorted((_read(run) for run in runs), key=_place)
    shorts = [_short(result) for result in results]
    for distinct in (
        lambda result: result.name,
        lambda result: "/".join(Path(os.path.abspath(result.path)).parts[-2:]),
    ):
        repeated = {short for short, count in Counter(shorts).items() if count > 1}
        shorts = [distinct(result) if short in repeated else short
                  for result, short in zip(results, shorts, strict=True)]  # fmt: skip
    seen: Counter[str] = Counter()
    for place, short in enumerate(shorts):
        seen[short] += 1
        shorts[place] = short if seen[short] == 1 else f"{short} ({seen[short]})"
    return [replace(result, short=short, order=order)
            for order, (result, short) in enumerate(zip(results, shorts, strict=True))]  # fmt: skip


def _looks_like_run(folder: Path) -> bool:
    return folder.is_dir() and any((folder / name).is_file() for name in RUN_FILES)


def _place(result: Result) -> tuple:
    rows = list(EXPERIMENTS)
    return rows.index(result.experiment) if result.experiment in rows else len(rows), natural(result.name)


def _short(result: Result) -> str:
    """Its row of Table 1, starred where it is not quite that row; its folder's name if it is of no row."""
    if result.experiment not in EXPERIMENTS:
        return result.name
    title = EXPERIMENTS[result.experiment].title
    return title if result.label == title else f"{title}*"


def _read(folder: Path) -> Result:
    run = read_run(folder)
    return Result(run, tuple(row for row in run.predictions if row["split"] == "test"))


def _scores(row: dict[str, str]) -> tuple[float, float] | None:
    """True and predicted score of a test sample that has both."""
    pair = number_in(row["final_score"]), number_in(row["predicted_score"])
    return None if None in pair else pair


def natural(text: str) -> list:
    """To sort by, so that numbers in names are in the order of their values.

    >>> sorted(["seed10", "seed9"], key=natural)
    ['seed9', 'seed10']
    """
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", text)]


def number_in(cell: str | None) -> float | None:
    """The finite number in a cell of a table, else None."""
    try:
        return finite(float(cell or ""))
    except ValueError:
        return None
