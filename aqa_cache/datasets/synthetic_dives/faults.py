"""Which faults cost a dive how much, and in which frames they are seen: `faults.csv`."""

import itertools
import math
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from ...disk.atomic import replacing
from ...disk.csv_file import write_rows
from .dive import Faults
from .diver import FAULTY_FROM_S, SPLASH_S, Motion
from .judging import COUNTED, deductions, expected_mark

if TYPE_CHECKING:
    from .broadcast import PlannedDive

FAULTS_FILE = "faults.csv"
# In the order of `deductions`.
FAULTS = ("rotation", "knees", "legs", "distance", "splash")
IN_FLIGHT = ("knees", "legs")


@dataclass(frozen=True)
class ShownFault:
    """One fault of one dive: a row of `faults.csv`.

    Args:
        fault: one of `FAULTS`.
        points: of the final score that it costs with judges who err in nothing; those of a dive add up to
            what it lacks of the best score.
        first_frame, last_frame: of the video, both of them show it: knees and legs in flight, rotation and
            distance from the first touch of the water until the body is under, the splash until it is gone.
    """

    sample_id: str
    fault: str
    points: float
    first_frame: int
    last_frame: int


def shown_faults(planned: "PlannedDive", frame_rate: int) -> list[ShownFault]:
    """The faults of a dive that cost points, in the order of `FAULTS`."""
    faults, sample = planned.dive.faults, planned.sample
    off = deductions(faults)
    # No mark is below 0: then the faults share what there was to lose.
    lost = off * ((expected_mark(Faults()) - expected_mark(faults)) / max(off.sum(), 1e-12))
    seen = frames_of_faults(Motion(planned.dive), planned.take_off_frame, frame_rate)
    return [
        ShownFault(sample.sample_id, fault, round(COUNTED * sample.difficulty * cost, 2), *seen[fault])
        for fault, cost in zip(FAULTS, lost.tolist(), strict=True)
        if cost > 0
    ]


def frames_of_faults(motion: Motion, take_off_frame: int, frame_rate: int) -> dict[str, tuple[int, int]]:
    """The first and the last frame that shows each fault."""
    touch = math.ceil(motion.contact_s * frame_rate)
    under = next(k for k in itertools.count(touch) if _is_under(motion, k / frame_rate))
    splash = math.ceil((motion.contact_s + SPLASH_S) * frame_rate) - 1
    flight = math.floor(FAULTY_FROM_S * frame_rate) + 1, touch - 1
    seen = dict.fromkeys(IN_FLIGHT, flight) | {
        "rotation": (touch, under - 1),
        "distance": (touch, under - 1),
        "splash": (touch, splash),
    }
    return {fault: (take_off_frame + first, take_off_frame + last) for fault, (first, last) in seen.items()}


def _is_under(motion: Motion, seconds: float) -> bool:
    return motion.joints_at(seconds)[0][:, 2].max() <= 0


def write_faults(folder: Path, faults: Iterable[ShownFault]) -> None:
    """Write `faults.csv` into a folder of rendered videos."""
    header = [field.name for field in fields(ShownFault)]
    with replacing(folder / FAULTS_FILE) as temporary:
        write_rows(temporary, [header, *map(astuple, faults)])
