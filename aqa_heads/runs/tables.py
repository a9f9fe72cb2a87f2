"""The tables of a run, by row: `metrics.csv`, `predictions.csv` and `out_of_fold.csv`.

What is wrong with a table is a ValueError or a csv.Error here; its caller knows what to do about it.
"""

import reprlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any

from aqa_cache.annotations import SPLITS
from aqa_cache.disk.atomic import replacing
from aqa_cache.disk.csv_file import write_rows
from aqa_cache.disk.plain_json import with_none

from .prediction_rows import NUMBERS, PredictionRows
from .record import FINITE, Whole, number_in, read_table, whole_in
from .schema import EPOCH, FROM_ZERO

_PREDICTIONS = ("sample_id", "split", "group", "final_score", "predicted_score")
_LARGEST_TABLE = 2**28  # bytes of a table that is read whole


@dataclass(frozen=True)
class Epoch:
    """One row of `metrics.csv`; None or NaN where a task is off, nothing is defined, or the protocol does not
    look.

    Args:
        train_loss: train_score_loss + train_class_loss + 0.01 * train_caption_loss, as they were while
            training. A part that is no longer trained counts with its last loss.
        train_score_loss: mean over the samples that have a score.
        train_class_loss: likewise per class column, summed over the columns.
        train_caption_loss: in nats per caption; per_token: per word, `<eos>` included. val_spearman,
        val_relative_l2, val_class_accuracy (mean over the columns), val_caption_loss_per_token: on the
            validation samples after the epoch (protocol honest).
        test_spearman, test_relative_l2: on the test samples after the epoch (protocol paper).
        seconds: of training and evaluating.
    """

    epoch: int
    train_loss: float | None
    train_score_loss: float | None
    train_class_loss: float | None
    train_caption_loss: float | None
    train_caption_loss_per_token: float | None
    val_spearman: float | None
    val_relative_l2: float | None
    val_class_accuracy: float | None
    val_caption_loss_per_token: float | None
    test_spearman: float | None
    test_relative_l2: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One row of `out_of_fold.csv`.

    Args:
        fold: number of the part that was held out, from 1 on.
        true, predicted: scores in points; predicted by a model that did not learn from the sample.
        chose_epoch: whether the sample took part in the choice of that model's epoch or penalty.
        group: of the sample, in the role by which was held out (`validation` in `config.json`); None where it
            names none.
        spread: a standard deviation of `predicted`, in points, where that model's score head has one.
    """

    sample_id: str
    fold: int
    true: float
    predicted: float
    chose_epoch: bool
    group: str | None = None
    spread: float | None = None


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with replacing(path) as temporary:
        write_rows(temporary, chain([header], ([with_none(value) for value in row] for row in rows)))


def read_epochs(path: Path) -> list[Epoch]:
    epochs: list[Epoch] = []
    for number, row in read_table(
        path, [field.name for field in fields(Epoch)], _LARGEST_TABLE, others=False
    ):
        epoch = whole_in(row, "epoch", number, Whole(1, 2**31))
        if epoch != number:
            raise ValueError(f"row {number}: epoch is {epoch}, expected {number}: each once, in their order")
        cells: dict[str, Any] = {
            name: number_in(row, name, number, EPOCH.get(name, FINITE)) for name in row if name != "epoch"
        }
        epochs.append(Epoch(epoch, **cells))
    return epochs


def read_predictions(path: Path) -> PredictionRows:
    rows, seen = PredictionRows(), set[str]()
    for number, row in read_table(path, _PREDICTIONS, _LARGEST_TABLE):
        _check_once(row["sample_id"], number, seen)
        if row["split"] not in SPLITS:
            raise ValueError(
                f"row {number}: split is {reprlib.repr(row['split'])}, expected one of {', '.join(SPLITS)}"
            )
        numbers = {
            name: number_in(row, name, number, FROM_ZERO if name == "spread" else FINITE)
            for name in NUMBERS
            if name in row
        }
        row |= {name: sys.intern(row[name]) for name in ("split", "group")}  # one of each in memory
        rows.append(row | numbers)
    return rows


def read_held_out(path: Path) -> list[HeldOut]:
    rows, seen = list[HeldOut](), set[str]()
    needed = [field.name for field in fields(HeldOut) if field.default is MISSING]
    for number, row in read_table(path, needed, _LARGEST_TABLE):
        _check_once(row["sample_id"], number, seen)
        fold, chose = (
            whole_in(row, "fold", number, Whole(1, 2**31)),
            whole_in(row, "chose_epoch", number, Whole(0, 1)),
        )
        true, predicted = (number_in(row, name, number) for name in ("true", "predicted"))
        if true is None or predicted is None:
            raise ValueError(f"row {number}: true or predicted is empty, expected a number")
        group, spread = sys.intern(row.get("group") or "") or None, None
        if "spread" in row:
            spread = number_in(row, "spread", number, FROM_ZERO)
        rows.append(HeldOut(row["sample_id"], fold, true, predicted, bool(chose), group, spread))
    return rows


def _check_once(name: str, number: int, seen: set[str]) -> None:
    """Whether a sample_id is none of those that were `seen`; then it is one of them."""
    if not name or name in seen:
        what = "there twice" if name else "empty"
        raise ValueError(f"row {number}: sample_id {reprlib.repr(name)} is {what}, expected each once")
    seen.add(name)
