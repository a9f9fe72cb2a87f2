"""What finished runs say, read from their folders and checked."""

import csv
import json
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import RunError
from ..runs.format import LEAKED, RUN_FILES, Run, read_run

# What may differ among the runs of one family, and what only the last bits of a result depend on.
_OF_ONE_RUN = ("seed", "fold", "device", "threads", "torch", "processes", "clip_chunk")


@dataclass(frozen=True)
class Result:
    """One finished run.

    Args:
        test: rows of predictions.csv whose split is `test`, as text.
        row: the name of its row in a report.
        which: which run of its row it is, such as `seed 1`; empty if it is the only one.
        order: the place of its row, and so its colour.
    """

    run: Run
    test: tuple[dict[str, str], ...]
    row: str = ""
    which: str = ""
    order: int = 0

    @property
    def short(self) -> str:
        """Its name in a report, unlike that of every other run there."""
        return f"{self.row}, {self.which}" if self.which else self.row

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
        """`baseline` or `1` to `7`, its row of the paper's Table 1; or the name of a reference, such as
        `ridge`.
        """
        experiment = self.config.get("experiment")
        return None if experiment in (None, "") else str(experiment)

    @property
    def label(self) -> str:
        return str(self.config.get("label") or self.name)

    @property
    def leaked(self) -> int:
        """Test samples that are, in part, training samples too."""
        return int(finite(self.config.get("leaked")) or 0)

    @property
    def seed(self) -> int | None:
        return self.config.get("seed")

    @property
    def fold(self) -> str | None:
        """The fold it was tested on; None if there are no folds."""
        return self.config.get("fold")

    @property
    def kin(self) -> str:
        """Equal among runs that differ in nothing but seed and fold; its folder where that is not
        recorded.
        """
        identity = self.config.get("identity")
        if not isinstance(identity, dict) or not identity:
            return str(self.path.resolve())
        kept = {name: value for name, value in identity.items() if name not in _OF_ONE_RUN}
        return json.dumps([kept, self.label.removesuffix(LEAKED)], sort_keys=True)

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

    @property
    def seconds(self) -> float | None:
        """Of the whole run, without what came before it: extraction, or decoding."""
        return finite((self.summary.get("seconds") or {}).get("total"))

    @cached_property
    def scored(self) -> dict[str, tuple[float, float]]:
        """True and predicted score, in points, of the test samples that have both, by sample_id."""
        return {row["sample_id"]: pair for row in self.test if (pair := _scores(row)) is not None}

    @property
    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """The same, without ids: true and predicted."""
        return tuple(np.array(list(self.scored.values()), float).reshape(-1, 2).T)

    def clip_weights(self, name: str, *others: str) -> list[dict]:
        """The rows of a table of weights over clips (`contributions.csv`, `caption_attention.csv`); empty if
        there is none.

        Args:
            others: columns that it has beside sample_id, clip and weight; they stay text.

        Raises:
            RunError: it is damaged.
        """
        path = self.path / name
        if not path.is_file():
            return []
        try:
            with open(path, newline="", encoding="utf-8") as file:
                return [
                    {"sample_id": row["sample_id"], "clip": int(row["clip"]), "weight": float(row["weight"])}
                    | {other: row[other] for other in others}
                    for row in csv.DictReader(file, strict=True)
                ]
        except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
            raise RunError(
                f"{path}: cannot be read ({type(error).__name__}: {error}); train the run again"
            ) from None

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
        RunError: a folder does not exist or holds no run, or a run is not finished; all of them in one
            message.
    """
    found: dict[Path, Path] = {}
    problems = []
    for folder in map(Path, folders):
        if not folder.is_dir():
            problems.append(f"{folder}: {'is a file' if folder.exists() else 'does not exist'}")
            continue
        # Training writes into hidden folders until a run is finished.
        inside = [
            item
            for item in sorted(folder.iterdir())
            if not item.name.startswith(".") and _looks_like_run(item)
        ]
        inside = [folder] if _looks_like_run(folder) else inside
        if not inside:
            problems.append(
                f"{folder}: neither a run nor a folder of runs (no {', '.join(RUN_FILES[:-1])} or "
                f"{RUN_FILES[-1]} in it or one level below)"
            )
        for run in inside:
            if absent := [name for name in RUN_FILES if not (run / name).is_file()]:
                problems.append(f"{run}: not a finished run, without {', '.join(absent)}")
            found.setdefault(run.resolve(), run)
    if problems:
        lines = "\n  ".join(dict.fromkeys(problems))
        raise RunError(
            f"these are not finished runs:\n  {lines}\nName finished run folders, as aqa-train writes them."
        )
    return list(found.values())


def read_result(folder: Path) -> Result:
    """Read a run folder.

    Raises:
        RunError: a file in it is damaged.
    """
    run = read_run(folder)
    return Result(run, tuple(row for row in run.predictions if row["split"] == "test"))


def _looks_like_run(folder: Path) -> bool:
    return folder.is_dir() and any((folder / name).is_file() for name in RUN_FILES)


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
