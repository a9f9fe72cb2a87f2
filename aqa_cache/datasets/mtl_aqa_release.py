"""The release of MTL-AQA on a disk: its files, found and read."""

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ..errors import AnnotationError, MissingDependency, missing, some
from .restricted_pickle import load

_SPLIT_FOLDER = Path("Ready_2_Use", "MTL-AQA_split_0_data")
ANNOTATIONS, CAPTIONS = "final_annotations_dict.pkl", "final_captions_dict.pkl"
TRAIN, TEST = "train_split_0.pkl", "test_split_0.pkl"
MOST = 1 << 53  # a frame's number, a score
_JUDGES = slice(12, 19)  # columns M to S

Dive = tuple[int, int]  # (video, number within the video), the release's own key


@dataclass(frozen=True)
class Release:
    """A copy of the release on disk; only `split_folder` must exist. Make it with `find_release`."""

    split_folder: Path

    @property
    def subsets_folder(self) -> Path:
        return self.split_folder.parent / "smaller_training_sets"

    @property
    def raw_folder(self) -> Path:
        return self.split_folder.parent.parent / "Raw_Annotations"

    @property
    def video_list(self) -> Path:
        return self.split_folder.parent.parent / "Video_List.xlsx"

    @property
    def subsets(self) -> list[str]:
        """The names of the smaller training sets that are present."""
        return sorted(file.parent.name for file in self.subsets_folder.glob(f"*/{TRAIN}"))


def find_release(folder: str | Path) -> Release:
    """Find the release in a folder.

    Args:
        folder: the downloaded repository, its `MTL-AQA_dataset_release`, `Ready_2_Use`, or
            `MTL-AQA_split_0_data`.

    Raises:
        AnnotationError: there is none, or more than one.
    """
    folder = Path(folder)
    if all((folder / name).is_file() for name in (ANNOTATIONS, TRAIN, TEST)):
        return Release(folder.absolute())  # absolute, for the folders above it
    # The frames of the videos often lie beside the release, a million files: so not a search of everything
    # below.
    for pattern in (_SPLIT_FOLDER.name, str(_SPLIT_FOLDER), f"*/{_SPLIT_FOLDER}", f"*/*/{_SPLIT_FOLDER}"):
        found = sorted(path for path in folder.glob(pattern) if path.is_dir())
        if len(found) > 1:
            raise AnnotationError(
                f"{folder}: holds {len(found)} releases; name one: {', '.join(map(str, found))}"
            )
        if found:
            return Release(found[0])
    raise AnnotationError(
        f"{folder}: holds no {_SPLIT_FOLDER.as_posix()}, the annotations of MTL-AQA; get them with "
        "git clone https://github.com/ParitoshParmar/MTL-AQA and give the folder that was made"
    )


def video_links(release: Release) -> dict[str, str]:
    """The published address of each video by its number ('01'); empty where the list or openpyxl is
    missing.
    """
    if not release.video_list.is_file():
        return {}
    try:
        rows = _read_xlsx(release.video_list, "the addresses of the videos")
    except MissingDependency:
        return {}
    return {
        f"{row[0]:02d}": str(row[1]) for row in rows if len(row) > 1 and isinstance(row[0], int) and row[1]
    }


def sample_id(dive: Dive) -> str:
    """'01_0017' for the 17th dive of video 1."""
    return f"{dive[0]:02d}_{dive[1]:04d}"


def they_have(dives: list[Dive]) -> str:
    """'01_0001, 01_0002 and 5 more have' / '01_0001 has'."""
    return f"{some([sample_id(dive) for dive in dives])} {'has' if len(dives) == 1 else 'have'}"


def read_table(path: Path, kind: type) -> dict[Dive, dict | list]:
    table = _load(path, dict)
    for dive, value in table.items():
        _check_dive(path, dive)
        if not isinstance(value, kind):
            raise damaged(path, f"{sample_id(dive)} is {value!r:.40}, expected a {kind.__name__}")
    return table


def read_split(path: Path, fields: dict) -> list[Dive]:
    dives = _load(path, list)
    for dive in dives:
        _check_dive(path, dive)
    if repeated := sorted(dive for dive, count in Counter(dives).items() if count > 1):
        raise damaged(path, f"{they_have(repeated)} more than one entry")
    if unknown := sorted(set(dives) - fields.keys()):
        raise damaged(path, f"{they_have(unknown)} no annotations in {ANNOTATIONS}")
    return dives


def _load(path: Path, kind: type) -> dict | list:
    if not path.is_file():
        raise damaged(path, "is missing")
    content = load(path)
    if not isinstance(content, kind) or not content:
        raise damaged(path, f"holds {content!r:.40}, expected a {kind.__name__} of dives")
    return content


def _check_dive(path: Path, dive: object) -> None:
    if (
        not isinstance(dive, tuple)
        or len(dive) != 2
        or not all(isinstance(n, int) and 0 <= n < MOST for n in dive)
    ):
        raise damaged(path, f"names a dive {dive!r:.40}, expected (video, number)")


def damaged(path: Path, what: str) -> AnnotationError:
    return AnnotationError(f"{path}: {what}; get this file of the MTL-AQA release again")


def read_marks(path: Path) -> dict[tuple[int, int], tuple[float, ...]]:
    """Seven marks by the frames of the dive: the rows of the normal side view ('s'), which the release
    annotates.
    """
    marks = {}
    for row in _read_xlsx(path, "the judges' marks"):
        if len(row) >= _JUDGES.stop and str(row[1]).strip().lower() == "s":
            cells = row[_JUDGES]
            if any(isinstance(mark, (int, float)) for mark in cells):
                marks[row[2], row[3]] = tuple(
                    float(m) if isinstance(m, (int, float)) else math.nan for m in cells
                )
    return marks


def _read_xlsx(path: Path, needed_for: str) -> list[tuple]:
    try:
        import openpyxl
    except ImportError as error:
        raise missing("openpyxl", needed_for, error) from None
    try:
        book = openpyxl.load_workbook(path, data_only=True)
    except Exception as error:  # openpyxl lets through whatever zipfile and its XML parser raise
        raise AnnotationError(
            f"{path}: cannot be read as xlsx ({type(error).__name__}: {error}); get it again, or remove it to"
            " go without"
        ) from None
    return list(book.worksheets[0].iter_rows(values_only=True))
