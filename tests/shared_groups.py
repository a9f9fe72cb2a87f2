"""Generated sets with few, long sequences, whose groups (people) are known in the test or new there.

A person has a level and a manner: the manner moves the features much, the level and the form of the day move
them little.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.feature_spec import FeatureSpec
from aqa_cache.cache_file.record import ClipFeatures, Record
from aqa_cache.cache_file.writer import write_cache

DIM, PEOPLE, SAMPLES, FOLDS = 152, 8, 38, 4


@dataclass(frozen=True)
class Set:
    """One generated set.

    Shape:
        person, fold, score: `(samples,)`; features: per sample `(clips, DIM)` float32.
    """

    person: np.ndarray
    fold: np.ndarray
    score: np.ndarray
    features: list[np.ndarray]

    def write(self, path: Path) -> Path:
        """As a feature cache with the columns group, fold and final_score."""
        records = []
        for number, features in enumerate(self.features):
            name, frames = f"s{number:02d}", np.arange(len(features)) * 16
            sample = Sample(
                name,
                f"{name}.avi",
                group=f"person-{self.person[number]}",
                fold=str(self.fold[number]),
                final_score=float(self.score[number]),
            )
            records.append(Record(sample, [ClipFeatures(features, frames, frames / 25)]))
        spec = FeatureSpec("generated", "groups", DIM, "generated", "", {}, {})
        write_cache(path, records, spec, views=["plain"], dtype="float32")
        return path

    def ridge(self, fold: int) -> float:
        """Spearman on one fold of a plain `RidgeCV` on the mean clip of all others."""
        from sklearn.linear_model import RidgeCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        mean = np.stack([clips.mean(0) for clips in self.features])
        train, test = self.fold != fold, self.fold == fold
        model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-1, 5, 13)))
        model.fit(mean[train], self.score[train])
        return float(spearmanr(model.predict(mean[test]), self.score[test])[0])


def make(seed: int, new_groups: bool, clips: tuple[int, int] = (60, 350)) -> Set:
    """A set of 38 samples of 8 people, scores from 6 to 30.

    Args:
        new_groups: whether the people of a fold are in no other.
        clips: fewest and most of a sample.
    """
    rng = np.random.default_rng(seed)
    person = np.concatenate(
        [np.arange(PEOPLE).repeat(4), rng.choice(PEOPLE, SAMPLES - 4 * PEOPLE, replace=False)]
    )
    level, manner = rng.normal(size=PEOPLE), rng.normal(size=(PEOPLE, DIM))
    skill, form_of_day = rng.normal(size=(2, DIM)) / 12
    form = rng.normal(size=SAMPLES) * 0.6
    quality = level[person] + form
    score = np.clip(np.round(18 + 5 * quality + rng.normal(size=SAMPLES)), 6, 30)
    nuisance = rng.normal(size=(6, DIM))  # camera, instrument, pace: they vary from sample to sample
    features = []
    for sample in range(SAMPLES):
        count = rng.integers(clips[0], clips[1] + 1)
        drift = np.cumsum(rng.normal(size=(count, DIM)), 0) / np.sqrt(count) * 0.3
        mean = 0.5 * manner[person[sample]] + quality[sample] * skill + form[sample] * form_of_day
        mean = mean + rng.normal(size=6) @ nuisance + rng.normal(size=DIM) * 0.4
        features.append((mean + drift + rng.normal(size=(count, DIM)) * 0.8).astype(np.float32))
    fold = person % FOLDS
    if not new_groups:  # every person's samples are spread over the folds
        for each in range(PEOPLE):
            own = np.flatnonzero(person == each)
            fold[own] = (np.arange(len(own)) + each) % FOLDS
    return Set(person, fold, score, features)
