"""What finished runs say, read from their folders and checked."""

import csv
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from aqa_cache.errors import some

from ..errors import RunError
from ..runs.format import LEAKED, RUN_FILES, Run, read_run
from ..runs.record import Whole, number_in, read_table, whole_in
from ..runs.schema import SHARE
from ..settings.choices import CANDIDATES
from .prediction_table import PredictionTable
from .records import (
    Asked,
    BestOnTest,
    Ceiling,
    Choice,
    Features,
    FineTuning,
    FloorMetrics,
    GroupResult,
    LeakRecord,
    Sizes,
    filled,
    finite,
)

_LARGEST_TABLE, _PLACE = 2**30, Whole(0, 9999)  # bytes; clips of a sample, words of a caption
DEEPEST = 4  # levels below a folder that was named
# Settings in which runs of one family may differ; some change only the last bits of a result.
_OF_ONE_RUN = ("seed", "fold", "device", "threads", "torch", "processes", "clip_chunk")


@dataclass(frozen=True)
class Result:
    """One finished run.

    Args:
        test: its test samples.
        row: the name of its row in a report.
        which: which run of its row it is, such as `seed 1`; empty if it is the only one.
        order: the place of its row.
        colour: the number of its row's colour.
    """

    run: Run
    test: PredictionTable
    row: str = ""
    which: str = ""
    order: int = 0
    colour: int = 0

    @classmethod
    def of(cls, run: Run) -> "Result":
        """Of a run that was read."""
        return cls(run, PredictionTable.of(run.predictions))

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

    @cached_property
    def asked(self) -> Asked:
        return filled(Asked, self.config)

    def by_epoch(self, name: str) -> np.ndarray:
        """A field of `Epoch`. Shape: `(epochs,)` float64, NaN where nothing was measured."""
        return np.array([getattr(epoch, name) for epoch in self.run.epochs], float)

    @cached_property
    def name(self) -> str:
        """Of its folder."""
        return Path(os.path.abspath(self.path)).name

    @property
    def experiment(self) -> str | None:
        """`baseline` or `1` to `7`, its row of the paper's Table 1; or the name of a reference, such as
        `ridge`.
        """
        return None if self.asked.experiment in (None, "") else str(self.asked.experiment)

    @property
    def label(self) -> str:
        return str(self.asked.label or self.name)

    @property
    def foreign(self) -> bool:
        """Whether its predictions are another program's."""
        return self.config.get("foreign") is True

    @property
    def leaked(self) -> int:
        """Test samples that are, in part, training samples too."""
        return int(self.asked.leaked or 0)

    @property
    def seed(self) -> int | None:
        return self.asked.seed

    @property
    def fold(self) -> str | None:
        """The fold it was tested on; None if there are no folds."""
        return self.asked.fold

    @property
    def settings_key(self) -> str:
        """Equal among runs that differ in nothing but seed and fold; its folder where that is not
        recorded.
        """
        if isinstance(choice := self.config.get("choice"), dict):  # each fold may have chosen another
            labels = [each.get("label") for each in choice.get("candidates") or () if isinstance(each, dict)]
            return json.dumps([labels, self.label.removesuffix(LEAKED), self.features.fingerprint])
        identity = self.asked.identity
        if not isinstance(identity, dict) or not identity:
            return str(self.path.resolve())
        kept = {name: value for name, value in identity.items() if name not in _OF_ONE_RUN}
        return json.dumps([kept, self.label.removesuffix(LEAKED)], sort_keys=True)

    @cached_property
    def features(self) -> Features:
        return Features.of(self._part(self.config, "features"))

    @cached_property
    def fine_tuning(self) -> FineTuning | None:
        """How the backbone was trained too; None where the run read cached features."""
        record = self._part(self.config, "fine_tuning")
        return filled(FineTuning, record) if record else None

    def number(self, name: str) -> float | None:
        """A finite number of summary.json, else None."""
        return finite(self.summary.get(name))

    def numbers(self, name: str) -> dict[str, float | None]:
        """A table of summary.json, such as `class_accuracy`; empty where there is none."""
        return {key: finite(value) for key, value in self._part(self.summary, name).items()}

    @cached_property
    def floors(self) -> dict[str, FloorMetrics]:
        """Those that it has, by name."""
        floors = self._part(self.summary, "floors")
        return {name: filled(FloorMetrics, floor) for name, floor in floors.items() if floor}

    @cached_property
    def ceiling(self) -> Ceiling | None:
        """None where it was not recorded."""
        record = self._part(self.summary, "ceiling")
        return filled(Ceiling, record) if record else None

    @cached_property
    def chosen(self) -> dict[str, Choice]:
        """Which epoch is reported, by part of the model."""
        choices = self._part(self.summary, "chosen")
        return {part: filled(Choice, choice) for part, choice in choices.items()}

    @property
    def reported(self) -> Choice:
        """Which epoch its scores are of."""
        return self.chosen.get("assessment") or self.chosen.get("model") or Choice()

    @property
    def sizes(self) -> Sizes:
        return filled(Sizes, self.summary)

    @cached_property
    def best_on_test(self) -> BestOnTest:
        return filled(BestOnTest, self._part(self.summary, "best_test_spearman"))

    @cached_property
    def by_group(self) -> dict[str, GroupResult]:
        groups = self._part(self.summary, "per_group")
        return {name: filled(GroupResult, entry) for name, entry in groups.items()}

    @property
    def caption_notes(self) -> tuple[str, ...]:
        return tuple(self._part(self.summary, "captions").get("notes") or ())

    @cached_property
    def leaks_into_test(self) -> tuple[str, ...]:
        """Why each leaked test sample is one, as its audit says."""
        leaks = [filled(LeakRecord, leak) for leak in self._part(self.summary, "audit").get("leaks") or ()]
        return tuple(leak.why for leak in leaks if leak.split == "test")

    @property
    def notes(self) -> list[str]:
        return [str(note) for note in (*self.asked.notes, *(self.summary.get("notes") or ()))]

    @cached_property
    def finished(self) -> float:
        """When its summary was written, in seconds since 1970; 0 where nobody knows."""
        try:
            return os.stat(self.path / "summary.json").st_mtime
        except OSError:
            return 0.0

    @property
    def seconds(self) -> float | None:
        """Of the whole run, without what came before it: extraction, or decoding."""
        return self.numbers("seconds").get("total")

    @staticmethod
    def _part(record: dict, name: str) -> dict:
        return record.get(name) or {}

    @cached_property
    def scored(self) -> dict[str, tuple[float, float]]:
        """True and predicted score, in points, of the test samples that have both, by sample_id."""
        table = self.test
        pairs = zip(table.sample_ids, table.true.tolist(), table.predicted.tolist(), strict=True)
        return {
            name: (true, said) for (name, true, said), has in zip(pairs, table.scored, strict=True) if has
        }

    @property
    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """The same, without ids: true and predicted."""
        return tuple(np.array(list(self.scored.values()), float).reshape(-1, 2).T)

    def clip_weights(self, name: str, *others: str) -> list[dict]:
        """The rows of a table of weights over clips (`contributions.csv`, `caption_attention.csv`); empty if
        there is none.

        Args:
            others: columns that it has between sample_id and clip: a number, and text.

        Raises:
            RunError: it is damaged.
        """
        path = self.path / name
        try:
            return _read_weights(path, others) if path.exists() else []
        except (OSError, ValueError, csv.Error) as error:
            raise RunError(f"{path}: cannot be read ({error}); train the run again") from None

    @cached_property
    def groups(self) -> frozenset[str]:
        """Those that its scored test samples come from, where they have one."""
        return frozenset(
            group for group, has in zip(self.test.groups, self.test.scored, strict=True) if group and has
        )

    @cached_property
    def tested_on(self) -> frozenset[str]:
        return frozenset(self.test.sample_ids)


def _read_weights(path: Path, others: Sequence[str]) -> list[dict]:
    """Raises ValueError where the clips of a sample, or of a word, are not 0, 1, 2, … in one place."""
    rows, last, clips, seen = [], None, 0, set()
    for number, row in read_table(path, ("sample_id", *others, "clip", "weight"), _LARGEST_TABLE):
        weight, clip = number_in(row, "weight", number, SHARE), whole_in(row, "clip", number, _PLACE)
        if weight is None:
            raise ValueError(f"row {number}: weight is empty, expected a number")
        words = {"word_number": whole_in(row, "word_number", number, _PLACE)} if others else {}
        of = row["sample_id"], *words.values()
        clips = clips + 1 if of == last else 0
        if clip != clips or (of != last and of in seen):
            raise ValueError(f"row {number}: clip is {clip}, expected the clips in order, each once")
        seen.add(of)
        last = of
        texts = {other: row[other] for other in ("sample_id", *others)}
        rows.append(texts | {"clip": clip, "weight": weight} | words)
    return rows


def find_runs(folders: Sequence[str | Path], may_be_none: bool = False) -> list[Path]:
    """Run folders among these and at most `DEEPEST` levels below them, in the order given, each once. What
    lies in a run folder, in a hidden one or among `candidates` is left out, unless it is named.

    Args:
        may_be_none: a folder may hold none yet.

    Raises:
        RunError: a folder does not exist or holds no run, or a run is not finished; all of them in one
            message.
    """
    found: dict[Path, Path] = {}
    problems = []
    for folder in folders:
        try:
            runs, wrong = _runs_in(folder)
            if may_be_none and not runs and Path(folder).is_dir():
                wrong = []
        except OSError as error:  # unreadable, or a name that is too long
            runs, wrong = {}, [f"{error.filename or folder}: cannot be read ({error.strerror})"]
        problems += wrong
        for real, run in runs.items():
            found.setdefault(real, run)
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
    return Result.of(read_run(folder))


def _runs_in(name: str | Path) -> tuple[dict[Path, Path], list[str]]:
    """The run folders of one name by their real paths, and what is wrong with it, a line each."""
    if not str(name).strip():
        return {}, ["the name of a folder is empty"]
    folder = Path(name)
    if not folder.is_dir():
        return {}, [f"{folder}: {'is a file' if folder.exists() else f'does not exist{_beside(folder)}'}"]
    inside = [folder] if _looks_like_run(folder) else list(_runs_below(folder, DEEPEST))
    if not inside:
        return {}, [
            f"{folder}: neither a run nor a folder of runs (no {', '.join(RUN_FILES[:-1])} or "
            f"{RUN_FILES[-1]} in it or below)"
        ]
    lacking = [(run, [name for name in RUN_FILES if not (run / name).is_file()]) for run in inside]
    problems = [
        f"{run}: not a finished run, without {', '.join(absent)}{_of_others(run, absent)}"
        for run, absent in lacking
        if absent
    ]
    return {run.resolve(): run for run in inside}, problems


def _beside(folder: Path) -> str:
    """Which runs there are where one was looked for in vain, those of a like name first."""
    place = folder.parent
    runs = list(_runs_below(place, 1)) if place.is_dir() else []
    names = sorted((run.name for run in runs), key=lambda name: (not name.startswith(folder.name), name))
    return f"; in {place} are {some(names, 8)}" if names else ""


def _of_others(run: Path, absent: Sequence[str]) -> str:
    if len(absent) < len(RUN_FILES) - 1 or "predictions.csv" in absent:
        return ""
    return f"; predictions of another program are named by their file: {run / 'predictions.csv'}"


def _runs_below(folder: Path, levels: int) -> Iterator[Path]:
    for item in sorted(folder.iterdir()):
        # Training writes into hidden folders until a run is finished.
        if item.name.startswith(".") or item.name == CANDIDATES or not item.is_dir():
            continue
        if _looks_like_run(item):
            yield item
        elif levels > 1 and not item.is_symlink():
            yield from _runs_below(item, levels - 1)


def _looks_like_run(folder: Path) -> bool:
    return folder.is_dir() and any((folder / name).is_file() for name in RUN_FILES)


def natural(text: str) -> list:
    """To sort by, so that numbers in names are in the order of their values.

    >>> sorted(["seed10", "seed9"], key=natural)
    ['seed9', 'seed10']
    """
    parts = re.split(r"(\d+)", text)
    # Python reads no number of thousands of digits.
    return [(0, int(p), "") if p.isdecimal() and len(p) < 1000 else (1, 0, p) for p in parts]
