"""Finding the keypoints of samples and videos in a folder."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..annotations import Sample
from ..errors import AqaError
from .arrays import read_array_file
from .detections import is_openpose, read_openpose, read_results
from .track import Track
from .tracked import read_deeplabcut, read_sleap

# What AlphaPose calls every video's results, and what DeepLabCut and SLEAP put behind a video's name.
_ALPHAPOSE = "alphapose-results"
_BEHIND = re.compile(r"(?:DLC[_A-Z].*|\.analysis)$")


@dataclass(frozen=True)
class Source:
    """One file or folder of keypoints.

    Args:
        where: as a message names it.
        read: reads it; raises AqaError, whose text is the reason alone.
    """

    where: str
    read: Callable[[], Track]


def find_sources(folder: Path, third: str | None = None) -> dict[str, list[Source]]:
    """The keypoints below a folder, by the name of their sample or video: the path without suffix.

    Args:
        third: of arrays, see `read_array_file`.

    Raises:
        AqaError: it is no folder, or holds none.
    """
    if not folder.is_dir():
        raise AqaError(f"{folder}: is no folder; expected one with keypoints, {FORMS}")
    readers: dict[str, Callable[[Path], Track]] = {
        ".npy": lambda path: read_array_file(path, third),
        ".npz": lambda path: read_array_file(path, third),
        ".json": read_results,
        ".csv": read_deeplabcut,
        ".h5": read_sleap,
    }
    found: dict[str, list[Source]] = {}

    def add(name: str, path: Path, read: Callable[[Path], Track]) -> None:
        where = path.relative_to(folder).as_posix()
        found.setdefault(name, []).append(Source(where, lambda: read(path)))

    openpose = {path.parent for path in folder.rglob("*_keypoints.json") if is_openpose(path)}
    for path in sorted(openpose):
        add(path.relative_to(folder).as_posix(), path, read_openpose)
    for path in sorted(folder.rglob("*")):
        suffix = path.suffix.lower()
        if suffix not in readers or not path.is_file() or path.parent in openpose:
            continue
        if path.name == "annotations.csv":
            continue
        name = path.relative_to(folder).as_posix()[: -len(suffix)]
        if PurePosixPath(name).name == _ALPHAPOSE:
            name = PurePosixPath(name).parent.as_posix()
        add(_BEHIND.sub("", name) if suffix in (".csv", ".h5") else name, path, readers[suffix])
    if not found:
        raise AqaError(f"{folder}: holds no keypoints; expected {FORMS}")
    return found


FORMS = (
    "NAME.npy or NAME.npz (arrays), a folder NAME of OpenPose's JSON files, NAME.json (AlphaPose, COCO"
    " results), NAME.csv (DeepLabCut) or NAME.h5 (SLEAP's analysis), NAME being a sample_id or a video's"
    " without suffix"
)


def source_of(sample: Sample, found: dict[str, list[Source]]) -> tuple[str, bool] | None:
    """Name of a sample's keypoints, and whether they are of its frames alone and not of its whole video.
    None: it has none.
    """
    if sample.sample_id in found:
        return sample.sample_id, True
    path = PurePosixPath(sample.video)
    for name in (sample.video, path.with_suffix("").as_posix(), path.stem):
        if name in found:
            return name, False
    return None
