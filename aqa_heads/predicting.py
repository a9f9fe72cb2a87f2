"""What a run predicts of the samples of a feature cache."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aqa_cache.annotations import CLASS_PREFIX
from aqa_cache.cache_file.reader import FeatureCache

from .evaluation.predictions import Predictions, predict
from .runs.format import Run
from .runs.prediction_rows import PredictionRows
from .scoring.made_with import check_fingerprint
from .scoring.needs import able_samples
from .scoring.trained import Trained

_log = logging.getLogger(__name__)


def predict_cache(run: Run, cache: FeatureCache | str | Path, *, device: str = "cpu") -> PredictionRows:
    """Scores, classes and captions of every sample that can be predicted, in the order of the cache.

    Args:
        run: whose own rule holds: the difficulty multiplies, or not, as in its training.
        cache: open, or the path of one. Its features must mean what the run's do.
        device: to compute on.

    Samples without features, or without the difficulty or class that the run needs, are left out, and a
    warning says so.

    Raises:
        RunError: the features have another fingerprint.
        AqaError: no sample can be predicted.
    """
    if not isinstance(cache, FeatureCache):
        with FeatureCache(cache) as opened:
            return predict_cache(run, opened, device=device)
    trained = Trained(run.folder, run.config, run.load_model().to(device), run.vocabulary, run)
    check_fingerprint(trained, cache)
    there = [place for place in range(len(cache)) if cache.has_features(place)]
    if len(there) < len(cache):
        _log.warning(f"{cache.path}: {len(cache) - len(there)} sample(s) without features are left out")
    able, failures = able_samples([trained], [cache.samples[place] for place in there])
    for _, why in failures:
        _log.warning(f"left out: {why}")
    names = {sample.sample_id for sample in able}
    there = [place for place in there if cache.samples[place].sample_id in names]
    made = predict(
        trained.model,
        [torch.as_tensor(cache.features(place)).to(device) for place in there],
        trained.vocabulary,
        factor=_factor(trained, cache, there),
        beam=run.config.get("beam") or 1,
        samples=[cache.samples[place] for place in there],
    )
    return PredictionRows(_row(cache, place, made, number) for number, place in enumerate(there))


def _factor(trained: Trained, cache: FeatureCache, places: list[int]) -> np.ndarray | None:
    if not trained.multiplies:
        return None
    return np.array([cache.samples[place].difficulty for place in places], np.float64)


def _row(cache: FeatureCache, place: int, made: Predictions, number: int) -> dict[str, Any]:
    """A row as `predictions.csv` has it; the split is that of the annotations."""
    sample = cache.samples[place]
    row = {"sample_id": sample.sample_id, "split": sample.split or "", "group": sample.group or ""}
    row |= {"difficulty": sample.difficulty, "final_score": sample.final_score, "predicted_score": None}
    if made.score is not None:
        row["predicted_score"] = float(made.score[number])
    if made.spread is not None:
        row["spread"] = float(made.spread[number])
    for name, labels in made.classes.items():
        column = CLASS_PREFIX + name
        row |= {column: sample.classes.get(name) or "", f"predicted_{column}": labels[number]}
    if made.captions is not None:
        row |= {"caption": sample.caption or "", "predicted_caption": made.captions[number]}
    return row
