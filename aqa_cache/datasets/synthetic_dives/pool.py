"""The pool hall without a diver: what the camera sees of one event, moving with the time and nothing else."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from .diver import PLATFORM_M

# Cool and of middling lightness, so that pale and dark divers stand out alike.
_WALLS = (
    (116, 142, 172),
    (132, 132, 166),
    (112, 152, 148),
    (134, 146, 154),
    (104, 132, 150),
    (138, 152, 136),
)
_WATERS = ((24, 108, 152), (20, 128, 160), (34, 96, 150), (16, 118, 138))


def paint_pool(scene, name: str, rng: np.random.Generator, phases: int) -> list[np.ndarray]:
    """One picture for each phase of the ripples.

    Args:
        scene: whose `size`, `unit`, `scale`, `tip_x` and `water_y` are the camera.
        name: of the event.
        rng: the pool's own; nothing else here is chance.
        phases: how many; after them the water is as before the first.

    Shape:
        - Output: each `(height, width, 3)` uint8 RGB, read-only.
    """
    edge = int(scene.water_y - 28 * scene.unit)
    hall = _paint_hall(scene, rng)
    pen = ImageDraw.Draw(hall, "RGBA")
    pen.rectangle([0, edge - 7 * scene.unit, scene.size[0], edge], fill=(196, 200, 198))
    pen.rectangle([0, edge - 2 * scene.unit, scene.size[0], edge], fill=(140, 150, 152))
    _paint_platform(scene, pen)
    _paint_name(scene, pen, name)

    hall = np.asarray(hall)
    tower = _tower_mask(scene)[edge:, :, None]
    pictures = []
    for water in _paint_water(scene, edge, rng, phases):
        picture = hall.copy()
        picture[edge:] = np.where(tower, picture[edge:], water)
        picture.flags.writeable = False
        pictures.append(picture)
    return pictures


def _paint_hall(scene, rng: np.random.Generator) -> Image.Image:
    """Lamps, stands with a crowd, a wall with banners; blurred, as the camera is focused on the diver."""
    (width, height), unit = scene.size, scene.unit
    wall = np.array(_WALLS[rng.integers(len(_WALLS))]) * rng.uniform(0.94, 1.06)
    rows = np.linspace(1.12, 0.86, height)[:, None, None]
    hall = Image.fromarray(np.clip(np.broadcast_to(wall * rows, (height, width, 3)), 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(hall, "RGBA")

    def box(left: float, top: float, right: float, bottom: float) -> list[float]:
        return [value * unit for value in (left, top, right, bottom)]

    across = width / unit
    for lamp in range(7):
        x = (lamp + rng.uniform(0.3, 0.5)) * across / 7
        pen.rectangle(box(x, 42, x + 46, 50), fill=(255, 250, 235, 130))
    for tier in range(9):
        row = 82 + tier * 15
        pen.rectangle(box(0, row + 10, across, row + 13), fill=(0, 0, 0, 40))
        for seat in np.arange(-4, across, 8.5):
            if rng.random() < 0.72:
                x, y = seat + rng.uniform(-2, 2), row + rng.uniform(-2, 2)
                shirt = rng.uniform(0.7, 1.1) * (0.72 * wall + 0.28 * rng.uniform(30, 230, 3))
                face = rng.uniform(110, 190) * np.array([1, 0.8, 0.68])
                pen.ellipse(box(x, y + 3, x + 7, y + 13), fill=_colour(shirt))
                pen.ellipse(box(x + 1.8, y - 1, x + 5.4, y + 4), fill=_colour(face))
    pen.rectangle(box(0, 222, across, 290), fill=_colour(wall * 0.78))
    banner = _colour(rng.uniform(40, 200, 3))
    for x in np.arange(rng.uniform(-60, 0), across, 118):
        pen.rectangle(box(x, 238, x + 84, 262), fill=(*banner, 150))
    return hall.filter(ImageFilter.GaussianBlur(2.8 * unit))


def _paint_water(scene, edge: int, rng: np.random.Generator, phases: int):
    """The surface from its far edge down: waves that come back to where they were after all phases."""
    (width, height), unit = scene.size, scene.unit
    water = np.array(_WATERS[rng.integers(len(_WATERS))])
    waves = rng.uniform([0.02, 0.5, -0.02], [0.07, 1.1, 0.02], (5, 3))
    turns, offsets = rng.integers(1, 3, 5) * rng.choice([-1, 1], 5), rng.uniform(0, 2 * np.pi, 5)
    y, x = np.mgrid[0 : height - edge, 0:width]
    depth = y / (height - edge)
    for phase in range(phases):
        ripple = np.zeros(y.shape)
        for (along, down, skew), turn, offset in zip(waves, turns, offsets, strict=True):
            # Nearer waves look longer.
            place = (along * x + down * y / (0.5 + depth) + skew * x * depth) / unit
            ripple += np.sin(place + 2 * np.pi * turn * phase / phases + offset)
        light = 1.12 - 0.22 * depth + 0.035 * ripple + 0.10 * np.maximum(ripple - 2.2, 0)
        yield np.clip(water * light[..., None], 0, 255).astype(np.uint8)


def _slab_and_tower(scene) -> tuple[list[float], list[float]]:
    """Boxes in pixels."""
    top, metre = scene.water_y - PLATFORM_M * scene.scale, scene.scale
    slab = [0, top, scene.tip_x + 0.06 * metre, top + 0.20 * metre]
    tower = [scene.tip_x - 3.3 * metre, slab[3], scene.tip_x - 2.5 * metre, scene.water_y - 20 * scene.unit]
    return slab, tower


def _paint_platform(scene, pen: ImageDraw.ImageDraw) -> None:
    slab, tower = _slab_and_tower(scene)
    metre, rail, white = scene.scale, slab[1] - 0.95 * scene.scale, (210, 212, 214)
    brace = [(tower[2], slab[3]), (tower[2] + 0.9 * metre, slab[3]), (tower[2], slab[3] + 0.7 * metre)]
    pen.rectangle(tower, fill=(88, 98, 114))
    pen.rectangle([tower[2] - 0.2 * metre, *tower[1:]], fill=(68, 77, 92))
    pen.polygon(brace, fill=(78, 88, 103))
    pen.rectangle(slab, fill=(98, 108, 124))
    pen.rectangle([slab[0], slab[3] - 0.09 * metre, *slab[2:]], fill=(64, 72, 86))
    pen.rectangle([*slab[:3], slab[1] + 0.03 * metre], fill=(236, 238, 238))
    for post in (2.2, 3.4, 4.6):
        x = scene.tip_x - post * metre
        pen.line([x, slab[1], x, rail], fill=white, width=max(1, round(1.5 * scene.unit)))
    pen.line([0, rail, scene.tip_x - 2.2 * metre, rail], fill=white, width=max(1, round(2 * scene.unit)))


def _tower_mask(scene) -> np.ndarray:
    mask = Image.new("1", scene.size)
    ImageDraw.Draw(mask).rectangle(_slab_and_tower(scene)[1], fill=1)
    return np.asarray(mask)


def _paint_name(scene, pen: ImageDraw.ImageDraw, name: str) -> None:
    font = ImageFont.load_default(size=12 * scene.unit)
    right, bottom = pen.textbbox((0, 0), name, font=font)[2:]
    x, y, margin = 8 * scene.unit, 2 * scene.unit, 4 * scene.unit
    pen.rectangle([x - margin, y - margin, x + right + margin, y + bottom + margin], fill=(10, 20, 40, 170))
    pen.text((x, y), name, font=font, fill=(255, 255, 255, 235))


def _colour(values: np.ndarray) -> tuple[int, int, int]:
    return tuple(int(value) for value in np.clip(values, 0, 255))
