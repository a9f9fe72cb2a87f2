"""Which joints there are: the orders that estimators give them in, and what features are relative to."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import AqaError

_FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
_LIMBS = tuple(
    f"{side}_{part}"
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
    for side in ("left", "right")
)

SKELETONS: dict[str, tuple[str, ...]] = {
    "coco17": (*_FACE, *_LIMBS),
    "body25": (
        *("nose", "neck", "right_shoulder", "right_elbow", "right_wrist"),
        *("left_shoulder", "left_elbow", "left_wrist", "mid_hip"),
        *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
        *("right_eye", "left_eye", "right_ear", "left_ear"),
        *("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel"),
    ),
    "halpe26": (
        *(*_FACE, *_LIMBS, "head", "neck", "hip"),
        *("left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe", "left_heel", "right_heel"),
    ),
    "blazepose33": (
        *("nose", "left_eye_inner", "left_eye", "left_eye_outer"),
        *("right_eye_inner", "right_eye", "right_eye_outer"),
        *("left_ear", "right_ear", "mouth_left", "mouth_right"),
        *_LIMBS[:6],
        *("left_pinky", "right_pinky", "left_index", "right_index", "left_thumb", "right_thumb"),
        *_LIMBS[6:],
        *("left_heel", "right_heel", "left_foot_index", "right_foot_index"),
    ),
}
"""The joints of COCO, of OpenPose's BODY_25, of Halpe (AlphaPose) and of BlazePose (MediaPipe), in order."""

_BY_COUNT = {len(joints): name for name, joints in SKELETONS.items()}
# The first of these that is there.
_HEADS = (("head",), ("nose",))
_SHOULDERS = (("left_shoulder", "right_shoulder"), ("neck",))
_HIPS = (("left_hip", "right_hip"), ("pelvis",), ("mid_hip",), ("hip",))


@dataclass(frozen=True)
class Anchors:
    """Places, among the joints, of those that features are relative to.

    Args:
        head: of one joint; shoulders, hips: of one or two each, whose mean counts. The distance between these
            means is the torso's length.
    """

    head: int
    shoulders: tuple[int, ...]
    hips: tuple[int, ...]


def skeleton_of(count: int) -> str | None:
    """Name of the known skeleton of so many joints; None: there is none."""
    return _BY_COUNT.get(count)


def named_joints(said: str) -> tuple[str, ...]:
    """The joints that an option names: those of a known skeleton, or names with commas between them.

    >>> named_joints("head, left_hip")
    ('head', 'left_hip')

    Raises:
        AqaError: a name is there twice, or empty.
    """
    if said in SKELETONS:
        return SKELETONS[said]
    names = tuple(name.strip() for name in said.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise AqaError(
            f"joints are {said!r}, expected one of {', '.join(SKELETONS)}, or different names with commas"
            " between them"
        )
    return names


def anchors_of(
    joints: Sequence[str], head: str | None = None, shoulders: str | None = None, hips: str | None = None
) -> Anchors:
    """The joints that features are relative to.

    Args:
        head, shoulders, hips: their names, with a comma between two; None: by the usual names.

    Raises:
        AqaError: there is no such joint.
    """
    places = {name: number for number, name in enumerate(joints)}

    def find(what: str, said: str | None, usual: Sequence[tuple[str, ...]], most: int) -> tuple[int, ...]:
        choices = usual if said is None else [named_joints(said)]
        for names in choices:
            if len(names) <= most and all(name in places for name in names):
                return tuple(places[name] for name in names)
        wanted = " or ".join(" and ".join(names) for names in choices)
        raise AqaError(
            f"no joint is the {what}: expected {wanted}, and the joints are {', '.join(joints)}; say which"
            f" with --{what}"
        )

    return Anchors(
        find("head", head, _HEADS, 1)[0],
        find("shoulders", shoulders, _SHOULDERS, 2),
        find("hips", hips, _HIPS, 2),
    )
