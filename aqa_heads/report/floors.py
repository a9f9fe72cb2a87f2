"""The floors of a report: what predictions without the video reach, beside which every row is read."""

from collections.abc import Sequence
from dataclasses import dataclass

from .families import Family
from .records import FloorMetrics

FLOORS = {
    "training_mean": (
        "Training mean",
        "predicts the mean training score for every sample, which ranks nothing and so has no Spearman’s ρ",
    ),
    "difficulty": ("Difficulty alone", "predicts from the difficulty that is known before the action begins"),
    "group_mean": (
        "Group mean",
        (
            "predicts the mean training score of the sample’s group (the competition, the session), which is"
            " possible only where training and test share groups"
        ),
    ),
    "difficulty_group_mean": (
        "Difficulty × group",
        "predicts the difficulty times what the sample’s group scored per difficulty in training",
    ),
    "class_mean": ("Class mean", "predicts the mean training score of the sample’s combination of classes"),
}


@dataclass(frozen=True)
class Floor:
    """One floor of rows with the same test samples; where their training samples differ, the version that is
    hardest to beat.

    Args:
        lowest: the lowest Spearman of the versions; None where it is undefined.
    """

    name: str
    metrics: FloorMetrics
    owners: tuple[Family, ...]
    lowest: float | None

    @property
    def rho(self) -> float | None:
        return self.metrics.spearman

    @property
    def title(self) -> str:
        return floor_name(self.name)


def floor_name(name: str) -> str:
    return FLOORS[name][0] if name in FLOORS else name.replace("_", " ").capitalize()


def distinct_floors(families: Sequence[Family]) -> list[Floor]:
    """One per name and test set."""
    found: dict[tuple, list[tuple[FloorMetrics, Family]]] = {}
    for family in families:
        for name, floor in family.floors.items():
            found.setdefault((name, family.tests), []).append((floor, family))
    order = [*FLOORS, *sorted({name for name, _ in found} - FLOORS.keys())]
    floors = []
    for (name, _), versions in sorted(found.items(), key=lambda entry: order.index(entry[0][0])):
        rhos = [rho for floor, _ in versions if (rho := floor.spearman) is not None]
        hardest = max(versions, key=lambda version: _hardness(version[0]))[0]
        floors.append(Floor(name, hardest, tuple(family for _, family in versions), min(rhos, default=None)))
    return floors


def _hardness(floor: FloorMetrics) -> tuple:
    rho, error = floor.spearman, floor.relative_l2
    return -2.0 if rho is None else rho, 0.0 if error is None else -error


def floor_lines(floors: Sequence[Floor]) -> list[tuple[str, float]]:
    """Name and correlation of those that have one, for figures."""
    ranking = [floor for floor in floors if floor.rho is not None]
    return [
        (f"{floor.title.removesuffix(' alone')} {floor.rho:.2f}".replace("-", "−"), floor.rho)
        for floor in ranking
    ]


def floors_legend(floors: Sequence[Floor]) -> str:
    return " Dashed: floors, predictions without the video." if floor_lines(floors) else ""
