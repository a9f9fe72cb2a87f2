"""Keypoints as lists of people found in pictures: OpenPose's folders, AlphaPose's and COCO's results."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..disk.plain_json import parse_json
from ..errors import AqaError, first_line
from .track import Track, check_size

_OPENPOSE = re.compile(r"(\d{1,12})_keypoints\.json$")
_NUMBER = re.compile(r"(\d{1,12})\D*$")
_MOST_BYTES = 1 << 28  # of a file of JSON
_MOST_FRAMES, _MOST_PEOPLE = 1 << 24, 100
_LIST = "expected a list of objects with image_id and keypoints, as AlphaPose and COCO have it"

# Frame, and x, y, confidence of each joint.
_Person = tuple[int, np.ndarray]


def is_openpose(path: Path) -> bool:
    """Whether a file is one frame's, by its name."""
    return _OPENPOSE.search(path.name) is not None


def read_openpose(folder: Path) -> Track:
    """A folder with one `…_NUMBER_keypoints.json` per frame, whose frames run from 0 on.

    Raises:
        AqaError: whose text is the reason alone.
    """
    numbered = {}
    for path in folder.glob("*_keypoints.json"):
        if found := _OPENPOSE.search(path.name):
            if int(found[1]) in numbered:
                raise AqaError(f"has two files of frame {int(found[1])}; keep those of one video")
            numbered[int(found[1])] = path
    if lacking := next((frame for frame in range(len(numbered)) if frame not in numbered), None):
        raise AqaError(f"has {len(numbered)} frames, and none of them is {lacking}; expected all from 0 on")
    people: list[_Person] = []
    for frame, path in sorted(numbered.items()):
        content = _json(path)
        listed = content.get("people") if isinstance(content, dict) else None
        if not isinstance(listed, list):
            raise AqaError(f"{path.name} has no list of people, expected OpenPose's output")
        for person in listed:
            said = person.get("pose_keypoints_2d") if isinstance(person, dict) else None
            people.append((frame, _triples(said, f"{path.name}: pose_keypoints_2d")))
    return _track(people, len(numbered))


def read_results(path: Path) -> Track:
    """A list of `{"image_id": …, "keypoints": [x, y, confidence, …]}`, one per person and frame; the number
    that the `image_id` ends in is the frame's, from 0 on.

    Raises:
        AqaError: whose text is the reason alone.
    """
    content = _json(path)
    if not isinstance(content, list) or not content:
        raise AqaError(f"is {'empty' if content == [] else type(content).__name__}, {_LIST}")
    people = []
    for number, entry in enumerate(content):
        if not isinstance(entry, dict) or not {"image_id", "keypoints"} <= entry.keys():
            raise AqaError(f"its entry {number} lacks image_id or keypoints, {_LIST}")
        image = entry["image_id"]
        found = _NUMBER.search(str(image)) if isinstance(image, str) or type(image) is int else None
        if found is None or (type(image) is int and image < 0):
            raise AqaError(f"its entry {number} is of image {image!r:.60}, which has no number from 0 up")
        people.append((int(found[1]), _triples(entry["keypoints"], f"its entry {number}: keypoints")))
    return _track(people, max(frame for frame, _ in people) + 1, open_ended=True)


def _json(path: Path):
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"is larger than {_MOST_BYTES:,} bytes")
        return parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AqaError(f"{path.name} cannot be read as JSON ({first_line(error)})") from None


def _triples(said, where: str) -> np.ndarray:
    if (
        not isinstance(said, list)
        or not said
        or len(said) % 3
        or not all(type(value) in (int, float) for value in said)
    ):
        raise AqaError(f"{where} is no list of x, y and confidence of each joint")
    return np.array(said, np.float64).reshape(-1, 3)


def _track(people: Iterable[_Person], frames: int, open_ended: bool = False) -> Track:
    people = list(people)
    if not people:
        raise AqaError(f"has nobody in any of its {frames} frames")
    if frames > _MOST_FRAMES:
        raise AqaError(f"has a frame {frames - 1}, expected numbers below {_MOST_FRAMES}")
    counts = {len(joints) for _, joints in people}
    if len(counts) > 1:
        raise AqaError(
            f"has people of {' and of '.join(map(str, sorted(counts)))} joints, expected one number"
        )
    together: dict[int, list[np.ndarray]] = {}
    for frame, joints in people:
        together.setdefault(frame, []).append(joints)
    most = max(map(len, together.values()))
    if most > _MOST_PEOPLE:
        raise AqaError(f"has {most} people in a frame, expected at most {_MOST_PEOPLE}")
    joints = counts.pop()
    check_size(frames, most, joints)
    values = np.full((frames, most, joints, 3), np.nan)
    for frame, found in together.items():
        values[frame, : len(found)] = found
    return Track(values[..., :2], (), values[..., 2], open_ended)
