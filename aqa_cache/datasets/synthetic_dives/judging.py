"""What a panel makes of a dive's faults: marks, the score, and what the commentator says."""

import numpy as np

from .dive import IDEAL_DISTANCE_M, Faults, Labels, round_half_up

JUDGES, COUNTED = 7, 3  # marks, and how many of them, in the middle, make the score
MAX_CAPTION_WORDS = 35


def expected_mark(faults: Faults) -> float:
    """The mark, 0..10, that a judge without noise would give before rounding to halves.

    Strictly lower the greater any fault is, beyond what nobody can see (3 degrees of rotation, 0.25 m of
    distance, a splash of 0.15 m).
    """
    return max(0.0, 9.6 - float(deductions(faults).sum()))


def deductions(faults: Faults) -> np.ndarray:
    """Points off for each fault, in the order of the fields of `Faults`. Shape: Output: `(5,)`."""
    return np.array(
        [
            0.080 * max(0.0, abs(faults.rotation_error_deg) - 3),
            0.035 * faults.knee_bend_deg,
            0.045 * faults.leg_split_deg,
            1.100 * max(0.0, abs(faults.distance_m - IDEAL_DISTANCE_M) - 0.25),
            1.900 * max(0.0, faults.splash_m - 0.15),
        ]
    )


def draw_panel(rng: np.random.Generator) -> np.ndarray:
    """How generous each judge of one event is, in points. Shape: Output: `(7,)`."""
    return rng.normal(0, 0.15, JUDGES)


def give_marks(faults: Faults, panel: np.ndarray, rng: np.random.Generator) -> tuple[float, ...]:
    """Seven marks, 0..10 in steps of 0.5.

    Each judge weighs each fault in its own way (20 % standard deviation) and has an opinion besides (0.25
    points).

    Args:
        panel: from `draw_panel`.
    """
    weights = np.exp(rng.normal(0, 0.2, (JUDGES, 5)))
    seen = 9.6 - weights @ deductions(faults) + panel + rng.normal(0, 0.25, JUDGES)
    return tuple(round_half_up(2 * float(np.clip(mark, 0, 10))) / 2 for mark in seen)


def final_score(marks: tuple[float, ...], difficulty: float) -> float:
    """Difficulty times the sum of the middle three of seven marks, in points, two decimals.

    >>> final_score((7.0, 7.5, 8.0, 8.0, 8.5, 6.5, 9.0), 3.2)
    75.2
    """
    assert len(marks) == JUDGES
    dropped = (JUDGES - COUNTED) // 2
    return round(sum(sorted(marks)[dropped : dropped + COUNTED]) * difficulty, 2)


_HALVES = {
    0.5: "half a",
    1.0: "one",
    1.5: "one and a half",
    2.0: "two",
    2.5: "two and a half",
    3.0: "three",
    3.5: "three and a half",
    4.0: "four",
    4.5: "four and a half",
}

_OPENINGS = ("and here comes", "this is", "now we have", "next it is", "and this will be")
_REMARKS = (
    "let us wait for the judges",
    "and on to the next diver",
    "as we see it here today",
    "at this stage of the event",
)


def commentate(labels: Labels, faults: Faults, rng: np.random.Generator) -> str:
    """What a commentator says of a dive: 15 to 35 words, lower case, no punctuation and no numerals.

    It names the dive and describes the faults; the marks it does not know.
    """

    def one_of(*choices: str) -> str:
        return choices[rng.integers(len(choices))]

    dive = f"{one_of(*_OPENINGS)} {_name_dive(labels)}"
    angle, legs_and_distance, splash = (
        _angle(faults, one_of),
        _legs_and_distance(faults, one_of),
        _splash(faults, one_of),
    )
    for said in (legs_and_distance[:2], legs_and_distance[:1], []):
        words = " ".join([dive, angle, *said, "and", splash]).split()
        if len(words) <= MAX_CAPTION_WORDS:
            break
    # Commentators fill the time when there is little to say.
    return " ".join(words if len(words) > 20 else [*words, *one_of(*_REMARKS).split()])


def _name_dive(labels: Labels) -> str:
    turns = f"{_HALVES[labels.somersaults]} somersault{'s' if labels.somersaults > 1 else ''}"
    armstand = "armstand " if labels.armstand else ""
    twists = (
        f" with {_HALVES[labels.twists]} twist{'s' if labels.twists > 1 else ''}" if labels.twists else ""
    )
    article = "an" if labels.armstand or labels.rotation_type == "inward" else "a"
    position = "in the free position" if labels.position == "free" else f"in the {labels.position} position"
    return f"{article} {armstand}{labels.rotation_type} {turns}{twists} {position}"


def _angle(faults: Faults, one_of) -> str:
    error = faults.rotation_error_deg
    if abs(error) < 5:
        return one_of(
            "straight up and down at the water", "perfectly vertical", "dead straight into the water"
        )
    amount = (
        one_of("just a touch", "a little", "slightly") if abs(error) < 14 else one_of("well", "a long way")
    )
    side = (
        one_of("over rotated", "past vertical") if error > 0 else one_of("under rotated", "short of vertical")
    )
    return f"{amount} {side}"


def _legs_and_distance(faults: Faults, one_of) -> list[str]:
    """The worst first, so that the two worst are named."""
    remarks = []
    if faults.knee_bend_deg >= 14:
        soft = faults.knee_bend_deg < 28
        words = (
            one_of("soft knees", "knees a little bent")
            if soft
            else one_of("badly bent knees", "the knees right up")
        )
        remarks.append((0.035 * faults.knee_bend_deg, words))
    if faults.leg_split_deg >= 10:
        small = faults.leg_split_deg < 20
        words = (
            one_of("the feet not quite together", "a gap between the legs")
            if small
            else one_of("legs wide apart")
        )
        remarks.append((0.045 * faults.leg_split_deg, words))
    if faults.distance_m <= IDEAL_DISTANCE_M - 0.4:
        remarks.append(
            (1.1 * (IDEAL_DISTANCE_M - faults.distance_m), one_of("too close to the board", "near the board"))
        )
    if faults.distance_m >= IDEAL_DISTANCE_M + 0.5:
        remarks.append(
            (1.1 * (faults.distance_m - IDEAL_DISTANCE_M), one_of("far out from the board", "a long way out"))
        )
    return [words for _, words in sorted(remarks, reverse=True)] or [one_of("lovely lines", "legs together")]


def _splash(faults: Faults, one_of) -> str:
    if faults.splash_m < 0.35:
        return one_of("hardly a splash", "a real rip entry", "next to no splash")
    if faults.splash_m < 0.75:
        return one_of("a bit of splash", "some water coming up", "a fair splash")
    return one_of("a big splash", "water everywhere", "a huge wall of water")
