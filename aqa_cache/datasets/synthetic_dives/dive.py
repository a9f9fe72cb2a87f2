"""What a dive is before anybody sees it: its labels, its faults, and the looks of its diver.

Labels come from a programme of dives written in the codes of the diving tables: group (1 forward, 2 back, 3
reverse, 4 inward, 5 twisting, 6 armstand; in the last two the second digit is the direction), half
somersaults, half twists, and a letter for the position (B pike, C tuck, D free).
"""

from dataclasses import dataclass

import numpy as np

POSITIONS = ("free", "pike", "tuck")
ARMSTANDS = ("no", "yes")
ROTATION_TYPES = ("back", "forward", "inward", "reverse")
SOMERSAULTS = tuple(f"{halves / 2:.1f}" for halves in range(1, 10))
TWISTS = ("0", "0.5", "1", "1.5", "2", "2.5", "3", "3.5")

_DIRECTIONS = {"1": "forward", "2": "back", "3": "reverse", "4": "inward"}
_LETTERS = {"B": "pike", "C": "tuck", "D": "free"}

# Weights are how often a dive is chosen. They follow what is dived in competition: two and a half and three
# and a half somersaults most, a tenth of armstands, feet-first entries rarely.
PROGRAMME = {
    "101B": 1,
    "102C": 1,
    "103B": 2,
    "103C": 1,
    "104C": 1,
    "105B": 5,
    "105C": 4,
    "107B": 11,
    "107C": 8,
    "109C": 5,
    "201B": 1,
    "203B": 1,
    "203C": 1,
    "205B": 7,
    "205C": 5,
    "207B": 6,
    "207C": 8,
    "209C": 1,
    "303B": 1,
    "303C": 1,
    "305B": 6,
    "305C": 6,
    "307C": 6,
    "401B": 1,
    "403B": 2,
    "403C": 1,
    "405B": 7,
    "405C": 6,
    "407B": 4,
    "407C": 9,
    "409C": 2,
    "5132D": 1,
    "5134D": 2,
    "5152B": 4,
    "5154B": 3,
    "5172B": 2,
    "5231D": 2,
    "5233D": 3,
    "5235D": 3,
    "5237D": 2,
    "5251B": 3,
    "5253B": 5,
    "5255B": 3,
    "5331D": 1,
    "5333D": 2,
    "5335D": 3,
    "5336D": 1,
    "5337D": 2,
    "5353B": 4,
    "5432D": 1,
    "612B": 1,
    "614B": 2,
    "614C": 1,
    "622C": 1,
    "624B": 2,
    "624C": 2,
    "626C": 3,
    "632C": 1,
    "634C": 1,
    "636C": 2,
    "6142D": 1,
    "6243D": 3,
    "6245D": 3,
}

IDEAL_DISTANCE_M = 1.4


@dataclass(frozen=True)
class Labels:
    """What dive it is.

    Args:
        position: one of `POSITIONS`.
        armstand: whether it starts from a handstand on the platform.
        rotation_type: one of `ROTATION_TYPES`.
        somersaults: 0.5 … 4.5 in half steps.
        twists: 0 … 3.5 in half steps.
    """

    position: str
    armstand: bool
    rotation_type: str
    somersaults: float
    twists: float

    @classmethod
    def from_code(cls, code: str) -> "Labels":
        """The labels of a dive's code in the diving tables.

        >>> Labels.from_code("5253B")
        Labels(position='pike', armstand=False, rotation_type='back', somersaults=2.5, twists=1.5)
        """
        digits, letter = code[:-1], code[-1]
        if digits[0] in "56":
            direction, somersaults, twists = digits[1], digits[2], digits[3:] or "0"
        else:
            direction, somersaults, twists = digits[0], digits[2], "0"
        return cls(
            _LETTERS[letter], digits[0] == "6", _DIRECTIONS[direction], int(somersaults) / 2, int(twists) / 2
        )

    @property
    def head_first(self) -> bool:
        """Whether the hands meet the water first."""
        return self.armstand == (self.somersaults % 1 == 0)

    @property
    def difficulty(self) -> float:
        """The factor of the score, one decimal, from the labels alone.

        0.8, and 0.65 a somersault, and 0.3 a twist; reverse 0.4, back 0.35, inward 0.3 more than forward;
        armstand 0.4; pike 0.2 and free 0.1 more than tuck.

        Source: in the spirit of the World Aquatics tables for the 10 m platform, rounded by `round_half_up`.
        Differs: a straight line, so it is off by up to 0.3 there.

        >>> [Labels.from_code(code).difficulty for code in ("103C", "107B", "409C", "5255B")]
        [1.8, 3.3, 4.0, 3.7]
        """
        hundredths = 80 + 65 * self.somersaults + 30 * self.twists
        hundredths += {"forward": 0, "inward": 30, "back": 35, "reverse": 40}[self.rotation_type]
        hundredths += 40 * self.armstand + {"tuck": 0, "free": 10, "pike": 20}[self.position]
        return round_half_up(hundredths / 10) / 10

    @property
    def classes(self) -> dict[str, str]:
        """The class columns of the annotations, without their prefix."""
        return {
            "position": self.position,
            "armstand": ARMSTANDS[self.armstand],
            "rotation_type": self.rotation_type,
            "somersaults": f"{self.somersaults:.1f}",
            "twists": f"{self.twists:g}",
        }


@dataclass(frozen=True)
class Faults:
    """What goes wrong: all that may cost points, and the only way in which a score reaches the picture.

    Args:
        rotation_error_deg: the body's angle to the vertical at the water; positive is over-rotated.
        knee_bend_deg: how far the knees are bent where they should be straight.
        leg_split_deg: angle between the legs where they should be together.
        distance_m: from the tip of the platform to the body's centre at the water; `IDEAL_DISTANCE_M` costs
            nothing.
        splash_m: height of the highest drop.
    """

    rotation_error_deg: float = 0.0
    knee_bend_deg: float = 0.0
    leg_split_deg: float = 0.0
    distance_m: float = IDEAL_DISTANCE_M
    splash_m: float = 0.15


@dataclass(frozen=True)
class Looks:
    """What differs from diver to diver and from dive to dive, and costs nothing.

    Args:
        skin, cap, suit_front, suit_back: colours, RGB 0..255.
        height_m: of the standing diver.
        rise_m: how far the jump lifts the centre of mass above its height at take-off.
        left_twister: which shoulder leads the twist.
        spray_seed: of the drops' single paths, whose height and number the fault decides.
    """

    skin: tuple[int, int, int] = (214, 165, 132)
    cap: tuple[int, int, int] = (60, 40, 30)
    suit_front: tuple[int, int, int] = (200, 30, 40)
    suit_back: tuple[int, int, int] = (245, 245, 240)
    height_m: float = 1.70
    rise_m: float = 0.6
    left_twister: bool = True
    spray_seed: int = 0


@dataclass(frozen=True)
class Dive:
    """All that the picture of one dive depends on, its event's background apart. There are no marks in it."""

    labels: Labels
    faults: Faults
    looks: Looks


_SKINS = ((238, 196, 166), (222, 173, 138), (196, 144, 108), (160, 110, 78), (128, 86, 62), (100, 66, 48))
_CAPS = ((40, 30, 26), (90, 58, 34), (150, 112, 60), (24, 24, 30), (70, 44, 30))
_SUITS = (
    ((206, 32, 44), (250, 246, 240)),
    ((24, 60, 150), (250, 214, 60)),
    ((20, 128, 70), (248, 248, 244)),
    ((30, 30, 38), (232, 70, 60)),
    ((120, 40, 140), (240, 200, 230)),
    ((236, 120, 20), (24, 40, 110)),
    ((250, 250, 250), (20, 60, 160)),
    ((250, 210, 40), (30, 120, 60)),
)


def draw_labels(rng: np.random.Generator) -> Labels:
    """One dive of the programme, chosen by its weight."""
    weights = np.array(list(PROGRAMME.values()), dtype=float)
    return Labels.from_code(list(PROGRAMME)[rng.choice(len(PROGRAMME), p=weights / weights.sum())])


def draw_faults(rng: np.random.Generator) -> Faults:
    """A dive's faults: a bad dive is bad in several ways, so all of them grow with one log-normal form
    factor.

    The splash follows from the angle at the water and the legs, and varies by as much again on its own.
    """
    form = float(np.exp(rng.normal(0, 0.4)))
    rotation = float(np.clip(rng.normal(0, 11) * form, -38, 38))
    knees = float(np.clip(abs(rng.normal(0, 17)) * form, 0, 60))
    split = float(np.clip(abs(rng.normal(0, 12)) * form, 0, 38))
    distance = float(np.clip(IDEAL_DISTANCE_M + rng.normal(0.1, 0.36) * form, 0.75, 2.9))
    splash = 0.12 + 0.017 * abs(rotation) + 0.004 * knees + 0.005 * split + abs(rng.normal(0, 0.24)) * form
    return Faults(rotation, knees, split, distance, float(np.clip(splash, 0.12, 1.4)))


def draw_looks(rng: np.random.Generator) -> Looks:
    """A diver and a way of diving; knows nothing of labels or faults."""
    suit = _SUITS[rng.integers(len(_SUITS))]
    return Looks(
        skin=_SKINS[rng.integers(len(_SKINS))],
        cap=_CAPS[rng.integers(len(_CAPS))],
        suit_front=suit[0],
        suit_back=suit[1],
        height_m=float(rng.uniform(1.58, 1.78)),
        rise_m=float(rng.uniform(0.52, 0.68)),
        left_twister=bool(rng.integers(2)),
        spray_seed=int(rng.integers(2**31)),
    )


def round_half_up(value: float) -> int:
    """The nearest whole number, and the greater of two equally near: what a person expects of 2.5.

    >>> round_half_up(2.5), round_half_up(33.499999)
    (3, 33)
    """
    return int(np.floor(value + 0.5))
