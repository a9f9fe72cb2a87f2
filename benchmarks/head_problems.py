"""The problems that `bench_heads.py` compares heads and encoders on: feature caches, with what `aqa-train` is
asked on them.

None holds features of a video of people, as no such data set may be had here:

- the labels of MTL-AQA, with features of its commentary in the place of video;
- synthetic dives, with features of C3D with random weights;
- generated sequences, few and long, whose people are known or new in the test.
"""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.feature_spec import FeatureSpec
from aqa_cache.cache_file.record import ClipFeatures, Record
from aqa_cache.cache_file.writer import write_cache
from aqa_cache.datasets.mtl_aqa import convert
from aqa_cache.datasets.mtl_aqa_release import find_release
from aqa_heads.evaluation.spoken_numbers import without_numbers

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from shared_groups import make  # noqa: E402

WINDOW, STEP = 12, 6  # words of a clip of commentary, and from one clip to the next
WORDS_DIM = 256
DIVES = {"train_dives": 140, "test_dives": 60, "events": 8}
MTL_AQA = Path(os.environ.get("AQA_MTL_AQA", Path(__file__).parents[2] / "shared" / "mtl_aqa"))


@dataclass(frozen=True)
class Problem:
    """A data set, with how it is used.

    Args:
        make: writes the cache of a seed into a folder, or gives the one that is there.
        asked: settings of `TrainingConfig`.
        judges: whether its samples have judges' marks.
        folds: names of the test folds that are run, each with every seed.
        needs: a folder that must be there.
    """

    name: str
    title: str
    make: Callable[[Path, int], Path]
    asked: Mapping[str, object] = field(default_factory=dict)
    judges: bool = False
    folds: tuple[str, ...] = ()
    needs: Path | None = None


def commentary(folder: Path, seed: int) -> Path:
    """MTL-AQA's labels and official split; a clip is a window of the commentary's words, numbers taken out
    before, as some commentators state the score.
    """
    return _commentary(folder / "commentary.h5", only_marked=False)


def marked_commentary(folder: Path, seed: int) -> Path:
    """Of `commentary` the dives with judges' marks."""
    return _commentary(folder / "commentary-marked.h5", only_marked=True)


def _commentary(path: Path, only_marked: bool) -> Path:
    if path.exists():
        return path
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    samples = [sample for sample in convert(find_release(MTL_AQA)).samples if sample.words]
    windows = [_windows(without_numbers(sample.caption).split()) for sample in samples]
    known = [
        text
        for sample, texts in zip(samples, windows, strict=True)
        if sample.split == "train"
        for text in texts
    ]
    counted = TfidfVectorizer(min_df=3, ngram_range=(1, 2), sublinear_tf=True).fit(known)
    reduced = TruncatedSVD(WORDS_DIM, random_state=0).fit(counted.transform(known))
    records = []
    for sample, texts in zip(samples, windows, strict=True):
        if only_marked and not sample.judges:
            continue
        features = reduced.transform(counted.transform(texts)).astype(np.float32)
        # Captions and classes would be trained for too, and are none of what is compared here.
        sample = replace(sample, caption=None, classes={})
        records.append(_record(sample, features))
    return _write(path, records, WORDS_DIM)


def _windows(words: list[str]) -> list[str]:
    starts = range(0, max(len(words) - WINDOW, 0) + STEP, STEP)
    return [" ".join(words[start : start + WINDOW]) for start in starts if words[start : start + WINDOW]] or [
        ""
    ]


def dives(folder: Path, seed: int) -> Path:
    """Synthetic dives with features of C3D with random weights; the same dives for every seed."""
    from aqa_cache.clips.rule import MTL_AQA_WINDOW, ClipRule
    from aqa_cache.datasets.synthetic_dives import render_broadcasts
    from aqa_cache.extraction.run import ExtractionConfig, extract
    from aqa_cli.demo import FRAME_SIZE

    videos, path = folder / "dives", folder / "dives.h5"
    if path.exists():
        return path
    render_broadcasts(videos, seed=0, **DIVES)
    config = ExtractionConfig(
        "c3d", "random", "mtl-aqa", size=FRAME_SIZE, clip_rule=ClipRule(window=MTL_AQA_WINDOW)
    )
    unfinished = folder / "dives.unfinished.h5"
    extract(videos, unfinished, config)
    return unfinished.replace(path)


def known_people(folder: Path, seed: int) -> Path:
    """Few, long sequences; the people of the test are in training too."""
    path = folder / f"known-{seed}.h5"
    return path if path.exists() else make(seed, new_groups=False).write(path)


def new_people(folder: Path, seed: int) -> Path:
    """Few, long sequences; the people of the test are new."""
    path = folder / f"new-{seed}.h5"
    return path if path.exists() else make(seed, new_groups=True).write(path)


def _record(sample: Sample, features: np.ndarray) -> Record:
    frames = np.arange(len(features)) * 16
    return Record(sample, [ClipFeatures(features, frames, frames / 25)])


def _write(path: Path, records: list[Record], dim: int) -> Path:
    unfinished = path.with_suffix(".unfinished.h5")
    unfinished.unlink(missing_ok=True)
    spec = FeatureSpec("generated", "words", dim, "generated", "", {}, {})
    write_cache(unfinished, records, spec, views=["plain"], dtype="float32")
    return unfinished.replace(path)


_TESTED = {"folds": "official"}
PROBLEMS = (
    Problem("known people", "few, long sequences, known people", known_people, _TESTED, folds=("0",)),
    Problem("new people", "few, long sequences, new people", new_people, _TESTED, folds=("0",)),
    Problem("commentary", "MTL-AQA's labels, commentary for video", commentary, needs=MTL_AQA),
    Problem(
        "commentary, difficulty",
        "the same with the difficulty known",
        commentary,
        {"difficulty": "multiply"},
        needs=MTL_AQA,
    ),
    Problem("judged", "its dives with judges' marks", marked_commentary, judges=True, needs=MTL_AQA),
    Problem("dives", "synthetic dives, random C3D", dives, judges=True),
)
