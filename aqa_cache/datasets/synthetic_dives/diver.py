"""How the diver moves: an articulated body with the masses of a human one, on the platform, in flight, in the
water.

World coordinates are metres: x from the tip of the platform towards the pool, z up from the water, y away
from the camera. Body coordinates, before the body is turned into the world: f towards the chest, l towards
the left hand, u towards the head. Times are seconds from take-off, negative before it.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np

from .dive import Dive

GRAVITY = 9.81  # m/s²
PLATFORM_M = 3.5
APPROACH_S = 1.8  # the diver is seen this long before take-off
TAKE_OFF_S = 0.75  # of it, for the swing of the arms and the crouch
SINKING_S = 0.32  # from the first touch of the water until nothing of the body is seen
SPLASH_S = 1.2  # nothing of the splash is left this long after the body meets the water
FAULTY_FROM_S = 0.04  # from here on knees bend and legs part


(
    PELVIS,
    CHEST,
    NECK,
    HEAD,
    SHOULDER_L,
    ELBOW_L,
    WRIST_L,
    HAND_L,
    SHOULDER_R,
    ELBOW_R,
    WRIST_R,
    HAND_R,
    HIP_L,
    KNEE_L,
    ANKLE_L,
    TOE_L,
    HIP_R,
    KNEE_R,
    ANKLE_R,
    TOE_R,
) = range(20)

# Segments as (from, to, share of the body's mass), after de Leva 1996, J. Biomech. 29(9), rounded.
SEGMENTS = (
    (PELVIS, CHEST, 0.225),
    (CHEST, NECK, 0.205),
    (NECK, HEAD, 0.070),
    (SHOULDER_L, ELBOW_L, 0.027),
    (ELBOW_L, HAND_L, 0.023),
    (SHOULDER_R, ELBOW_R, 0.027),
    (ELBOW_R, HAND_R, 0.023),
    (HIP_L, KNEE_L, 0.143),
    (KNEE_L, ANKLE_L, 0.043),
    (ANKLE_L, TOE_L, 0.014),
    (HIP_R, KNEE_R, 0.143),
    (KNEE_R, ANKLE_R, 0.043),
    (ANKLE_R, TOE_R, 0.014),
)

_FROM, _TO = (np.array([segment[end] for segment in SEGMENTS]) for end in (0, 1))
_MASS = np.array([segment[2] for segment in SEGMENTS])


class Pose(NamedTuple):
    """Joint angles in degrees; all 0 is standing straight with the arms at the sides.

    Args:
        hip: thighs forward. knee: shanks backward. spine: chest bent forward over the pelvis. neck: chin to
            chest.
        arm_l, arm_r: upper arms forward and up, 180 is overhead. elbow_l, elbow_r: forearms bent.
        split: angle between the legs. point: 1 is toes pointed, 0 is feet flat.
    """

    hip: float = 0.0
    knee: float = 0.0
    spine: float = 0.0
    neck: float = 0.0
    arm_l: float = 0.0
    arm_r: float = 0.0
    elbow_l: float = 5.0
    elbow_r: float = 5.0
    split: float = 0.0
    point: float = 1.0

    def towards(self, other: "Pose", share: float) -> "Pose":
        """This pose at share 0, the other at share 1, angle by angle in between."""
        return Pose(*(a + (b - a) * share for a, b in zip(self, other, strict=True)))


STAND = Pose(point=0.0, elbow_l=8, elbow_r=8)
REACH = Pose(arm_l=178, arm_r=178, elbow_l=0, elbow_r=0)
CROUCH = Pose(hip=80, knee=88, spine=14, arm_l=-38, arm_r=-38, elbow_l=12, elbow_r=12, point=0.0)
TUCK = Pose(hip=128, knee=140, spine=45, neck=30, arm_l=4, arm_r=4, elbow_l=92, elbow_r=92)
PIKE = Pose(hip=142, spine=32, neck=18, arm_l=58, arm_r=58, elbow_l=72, elbow_r=72)
TWIST_LEFT = Pose(arm_l=158, arm_r=62, elbow_l=100, elbow_r=100)
TWIST_RIGHT = TWIST_LEFT._replace(arm_l=62, arm_r=158)
FEET_FIRST = Pose(arm_l=3, arm_r=3, elbow_l=0, elbow_r=0)


def body_points(pose: Pose, height_m: float) -> np.ndarray:
    """Where the joints are, from the pelvis.

    Shape:
        - Output: `(20, 3)`, metres, along f, l, u; rows as named in this module.
    """
    p = {name: math.radians(angle) for name, angle in zip(pose._fields, pose, strict=True)}
    # A body that bends at the hips turns both halves: the trunk forward by 40 % of the angle, the legs by the
    # rest.
    trunk = 0.4 * p["hip"]
    points = np.zeros((20, 3))

    def put(joint: int, base: int, length: float, angle: float, side: float | None = None) -> None:
        points[joint] = points[base] + (length * math.sin(angle), 0.0, length * math.cos(angle))
        if side is not None:
            points[joint, 1] = side

    put(CHEST, PELVIS, 0.17, trunk + 0.3 * p["spine"])
    put(NECK, CHEST, 0.15, trunk + p["spine"])
    put(HEAD, NECK, 0.115, trunk + p["spine"] + p["neck"])
    for sign, shoulder, hip, arm, elbow in (
        (1, SHOULDER_L, HIP_L, p["arm_l"], p["elbow_l"]),
        (-1, SHOULDER_R, HIP_R, p["arm_r"], p["elbow_r"]),
    ):
        # Raised arms come together over the head, hanging ones stay at the sides.
        raised = max(0.0, -math.cos(arm))
        bent = math.sin(elbow) * 0.6
        put(shoulder, NECK, -0.02 + 0.03 * raised, trunk + p["spine"], sign * 0.108)
        upper = trunk + p["spine"] - arm
        put(shoulder + 1, shoulder, -0.17, upper, sign * (0.115 - 0.045 * raised))
        lower = upper - elbow
        put(shoulder + 2, shoulder + 1, -0.145, lower, sign * (0.11 - 0.09 * raised - 0.06 * bent))
        put(shoulder + 3, shoulder + 2, -0.055, lower, sign * (0.105 - 0.095 * raised - 0.07 * bent))

        put(hip, PELVIS, 0.0, 0.0, sign * 0.05)
        apart = sign * p["split"] / 2
        thigh = trunk - p["hip"] - apart
        wide = math.sin(abs(apart)) * 0.6
        put(hip + 1, hip, -0.24, thigh, sign * (0.035 + 0.24 * wide))
        shank = thigh + p["knee"]
        put(hip + 2, hip + 1, -0.235, shank, sign * (0.028 + 0.475 * wide))
        put(
            hip + 3,
            hip + 2,
            -0.085,
            shank - math.radians(82) * (1 - pose.point),
            sign * (0.028 + 0.55 * wide),
        )
    return points * height_m


def centre_of_mass(points: np.ndarray) -> np.ndarray:
    """Shape: points: `(20, 3)`; Output: `(3,)`, same unit."""
    return _MASS @ (points[_FROM] + points[_TO]) / 2


def inertia(points: np.ndarray) -> float:
    """Moment of inertia about the sideways axis through the centre of mass, over the mass, in m².

    Shape: points: `(20, 3)`, metres, along f, l, u.
    """
    along, middle = points[_TO] - points[_FROM], (points[_FROM] + points[_TO]) / 2 - centre_of_mass(points)
    rods = (along[:, [0, 2]] ** 2).sum(1) / 12 + (middle[:, [0, 2]] ** 2).sum(1)
    return float(_MASS @ rods) + 0.004


class Motion:
    """One dive from the walk to the edge until the feet are under water.

    Gravity moves the centre of mass; the angular momentum is constant, so a tucked body turns faster than a
    straight one; and the whole turn is what the labels say, plus the fault.

    Args:
        dive: labels, faults and looks.

    Attributes:
        turns_clockwise: +1 if the camera sees the somersaults turn clockwise, -1 if not.
        contact_s: when the hands (or feet) meet the water.
        entry_x_m: where they do, and where the other end of the body goes under `SINKING_S` later.
    """

    def __init__(self, dive: Dive):
        self.dive = dive
        labels, faults = dive.labels, dive.faults
        forwards = labels.rotation_type in ("forward", "inward")
        # Forward and reverse dives start with the chest to the water, back and inward dives with the back to
        # it. An armstand is upside down, so that the same rule turns its chest the other way.
        self._backwards_on = labels.rotation_type in ("back", "inward")
        self.turns_clockwise = 1 if forwards != self._backwards_on else -1
        self._upright = 180.0 if labels.armstand else 0.0
        self._last_pose = REACH if labels.head_first else FEET_FIRST
        self._shape_pose = {"tuck": TUCK, "pike": PIKE}.get(labels.position)
        self._twist_pose = TWIST_LEFT if dive.looks.left_twister else TWIST_RIGHT

        joints, self._take_off_deg, _ = self._on_platform(0.0)
        start = centre_of_mass(joints)
        end_deg = self._upright + self.turns_clockwise * (
            360 * labels.somersaults + faults.rotation_error_deg
        )
        end_twist = self._facing_deg() + self._twists_deg()
        last = self._turned(self._faulty(self._last_pose, 1.0), end_deg, end_twist)
        last -= centre_of_mass(last)
        rise = dive.looks.rise_m * (0.3 if labels.armstand else 1.0)
        self._start, up = start, math.sqrt(2 * GRAVITY * rise)
        self.contact_s = (up + math.sqrt(up**2 + 2 * GRAVITY * (start[2] + last[:, 2].min()))) / GRAVITY
        self._velocity = np.array([(faults.distance_m - start[0]) / self.contact_s, 0.0, up])
        self._keys = self._flight_keys()
        times = np.linspace(0, self.contact_s, 81)
        rates = [1 / inertia(body_points(self._flight_pose(t), dive.looks.height_m)) for t in times]
        turned = np.concatenate([[0], np.cumsum((np.array(rates[1:]) + rates[:-1]) / 2)])
        self._angle_times = times
        self._angles = self._take_off_deg + (end_deg - self._take_off_deg) * turned / turned[-1]

        first, last = self.joints_at(self.contact_s)[0], self.joints_at(self.contact_s + SINKING_S)[0]
        self.entry_x_m = float(first[first[:, 2].argmin(), 0]), float(last[last[:, 2].argmax(), 0])

    def joints_at(self, seconds: float) -> tuple[np.ndarray, float, float]:
        """The body at a time.

        Returns:
            joints `(20, 3)` in world metres along x, y, z; the turn of the long axis clockwise, in degrees;
            and the turn about the long axis, in degrees, 0 where the chest looks along x.
        """
        if seconds < 0:
            return self._on_platform(seconds)
        in_air = min(seconds, self.contact_s)
        angle = float(np.interp(in_air, self._angle_times, self._angles))
        twist = self._facing_deg() + self._twist_deg(in_air)
        joints = self._turned(self._flight_pose(in_air), angle, twist)
        fall = np.array([0.0, 0.0, -GRAVITY])
        centre = self._start + self._velocity * in_air + fall * in_air**2 / 2
        # Water slows the body to nothing over about 0.6 s; by then it is deep under the surface.
        sunk = 0.6 * (1 - math.exp(-(seconds - in_air) / 0.6))
        centre = centre + (self._velocity + fall * in_air) * sunk
        return joints - centre_of_mass(joints) + centre, angle, twist

    def _facing_deg(self) -> float:
        return 180.0 if self._backwards_on else 0.0

    def _turned(self, pose: Pose, angle_deg: float, twist_deg: float) -> np.ndarray:
        f, left, u = body_points(pose, self.dive.looks.height_m).T
        psi, phi = math.radians(twist_deg), math.radians(angle_deg)
        chest, y = f * math.cos(psi) - left * math.sin(psi), f * math.sin(psi) + left * math.cos(psi)
        x, z = chest * math.cos(phi) + u * math.sin(phi), u * math.cos(phi) - chest * math.sin(phi)
        return np.stack([x, y, z], axis=1)

    def _faulty(self, pose: Pose, share: float) -> Pose:
        """The pose with the dive's knees and legs; a tuck bends the knees anyway."""
        bend = self.dive.faults.knee_bend_deg * share * max(0.0, 1 - pose.knee / TUCK.knee)
        return pose._replace(
            knee=pose.knee + bend,
            hip=pose.hip + 0.4 * bend,
            split=pose.split + self.dive.faults.leg_split_deg * share,
        )

    def _flight_keys(self) -> list[tuple[float, Pose]]:
        labels, whole = self.dive.labels, self.contact_s
        opening = whole * (0.52 + 0.06 * labels.somersaults)
        if self._shape_pose is None:
            keys = [(0.20, self._twist_pose), (0.80 * whole, self._twist_pose)]
        elif labels.twists:
            keys = [(0.18, self._twist_pose), (0.52 * whole, self._twist_pose)]
            keys += [(0.52 * whole + 0.13, self._shape_pose), (max(opening, 0.78 * whole), self._shape_pose)]
        else:
            keys = [(0.17, self._shape_pose), (opening, self._shape_pose)]
        return [(0.0, REACH), *keys, (min(keys[-1][0] + 0.2, whole), self._last_pose)]

    def _flight_pose(self, seconds: float) -> Pose:
        return self._faulty(_between(self._keys, seconds), _ease((seconds - FAULTY_FROM_S) / 0.2))

    def _twists_deg(self) -> float:
        return 360 * self.dive.labels.twists * (1 if self.dive.looks.left_twister else -1)

    def _twist_deg(self, seconds: float) -> float:
        begin, end = 0.1, self.contact_s * (0.84 if self._shape_pose is None else 0.58)
        share = min(max((seconds - begin) / (end - begin), 0.0), 1.0)
        # Mostly even, with soft ends: a twist starts and stops with the arms.
        share = 0.75 * share + 0.25 * _ease(share)
        return self._twists_deg() * share

    def _on_platform(self, seconds: float) -> tuple[np.ndarray, float, float]:
        if self.dive.labels.armstand:
            return self._in_armstand(seconds)
        walk_end = -TAKE_OFF_S - 0.45
        twist = self._facing_deg() * _ease((seconds - walk_end) / 0.4)
        if seconds < walk_end:
            stride = math.sin(2 * math.pi * (seconds - walk_end) / 0.9)
            swing = abs(stride) ** 0.7 * math.copysign(1, stride)
            pose = STAND._replace(split=44 * swing, knee=14 * abs(swing), arm_l=26 * swing, arm_r=-26 * swing)
            x = -0.02 + 1.5 * (seconds - walk_end)
        else:
            t = -TAKE_OFF_S
            keys = [(t, STAND), (t + 0.25, REACH._replace(point=0.2)), (t + 0.52, CROUCH), (0.0, REACH)]
            pose, x = _between(keys, seconds), -0.02
        # Leaning into the dive while the legs push; before that, balanced over the feet.
        lean = 9 * self.turns_clockwise * _ease((seconds + 0.25) / 0.25)
        joints = self._turned(pose, 0.0, twist)
        feet = joints[[TOE_L, TOE_R, ANKLE_L, ANKLE_R]]
        base = np.array([feet[:, 0].mean(), 0.0, feet[:, 2].min()])
        from_base = centre_of_mass(joints) - base
        angle = lean - math.degrees(math.atan2(from_base[0], from_base[2]))
        joints = self._turned(pose, angle, twist)
        feet = joints[[TOE_L, TOE_R, ANKLE_L, ANKLE_R]]
        return joints + (x - feet[:, 0].mean(), 0.0, PLATFORM_M + 0.02 - feet[:, 2].min()), angle, twist

    def _in_armstand(self, seconds: float) -> tuple[np.ndarray, float, float]:
        sway = 1.5 * math.sin(5 * seconds)
        push = _ease((seconds + 0.4) / 0.4)
        pose = Pose(arm_l=176, arm_r=176, elbow_l=0, elbow_r=0)
        dip = math.sin(math.pi * min(max((seconds + 0.5) / 0.5, 0.0), 1.0))
        pose = pose._replace(elbow_l=38 * dip, elbow_r=38 * dip)
        angle = 180 + sway * (1 - push) + 7 * push * self.turns_clockwise
        joints = self._turned(pose, angle, self._facing_deg())
        base = joints[[HAND_L, HAND_R]]
        return (
            joints + (-0.1 - base[:, 0].mean(), 0.0, PLATFORM_M - base[:, 2].min()),
            angle,
            self._facing_deg(),
        )


def _ease(share: float) -> float:
    """0 up to share 0, 1 from share 1, without a corner in between."""
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)


def _between(keys: list[tuple[float, Pose]], seconds: float) -> Pose:
    if seconds <= keys[0][0]:
        return keys[0][1]
    for (begin, pose), (end, following) in itertools.pairwise(keys):
        if seconds <= end:
            return pose.towards(following, _ease((seconds - begin) / (end - begin)))
    return keys[-1][1]
