"""Predictions of another program as a row of a report: a CSV file with a sample_id and a score."""

import csv
from collections.abc import Sequence
from pathlib import Path

from aqa_cache.errors import some

from ..errors import RunError
from ..runs.format import Run
from ..runs.record import number_in, read_table
from .prediction_table import PredictionTable
from .results import Result

_LARGEST = 2**28  # bytes
_IDS = ("sample_id", "id")
_SCORES = ("score", "predicted_score", "prediction", "predicted")
_NEEDED = f"a column {' or '.join(_IDS)} and a column {', '.join(_SCORES[:-1])} or {_SCORES[-1]}"


def foreign_results(path: Path, beside: Sequence[Result]) -> list[Result]:
    """The row of a file, for the test samples of the runs `beside`: one result for each of their folds, so
    that its numbers are made as theirs are.

    Raises:
        RunError: the file cannot be read, or does not say a score for every scored test sample.
    """
    said = _read(path)
    name = path.parent.resolve().name if path.stem == "predictions" else path.stem
    needed = [sample for result in beside for sample in result.scored]
    if absent := [sample for sample in needed if sample not in said]:
        raise RunError(
            f"{path}: has no score for {len(absent):,} of {len(needed):,} test samples ({some(absent)}); give"
            " one for each, under the runs' own sample_ids"
        )
    others = len(said.keys() - {sample for result in beside for sample in result.test.sample_ids})
    return [_result(path, name, result, said, others) for result in beside]


def _read(path: Path) -> dict[str, float]:
    """The scores by sample_id."""
    try:
        said: dict[str, float] = {}
        for number, row in read_table(path, (), _LARGEST):
            row = {column.strip().lstrip("\ufeff").lower(): cell for column, cell in row.items()}
            names = [next((name for name in of if name in row), None) for of in (_IDS, _SCORES)]
            if None in names:
                raise ValueError(f"its columns are {', '.join(row)[:200]}, expected {_NEEDED}")
            sample, score = row[names[0]].strip(), number_in(row, names[1], number)
            if not sample or sample in said:
                what = f"{sample[:50]} is there twice" if sample else "the sample_id is empty"
                raise ValueError(f"row {number}: {what}, expected each once")
            if score is None:
                raise ValueError(f"row {number}: {sample[:50]} has no score")
            said[sample] = score
    except (OSError, ValueError, csv.Error) as error:
        raise RunError(f"{path}: cannot be read as predictions ({error})") from None
    if not said:
        raise RunError(f"{path}: holds no predictions, expected {_NEEDED}")
    return said


def _result(path: Path, name: str, beside: Result, said: dict[str, float], others: int) -> Result:
    """Of one fold, measured as a run of ours is."""
    import numpy as np

    from ..evaluation import metrics

    names, true = list(beside.scored), np.array([true for true, _ in beside.scored.values()])
    predicted = np.array([said[sample] for sample in names])
    group_of = dict(zip(beside.test.sample_ids, beside.test.groups, strict=True))
    groups = [group_of[sample] for sample in names]
    measured = {
        of: float(getattr(metrics, of)(predicted, true))
        for of in ("spearman", "kendall", "pearson", "relative_l2")
        if len(names) > 1
    }
    notes = [f"predictions of another program, read from {path}; how they were made is not known here"]
    if others:
        notes.append(f"{others:,} further samples of {path} are not tested here, and were left out")
    summary = {
        **{of: value for of, value in measured.items() if np.isfinite(value)},
        "mae": float(np.abs(predicted - true).mean()) if len(names) else None,
        "per_group": {
            group: {of: value for of, value in entry.items() if value is not None and np.isfinite(value)}
            for group, entry in metrics.per_group(predicted, true, groups).items()
        },
        "floors": beside.summary.get("floors"),
        "ceiling": beside.summary.get("ceiling"),
        "n_test": len(names),
        "notes": notes,
    }
    config = {"label": name, "fold": beside.fold, "foreign": True, "identity": {"predictions": str(path)}}
    rows = [
        {
            "sample_id": sample,
            "split": "test",
            "group": group,
            "final_score": repr(t),
            "predicted_score": repr(p),
        }
        for sample, group, t, p in zip(names, groups, true.tolist(), predicted.tolist(), strict=True)
    ]
    run = Run(path.parent / name, config, [], rows, summary, None)
    return Result(run, PredictionTable.of(rows))
