"""The test samples of a run as typed columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from aqa_cache.annotations import CLASS_PREFIX


@dataclass(frozen=True, eq=False)
class PredictionTable:
    """The test samples of a run, column by column: numbers as arrays, texts as tuples; '' where nothing is.

    Args:
        true, predicted: scores in points, `(samples,)` float64, NaN where there is none.
        captions, predicted_captions: None where predictions.csv has no such column.
        classes, predicted_classes: by column, without `class_`.
        spread: standard deviations in points, `(samples,)`, NaN where the score head says none.
    """

    sample_ids: tuple[str, ...]
    groups: tuple[str, ...]
    true: np.ndarray
    predicted: np.ndarray
    captions: tuple[str, ...] | None
    predicted_captions: tuple[str, ...] | None
    classes: dict[str, tuple[str, ...]]
    predicted_classes: dict[str, tuple[str, ...]]
    spread: np.ndarray

    @classmethod
    def of(cls, predictions: Sequence[dict]) -> "PredictionTable":
        """From the rows of predictions.csv, all splits."""
        rows = [row for row in predictions if row["split"] == "test"]
        names = rows[0] if rows else ()
        columns = {name: tuple(row[name] for row in rows) for name in names}
        said = f"predicted_{CLASS_PREFIX}"
        return cls(
            columns.get("sample_id", ()),
            columns.get("group", ()),
            _numbers(columns.get("final_score", ())),
            _numbers(columns.get("predicted_score", ())),
            columns.get("caption"),
            columns.get("predicted_caption"),
            {n.removeprefix(CLASS_PREFIX): columns[n] for n in names if n.startswith(CLASS_PREFIX)},
            {n.removeprefix(said): columns[n] for n in names if n.startswith(said)},
            _numbers(columns.get("spread", (None,) * len(rows))),
        )

    def __len__(self) -> int:
        return len(self.sample_ids)

    @cached_property
    def scored(self) -> np.ndarray:
        """Whether a sample has both scores. Shape: `(samples,)` bool."""
        return np.isfinite(self.true) & np.isfinite(self.predicted)

    @cached_property
    def spreads(self) -> dict[str, float]:
        """Of the scores that have one, by sample_id."""
        known = zip(self.sample_ids, self.spread.tolist(), strict=True)
        return {name: spread for name, spread in known if np.isfinite(spread)}

    @cached_property
    def place(self) -> dict[str, int]:
        """Of every sample, by sample_id."""
        return {name: number for number, name in enumerate(self.sample_ids)}


def _numbers(cells: Sequence) -> np.ndarray:
    """Of cells as `read_run` gives them; NaN where one is None or not finite."""
    values = np.array([np.nan if cell is None else cell for cell in cells], float)
    return np.where(np.isfinite(values), values, np.nan)
