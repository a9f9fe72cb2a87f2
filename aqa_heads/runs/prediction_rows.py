"""Predictions of many samples, a row each: numbers are numbers, and a data frame is one call away."""

import importlib
from typing import TYPE_CHECKING

from aqa_cache.short_repr import cut

from ..errors import RunError

if TYPE_CHECKING:
    from pandas import DataFrame  # pyright: ignore[reportMissingImports, reportUnknownVariableType]

Cell = str | float | None
# What is a number in `predictions.csv`; every other column is text.
NUMBERS = ("difficulty", "final_score", "predicted_score", "spread")


class PredictionRows(list[dict[str, Cell]]):
    """Rows by column name, in the order of the samples.

    Scores, in points, and the difficulty are floats, None where there is none; all else is text, '' where
    there is none.
    """

    def __repr__(self) -> str:
        columns = ", ".join(self[0]) if self else "none"
        return cut(f"<PredictionRows: {len(self)} samples; columns {columns}>")

    def of(self, split: str) -> "PredictionRows":
        """The rows of a split: `train`, `val` or `test`."""
        return PredictionRows(row for row in self if row["split"] == split)

    def to_pandas(self) -> "DataFrame":  # pyright: ignore[reportUnknownParameterType]
        """A data frame, one row per sample; NaN where a number is not known.

        Raises:
            RunError: pandas is not installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            raise RunError(
                "a data frame needs pandas, which is not installed; install it with: pip install pandas"
            ) from None
        frame = pandas.DataFrame(list(self))
        return frame.astype({name: "float64" for name in NUMBERS if name in frame})
