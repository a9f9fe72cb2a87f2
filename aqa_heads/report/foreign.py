"""Predictions of another program as a row of a report: a table with a sample_id and a score."""

from collections.abc import Sequence
from pathlib import Path

from aqa_cache.errors import AnnotationError, some
from aqa_cache.tables.forms import read_form
from aqa_cache.tables.values import as_written_here, number_of, number_trouble

from ..errors import RunError
from ..runs.format import Run
from ..runs.record import FINITE
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
    """The scores by sample_id, of a table as people have them."""
    try:
        if (size := path.stat().st_size) > _LARGEST:
            raise ValueError(f"it has {size:,} bytes, expected up to {_LARGEST:,}")
        rows = read_form(path, lambda names: sum(_plain(name) in (*_IDS, *_SCORES) for name in names)).rows
        said: dict[str, float] = {}
        for line, sample, cell in _columns(rows):
            if not sample or sample in said:
                what = f"{sample[:50]} is there twice" if sample else "the sample_id is empty"
                raise ValueError(f"line {line}: {what}, expected each once")
            if not cell:
                raise ValueError(f"line {line}: {sample[:50]} has no score")
            if not FINITE.has(score := number_of(cell)):
                raise ValueError(
                    f"line {line}: score is {cell!r:.60}, expected {FINITE}{number_trouble(cell)}"
                )
            said[sample] = score
    except AnnotationError as error:
        raise RunError(str(error)) from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read as predictions ({error})") from None
    if not said:
        raise RunError(f"{path}: holds no predictions, expected {_NEEDED}")
    return said


def _columns(rows: Sequence[tuple[int, list[str]]]) -> list[tuple[int, str, str]]:
    """Line, sample_id and score of every row."""
    if not rows:
        return []
    header = [_plain(name) for name in rows[0][1]]
    names = [next((name for name in of if name in header), None) for of in (_IDS, _SCORES)]
    if None in names:
        raise ValueError(f"its columns are {', '.join(header)[:200]}, expected {_NEEDED}")
    places = [header.index(name) for name in names]
    filled = [(line, cells) for line, cells in rows[1:] if any(cell.strip() for cell in cells)]
    if short := next((line for line, cells in filled if len(cells) != len(header)), None):
        raise ValueError(f"line {short} has not {len(header)} cells, one per column")
    picked = [(line, [cells[place] for place in places]) for line, cells in filled]
    written, _ = as_written_here(("sample_id", "final_score"), picked)
    return [(line, sample, score) for line, (sample, score) in written]


def _plain(name: str) -> str:
    return name.strip().lower()


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
