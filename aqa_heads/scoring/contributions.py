"""What each clip adds to a score."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.record import ClipFeatures

from ..evaluation.predictions import predict
from ..networks.encoders.average import AverageEncoder
from ..networks.model import AqaModel
from ..networks.score_heads.seam import Encoded, Known
from ..settings.experiments import REGRESSION
from .results import ClipContribution, Contributions

# Leaving out every clip once takes the square of their number.
MOST_CLIPS = 200


def is_sum_over_clips(model: AqaModel) -> bool:
    """Whether the score has a term per clip: a weighted mean of the clips, and a linear head."""
    encoder = model.encoder
    return (
        model.architecture.score_head == REGRESSION
        and model.heads.fc6 is None
        and (type(encoder) is AverageEncoder or encoder.weighs_clips)
    )


def contributions_of(
    model: AqaModel, clips: torch.Tensor, sample: Sample, points: float, factor: float
) -> tuple[np.ndarray, bool] | None:
    """What each clip adds to `points`, `(clips,)` float64, and whether that is exact: a term of a sum. Else
    it is what the score loses without the clip. None where there is one clip, or more than 200, and no sum.

    Args:
        clips: `(clips, dim)` float32.
        points: the score, times `factor`.
    """
    if is_sum_over_clips(model):
        return _terms(model, clips) * factor, True
    number = len(clips)
    if not 1 < number <= MOST_CLIPS:
        return None
    kept = torch.ones(number, dtype=torch.bool)
    without = []
    for clip in range(number):
        kept[clip] = False
        without.append(clips[kept])
        kept[clip] = True
    said = predict(model, without, factor=np.full(number, factor), samples=[sample] * number)
    return points - said.score, False


def averaged_contributions(
    models: Sequence[AqaModel],
    features: Sequence[torch.Tensor],
    clips: ClipFeatures,
    sample: Sample,
    points: Sequence[float],
    factors: Sequence[float],
) -> Contributions | None:
    """What each clip adds to the average of several models' scores; None as in `contributions_of`.

    Args:
        features, points, factors: of each model, as `contributions_of` takes them. clips: what they are of.
    """
    made = [
        contributions_of(model, of_its, sample, its_points, factor)
        for model, of_its, its_points, factor in zip(models, features, points, factors, strict=True)
    ]
    known = [one for one in made if one is not None]
    if len(known) < len(made):
        return None
    mean = np.mean([added for added, _ in known], axis=0)
    of_clips = enumerate(zip(clips.first_frame, clips.pts_seconds, mean, strict=True))
    return Contributions(
        tuple(
            ClipContribution(
                number, int(first), None if math.isnan(seconds) else float(seconds), float(added)
            )
            for number, (first, seconds, added) in of_clips
        ),
        float(np.mean(points)) - float(mean.sum()),
        all(exact for _, exact in known),
    )


@torch.no_grad()
def _terms(model: AqaModel, clips: torch.Tensor) -> np.ndarray:
    features, lengths = clips.unsqueeze(0), torch.tensor([len(clips)])
    seen = model.seen(features, lengths)
    weights = torch.full((1, len(clips)), 1 / len(clips))
    if model.encoder.weighs_clips:
        weights = model.encoder.contributions(seen, lengths)

    def points(pooled: torch.Tensor) -> torch.Tensor:
        return model.heads.score.predict(model.heads.share(Encoded(pooled, pooled)), Known()).points

    terms = points(weights[0].unsqueeze(1) * seen[0])
    return (terms - points(torch.zeros_like(seen[0, :1]))).numpy()
