"""How a dive looks: the diver and the splash, drawn with Pillow before a static camera.

Everything but diver and splash is `Scene.background`, a function of the event and the time alone.
"""

import math

import numpy as np
from PIL import Image, ImageDraw

from . import diver
from .diver import SPLASH_S, Motion
from .pool import paint_pool

SUPERSAMPLING = 3
DISSOLVE_S = 0.24  # the broadcast fades from one diver to the next
SEEN_WET_S = 0.5  # so long after the first touch of the water the diver is drawn
RIPPLE_S = 1.0  # the water repeats itself after this long


class Camera:
    """Where points of the world are in the picture.

    Args:
        size: (width, height) of the picture in pixels; both even.
        rng: chooses a small offset.

    Attributes:
        scale: pixels in a metre.
        tip_x, water_y: the column of the platform's tip and the row where bodies go into the water.
        unit: pixels in what would be a pixel of a picture 360 high.
    """

    def __init__(self, size: tuple[int, int], rng: np.random.Generator):
        self.size = size
        self.unit = unit = size[1] / 360
        self.scale = 46.5 * unit  # px/m
        self.tip_x = size[0] / 2 + (-62 + rng.uniform(-10, 10)) * unit
        self.water_y = (318 + rng.uniform(-2, 2)) * unit

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Columns and rows of the picture. Shape: points: `(…, 3)`, world metres. Output: `(…, 2)`."""
        return np.stack(
            [self.tip_x + self.scale * points[..., 0], self.water_y - self.scale * points[..., 2]], axis=-1
        )


def camera_rng(seed: int) -> np.random.Generator:
    """What chooses camera and pool of a render."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0, 1)))


class Scene(Camera):
    """One event seen by one camera.

    Args:
        name: of the event, shown in a corner.
        size: as of `Camera`.
        frame_rate: in frames per second.
        seed: of the render; chooses the pool's colours and the camera's offset. All events are held in one
            pool, seen by one camera: a venue of its own for each event outweighs everything a diver does, for
            features nobody trained.
    """

    def __init__(self, name: str, size: tuple[int, int], frame_rate: float, seed: int):
        rng = camera_rng(seed)
        super().__init__(size, rng)
        self.frame_rate = frame_rate
        self._backgrounds = paint_pool(self, name, rng, max(1, round(RIPPLE_S * frame_rate)))

    def background(self, frame: int) -> np.ndarray:
        """The pool without a diver. Shape: Output: `(height, width, 3)` uint8 RGB, not to be written to."""
        return self._backgrounds[frame % len(self._backgrounds)]

    def draw(self, motion: Motion, frame: int, take_off_frame: int) -> np.ndarray:
        """One frame of the broadcast.

        Args:
            motion: the dive.
            frame: number of the frame in the video; moves the water.
            take_off_frame: number of the frame at which the diver leaves the platform.

        Shape:
            - Output: `(height, width, 3)` uint8 RGB.
        """
        background = self.background(frame)
        seconds = (frame - take_off_frame) / self.frame_rate
        box = self.box(motion, frame, take_off_frame)
        if box is None:
            return background
        left, top, right, bottom = box
        clean = Image.fromarray(background[top:bottom, left:right])
        pen = _Pen(self, clean, box)
        wet = seconds - motion.contact_s
        if wet < SEEN_WET_S:
            _draw_diver(pen, motion, seconds)
            pen.restore_below(self.water_y, clean)
        if wet > 0:
            _draw_splash(pen, motion, wet)
        patch = pen.finish()
        shown = min(1.0, (seconds + diver.APPROACH_S) / DISSOLVE_S)
        if shown < 1:
            patch = Image.blend(clean, patch, shown)
        picture = background.copy()
        picture[top:bottom, left:right] = np.asarray(patch)
        return picture

    def box(self, motion: Motion, frame: int, take_off_frame: int) -> tuple[int, int, int, int] | None:
        """Where `draw` may differ from the background: left, top, right, bottom in pixels; None for
        nowhere.
        """
        seconds = (frame - take_off_frame) / self.frame_rate
        wet = seconds - motion.contact_s
        if seconds <= -diver.APPROACH_S or wet >= SPLASH_S:
            return None
        xs, zs = [], []
        if wet < SEEN_WET_S:
            joints = motion.joints_at(seconds)[0]
            above = np.maximum(joints[:, 2], 0)
            xs += [joints[:, 0].min() - 0.25, joints[:, 0].max() + 0.25]
            zs += [above.min() - 0.25, above.max() + 0.25]
        if wet > 0:
            half = 0.7 + 1.1 * motion.dive.faults.splash_m
            xs += [min(motion.entry_x_m) - half, max(motion.entry_x_m) + half]
            zs += [-0.75, motion.dive.faults.splash_m + 0.2]
        left, right = (self.tip_x + self.scale * x for x in (min(xs), max(xs)))
        top, bottom = (self.water_y - self.scale * z for z in (max(zs), min(zs)))
        width, height = self.size
        box = max(0, int(left)), max(0, int(top)), min(width, int(right) + 1), min(height, int(bottom) + 1)
        return box if box[0] < box[2] and box[1] < box[3] else None


class _Pen:
    """Draws in world metres on an enlarged patch, and reduces it: untouched pixels come back as they were."""

    def __init__(self, scene: Scene, patch: Image.Image, box: tuple[int, int, int, int]):
        n = SUPERSAMPLING
        self.image = patch.resize((patch.width * n, patch.height * n), Image.Resampling.NEAREST)
        self.draw = ImageDraw.Draw(self.image, "RGBA")
        self.scale = scene.scale * n
        self._x, self._y = (scene.tip_x - box[0]) * n, (scene.water_y - box[1]) * n
        self._top = box[1]

    def at(self, x: float, z: float) -> tuple[float, float]:
        return self._x + self.scale * x, self._y - self.scale * z

    def restore_below(self, y: float, clean: Image.Image) -> None:
        row = round(y) - self._top
        if row < clean.height:
            n, row = SUPERSAMPLING, max(row, 0)
            below = clean.crop((0, row, clean.width, clean.height))
            self.image.paste(
                below.resize((below.width * n, below.height * n), Image.Resampling.NEAREST), (0, row * n)
            )

    def finish(self) -> Image.Image:
        return self.image.reduce(SUPERSAMPLING)

    def disc(self, x: float, z: float, radius: float, colour, flat: float = 1.0) -> None:
        cx, cy = self.at(x, z)
        r = radius * self.scale
        self.draw.ellipse((cx - r, cy - r * flat, cx + r, cy + r * flat), fill=colour)

    def polygon(self, points, colour) -> None:
        self.draw.polygon([self.at(x, z) for x, z in points], fill=colour)

    def limb(self, joints: np.ndarray, radii, colour) -> None:
        """A chain of tapered rods with round joints."""
        for (x0, z0), (x1, z1), r0, r1 in zip(joints[:-1], joints[1:], radii[:-1], radii[1:], strict=True):
            length = math.hypot(x1 - x0, z1 - z0)
            if length > 1e-6:
                nx, nz = (z1 - z0) / length, (x0 - x1) / length
                self.polygon(
                    [
                        (x0 + nx * r0, z0 + nz * r0),
                        (x1 + nx * r1, z1 + nz * r1),
                        (x1 - nx * r1, z1 - nz * r1),
                        (x0 - nx * r0, z0 - nz * r0),
                    ],
                    colour,
                )
        for (x, z), radius in zip(joints, radii, strict=True):
            self.disc(x, z, radius, colour)


def _shade(colour: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    return tuple(min(255, int(channel * share)) for channel in colour)


def _draw_diver(pen: _Pen, motion: Motion, seconds: float) -> None:
    joints, angle, twist = motion.joints_at(seconds)
    looks = motion.dive.looks
    size = looks.height_m
    flat = joints[:, [0, 2]]
    psi, phi = math.radians(twist), math.radians(angle)
    body = _Trunk(flat, psi, phi, size)

    def limb(first: int, near_to: float, shades: tuple[float, float], radii: tuple[float, ...]):
        near = joints[first, 1] <= near_to
        colour = _shade(looks.skin, shades[0] if near else shades[1])
        return lambda: pen.limb(flat[first : first + 4], [size * r for r in radii], colour)

    def arm(shoulder: int):
        return limb(shoulder, 0.03, (1.0, 0.72), (0.033, 0.027, 0.022, 0.020))

    def leg(hip: int):
        return limb(hip, 0.01, (0.96, 0.70), (0.056, 0.038, 0.025, 0.016))

    parts = [(float(joints[diver.PELVIS : diver.NECK + 1, 1].mean()), lambda: body.draw(pen, looks))]
    parts += [(float(joints[diver.HEAD, 1]) - 0.001, lambda: body.draw_head(pen, looks))]
    # A limb of the far side lies behind the trunk and one of the near side before it, whatever the pose.
    parts += [
        (float(joints[s, 1] + joints[s + 1, 1]) / 2, arm(s)) for s in (diver.SHOULDER_L, diver.SHOULDER_R)
    ]
    parts += [(float(joints[h, 1] + joints[h + 1, 1]) / 2, leg(h)) for h in (diver.HIP_L, diver.HIP_R)]
    for _, draw_part in sorted(parts, key=lambda part: -part[0]):
        draw_part()


class _Trunk:
    """Trunk and head: round bodies with a seam along each side, one colour before it and one behind it."""

    def __init__(self, flat: np.ndarray, psi: float, phi: float, size: float):
        self.size = size
        self.head = flat[diver.HEAD], flat[diver.HEAD] - flat[diver.NECK]
        pelvis, chest, neck = flat[[diver.PELVIS, diver.CHEST, diver.NECK]]
        low = pelvis + (pelvis - chest) * 0.30
        self._spine = np.array(
            [low, pelvis, (pelvis + chest) / 2, chest, (chest + neck) / 2, neck, neck + (neck - chest) * 0.12]
        )
        # Half the breadth from side to side and from chest to back, over the body height, at each point of
        # the spine.
        self._side = np.array([0.060, 0.090, 0.076, 0.084, 0.104, 0.088, 0.034]) * size
        self._deep = np.array([0.048, 0.060, 0.054, 0.062, 0.064, 0.046, 0.030]) * size
        self._psi = psi
        self._chestward = np.array([math.cos(phi), -math.sin(phi)])

    def _seam(self, side, deep):
        """Half the breadth as seen, and where the seam on the near side is seen."""
        sine, cosine = math.sin(self._psi), math.cos(self._psi)
        return np.hypot(side * sine, deep * cosine), side * sine * math.copysign(1, cosine)

    def draw(self, pen: _Pen, looks) -> None:
        along = np.gradient(self._spine, axis=0)
        length = np.maximum(np.hypot(*along.T), 1e-6)[:, None]
        across = np.stack([along[:, 1], -along[:, 0]], axis=1) / length
        breadth, seam = (values[:, None] for values in self._seam(self._side, self._deep))
        edge = math.copysign(1, math.cos(self._psi)) * breadth
        seams = self._spine + across * seam
        for colour, edges in (
            (looks.suit_back, self._spine - across * edge),
            (looks.suit_front, self._spine + across * edge),
        ):
            pen.polygon(np.concatenate([edges, seams[::-1]]), colour)

    def draw_head(self, pen: _Pen, looks) -> None:
        centre, up = self.head
        up = up / max(float(np.hypot(*up)), 1e-6)
        across = np.array([up[1], -up[0]])
        radius = 0.064 * self.size
        pen.limb(
            np.array([centre - up * 0.09 * self.size, centre]),
            [0.032 * self.size] * 2,
            _shade(looks.skin, 0.85),
        )
        pen.disc(*centre, radius, looks.cap)
        turns = np.linspace(-math.pi / 2, math.pi / 2, 13)
        facing = math.copysign(1, math.cos(self._psi))
        _, seam = self._seam(radius, radius)
        rim_across, rim_up = np.cos(turns) * facing, np.sin(turns)
        # The face ends at the brow; the cap goes on above it.
        rim_up = np.minimum(rim_up, 0.45)
        rim = centre + radius * (np.outer(rim_across, across) + np.outer(rim_up, up))
        line = centre + np.outer(np.cos(turns) * seam * 0.9, across) + radius * np.outer(rim_up, up)
        pen.polygon(np.concatenate([rim, line[::-1]]), looks.skin)


def _draw_splash(pen: _Pen, motion: Motion, seconds: float) -> None:
    """Foam on the water, a sheet thrown up where the body went in, and drops on ballistic paths."""
    top = motion.dive.faults.splash_m
    rng = np.random.default_rng(motion.dive.looks.spray_seed)
    fade = min(1.0, max(0.0, (SPLASH_S - seconds) / 0.3))
    first, last = motion.entry_x_m
    middle = (first + last) / 2
    # An over-rotated body throws the water where its feet fall, an under-rotated one the other way.
    slant = math.sin(math.radians(motion.dive.faults.rotation_error_deg)) * motion.turns_clockwise

    grown = min(1.0, seconds / 0.4) ** 0.6
    spread = (0.22 + 0.55 * top) * grown
    pen.disc(middle, -0.10 - 0.10 * top, spread * 0.8, (215, 236, 244, int(46 * fade * grown)), 0.45)
    count = int(26 + 60 * top)
    around, out = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.uniform(0, 1, count))
    sizes = rng.uniform(0.05, 0.12, count) * (0.7 + 0.6 * top)
    alphas = rng.uniform(60, 150, count) * (1.1 - 0.7 * out) * fade * min(1.0, seconds / 0.1)
    xs, zs = middle + spread * out * np.cos(around), -0.03 + 0.24 * spread * out * np.sin(around)
    for x, z, size, alpha in zip(xs, zs, sizes, alphas, strict=True):
        pen.disc(x, z, size, (238, 247, 250, int(alpha)), 0.36)

    # Sheet: a crown that rises as a thrown body would and falls back, wider with height.
    for blade in np.linspace(-1, 1, 7 + int(6 * top)):
        rise = math.sqrt(2 * diver.GRAVITY * top * (0.4 + 0.4 * rng.random()) * (1 - 0.45 * abs(blade)))
        t = seconds - 0.04 - 0.08 * rng.random()
        height = rise * t - diver.GRAVITY * t * t / 2
        if t > 0 and height > 0.02:
            foot = middle + blade * (0.07 + 0.12 * top)
            head = foot + (blade * (0.18 + 0.35 * top) + 0.7 * slant * top) * min(1.0, t / 0.3)
            half = 0.03 + 0.05 * top
            sheet = [
                (foot - half, 0),
                (head - half * 0.3, height),
                (head + half * 0.3, height),
                (foot + half, 0),
            ]
            pen.polygon(sheet, (240, 248, 252, int(120 * fade)))

    count = int(36 + 150 * top)
    reach = top * np.minimum(1.0, np.abs(rng.normal(0, 0.42, count)) + 0.04)
    reach[0] = top
    launch = 0.02 + 0.26 * rng.random(count) * (1 - reach / top)
    start = first + (last - first) * launch / diver.SINKING_S + rng.normal(0, 0.05 + 0.10 * top, count)
    drift = np.clip(rng.normal(0, 0.2 + 0.4 * top, count) + 1.0 * slant * top, -1.6, 1.6)
    sizes = rng.uniform(0.012, 0.034, count) * (0.8 + 0.35 * top)
    tones = np.array([(255, 255, 255), (228, 240, 246), (206, 226, 238)])[rng.integers(0, 3, count)]
    t = seconds - launch
    xs, zs = start + drift * t, np.sqrt(2 * diver.GRAVITY * reach) * t - diver.GRAVITY * t * t / 2
    for i in np.flatnonzero((t > 0) & (zs > 0)):
        pen.disc(xs[i], zs[i], sizes[i], (*tones[i].tolist(), int(235 * fade)))
