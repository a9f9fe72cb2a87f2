"""MTL-AQA: 1,412 dives of 15 broadcasts, converted from the published release to the annotations table.

Frames: the release numbers them as ffmpeg numbers its image files, from 1 (`000001.jpg`), and an action is
the files `start_frame` … `end_frame`, both included. 0-based and half-open that is `[start_frame - 1,
end_frame)`: `end_frame` keeps the release's number. The authors' own window is the 103 frames `[end_frame -
103, end_frame)`; it never looks at `start_frame`, begins before it for half of the dives, and is a rule of
extraction (`aqa_cache.clips.rule.MTL_AQA_WINDOW`).

The data have no licence, so they are converted where they lie and never distributed with this project.

Source: Parmar & Morris 2019, arXiv:1904.04346, https://github.com/ParitoshParmar/MTL-AQA.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ..annotations import Sample
from ..errors import AnnotationError, MissingDependency
from .mtl_aqa_release import (
    ANNOTATIONS,
    CAPTIONS,
    MOST,
    TEST,
    TRAIN,
    Dive,
    Release,
    damaged,
    read_marks,
    read_split,
    read_table,
    sample_id,
    they_have,
)

FRAME_RATE = 25.0  # of all 15 videos; the annotated frame numbers mean nothing at another rate
VIDEO_PATTERN = "{video:02d}.mp4"
TEST_COPY = "@test"  # ends the sample_id of a test row whose dive is also a training row

_CLASSES = {  # our column, without class_: the release's field, and the names its numbers 0, 1, … stand for
    "position": ("position", ("free", "pike", "tuck")),
    "armstand": ("armstand", ("no", "yes")),
    "rotation_type": ("rotation_type", ("back", "forward", "inward", "reverse")),
    "somersaults": ("ss_no", tuple(f"{half_turns / 2:g}" for half_turns in range(10))),
    "twists": ("tw_no", tuple(f"{half_turns / 2:g}" for half_turns in range(8))),
}


@dataclass(frozen=True)
class Conversion:
    """What `convert` made.

    Args:
        samples: the rows of the annotations table.
        notes: one line each: what a reader of the numbers should know.
    """

    samples: list[Sample]
    notes: list[str]


def convert(
    release: Release, subset: str | None = None, paper_test: bool = False, video_pattern: str = VIDEO_PATTERN
) -> Conversion:
    """The release as samples, sorted by video and number, with the official split.

    Args:
        release: from `find_release`.
        subset: train only on this smaller training set ('size_140' is the 143 dives that Ballari et al.
            trained on). Its dives that are also official test dives are left out of the test set.
        paper_test: keep all official test dives with a `subset`, as Ballari et al. did. A dive on both sides
            is then two rows: the test row's `sample_id` ends in `TEST_COPY` and its extra column `leak` says
            so.
        video_pattern: the name of a video from its number, such as '{video:02d}.mp4'.

    Raises:
        AnnotationError: a file of the release is missing, damaged, or contradicts another.
        AqaError: a pickle of the release names a global that is not admitted.

    Source: the split and the subsets are the release's. Differs: the release tests a subset on all 353 dives.
    """
    if paper_test and subset is None:
        raise AnnotationError(
            "the paper's test set needs a smaller training set; name it, for example size_140"
        )
    _video_name(video_pattern, 1)
    fields = read_table(release.split_folder / ANNOTATIONS, dict)
    captions = read_table(release.split_folder / CAPTIONS, list)
    train = read_split(release.split_folder / TRAIN, fields)
    test = read_split(release.split_folder / TEST, fields)
    if both := sorted(set(train) & set(test)):
        raise damaged(release.split_folder, f"{they_have(both)} a place in {TRAIN} and in {TEST}")

    notes, leaked = [], set()
    if subset is not None:
        train = _read_subset(release, subset, fields, captions)
        leaked = set(train) & set(test)
        notes = _subset_notes(subset, train, test, leaked, paper_test)
        if not paper_test:
            test = [dive for dive in test if dive not in leaked]
    if unused := len(fields.keys() - set(train) - set(test)):
        notes.append(f"{unused:,} annotated dives are neither train nor test and have no row.")
    if extra := sorted(captions.keys() - fields.keys()):
        notes.append(f"{they_have(extra)} captions but no annotations, and no row.")

    train_videos, test_videos = ({video for video, _ in dives} for dives in (train, test))
    if shared := train_videos & test_videos:
        notes.append(
            f"Videos with dives in train and in test: {len(shared)} of {len(train_videos | test_videos)},"
            " because the release drew its split within videos; the same divers and judges are on both"
            " sides."
        )

    rows = sorted(
        [(dive, "train") for dive in train] + [(dive, "test") for dive in test], key=lambda row: row[0]
    )
    marks, judge_notes = _read_all_marks(release, {dive: fields[dive] for dive, _ in rows})
    samples = []
    for dive, split in rows:
        sample = _sample(dive, fields[dive], captions.get(dive), release.split_folder)
        sample = replace(
            sample, split=split, video=_video_name(video_pattern, dive[0]), judges=marks.get(dive, ())
        )
        if split == "test" and dive in leaked:
            sample = replace(
                sample, sample_id=sample.sample_id + TEST_COPY, extra={"leak": f"also in {subset} train"}
            )
        samples.append(sample)
    return Conversion(samples, notes + judge_notes + _mark_notes(samples))


def _video_name(pattern: str, video: int) -> str:
    try:
        name, other = pattern.format(video=video), pattern.format(video=video + 1)
    except (LookupError, ValueError, AttributeError, TypeError) as error:
        raise AnnotationError(
            f"video pattern {pattern!r} cannot be filled in ({type(error).__name__}: {error}); "
            f"write something like {VIDEO_PATTERN!r}"
        ) from None
    if name == other:
        raise AnnotationError(
            f"video pattern {pattern!r} gives every video the name {name!r}; put {{video:02d}} into it"
        )
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        raise AnnotationError(
            f"video pattern {pattern!r} leaves the folder of videos; write a name relative to that folder,"
            " with '/'"
        )
    return name


def _read_subset(release: Release, subset: str, fields: dict, captions: dict) -> list[Dive]:
    if subset not in release.subsets:
        raise AnnotationError(
            f"{release.subsets_folder}: has no smaller training set {subset!r}; there:"
            f" {', '.join(release.subsets) or 'none'}"
        )
    folder = release.subsets_folder / subset
    for name, main, kind in ((ANNOTATIONS, fields, dict), (CAPTIONS, captions, list)):
        table = read_table(folder / name, kind)
        if differing := sorted(dive for dive, value in table.items() if main.get(dive) != value):
            raise damaged(
                folder / name, f"{they_have(differing)} another entry than in {release.split_folder / name}"
            )
    return read_split(folder / TRAIN, fields)


def _subset_notes(
    subset: str, train: list[Dive], test: list[Dive], leaked: set[Dive], paper_test: bool
) -> list[str]:
    note = (
        f"{len(leaked)} of the {len(test)} official test dives are also among the {len(train)} of {subset}"
        " train"
    )
    if paper_test:
        note = (
            f"LEAK: {note}, as in the paper's runs. Such a dive is two rows with the same video and frames:"
            f" the sample_id of its test row ends in {TEST_COPY}, and its column leak says so. A score on"
            f" these {len(test)} dives may be compared with the paper's, and with nothing else."
        )
    else:
        note = f"{note}; they are left out of the test set, {len(test) - len(leaked)} remain."
    if subset != "size_140":
        return [note]
    return [
        note,
        (
            "The paper (Ballari et al.) speaks of 50 test dives. They were never published; its logs fit the"
            " 353 official ones."
        ),
    ]


def _sample(dive: Dive, fields: dict, tokens: list[str] | None, folder: Path) -> Sample:
    def number(name: str, kind: type | tuple) -> int | float:
        value = fields.get(name)
        if not isinstance(value, kind) or not abs(value) < MOST:  # nor NaN
            raise damaged(
                folder / ANNOTATIONS, f"{sample_id(dive)} has {name} {value!r:.60}, expected a number"
            )
        return value

    classes = {}
    for column, (name, class_names) in _CLASSES.items():
        code = number(name, int)
        if not 0 <= code < len(class_names):
            expected = f"0 to {len(class_names) - 1} ({', '.join(class_names)})"
            raise damaged(folder / ANNOTATIONS, f"{sample_id(dive)} has {name} {code}, expected {expected}")
        classes[column] = class_names[code]
    start, end = number("start_frame", int), number("end_frame", int)
    if not 1 <= start <= end:
        raise damaged(
            folder / ANNOTATIONS,
            f"{sample_id(dive)} has frames {start} to {end}, expected 1 <= start_frame <= end_frame",
        )
    difficulty = float(number("difficulty", (int, float)))
    if difficulty <= 0:
        raise damaged(
            folder / ANNOTATIONS, f"{sample_id(dive)} has difficulty {difficulty}, expected more than 0"
        )
    return Sample(
        sample_id=sample_id(dive),
        video="",
        start_frame=start - 1,
        end_frame=end,
        group=f"{dive[0]:02d}",
        final_score=float(number("final_score", (int, float))),
        difficulty=difficulty,
        classes=classes,
        caption=None if tokens is None else " ".join(_words(dive, tokens, folder)),
    )


def _words(dive: Dive, tokens: list[str], folder: Path) -> list[str]:
    words = tokens[1:-1]
    if (
        tokens[:1] != ["<sos>"]
        or tokens[-1:] != ["<eos>"]
        or not words
        or not all(isinstance(w, str) for w in words)
    ):
        raise damaged(
            folder / CAPTIONS,
            f"{sample_id(dive)} has caption {tokens!r:.60}, expected ['<sos>', word, …, '<eos>']",
        )
    return words


def _read_all_marks(
    release: Release, dives: dict[Dive, dict]
) -> tuple[dict[Dive, tuple[float, ...]], list[str]]:
    """The judges' marks by dive, for the videos whose raw annotations are there, and what to say about the
    rest.
    """
    marks, without = {}, []
    for video in sorted({dive[0] for dive in dives}):
        path = release.raw_folder / f"{video:02d}.xlsx"
        if not path.is_file():
            without.append(f"{video:02d}")
            continue
        try:
            by_frames = read_marks(path)
        except MissingDependency as error:
            return {}, [f"Judge marks are left empty: {error}."]
        # The frames identify a dive in both files; a row number could have shifted unnoticed.
        for dive, fields in dives.items():
            found = by_frames.get((fields.get("start_frame"), fields.get("end_frame")))
            if dive[0] == video and found is not None:
                marks[dive] = found
    notes = []
    if without:
        notes.append(
            f"Judge marks are left empty for videos without an xlsx in {release.raw_folder}:"
            f" {', '.join(without)}."
        )
    if unmarked := sorted(dive for dive in dives if dive not in marks and f"{dive[0]:02d}" not in without):
        notes.append(f"{they_have(unmarked)} no judge marks in the raw annotations.")
    return marks, notes


def _mark_notes(samples: list[Sample]) -> list[str]:
    """Whether the scores follow from the marks: difficulty x the sum of the middle three of seven."""
    judged = [s for s in samples if s.judges and "leak" not in s.extra and not any(map(math.isnan, s.judges))]
    others = [
        s.sample_id for s in judged if abs(s.difficulty * sum(sorted(s.judges)[2:5]) - s.final_score) > 0.05
    ]
    if not judged:
        return []
    but = f", but not for {', '.join(others)}; all are kept as published" if others else ""
    holds = f"{len(judged) - len(others):,} of {len(judged):,} dives"
    return [f"final_score = difficulty x the sum of the middle three of seven judge marks for {holds}{but}."]
