"""Heads that start from a ridge regression say at first what it says, and its spread."""

from dataclasses import replace

import pytest
import torch
from head_inputs import WIDTH, encoded, known, scores
from scipy.stats import spearmanr

from aqa_heads.networks.score_heads.by_name import score_head_class
from aqa_heads.networks.score_heads.seam import Sizes
from aqa_heads.settings.experiments import REGRESSION, RIDGE_STARTED


@pytest.mark.parametrize("name", [name for name in RIDGE_STARTED if name != REGRESSION])
def test_it_starts_with_the_ridge_regression_and_what_that_leaves(name):
    points = scores(200)
    centre, scale = float(points.mean()), float(points.std(correction=0))
    true = (points - centre) / scale
    left = 0.5 * torch.randn(200, generator=torch.Generator().manual_seed(5))
    clips = replace(encoded(200), direct=true - left)
    head = score_head_class(name)(Sizes(WIDTH, WIDTH), scale=scale, centre=centre)
    head.start_at_zero()
    head.start_with_spread(float(left.square().mean().sqrt()))
    head.prepare(clips, known(200), points)
    with torch.no_grad():
        said = head.predict(clips, known(200))
        inside = torch.stack([said.points - 1.645 * said.spread, said.points + 1.645 * said.spread])
    ridge = (centre + scale * clips.direct).double()
    exact = name != "ordinal"  # which knows of bins only
    if exact:
        torch.testing.assert_close(said.points, ridge, rtol=0, atol=1e-3)
    assert spearmanr(said.points, ridge).statistic > 0.999
    assert 0.8 < ((inside[0] <= points) & (points <= inside[1])).double().mean() < 0.98
    if exact:
        torch.testing.assert_close(
            said.spread.mean(), left.square().mean().sqrt().double() * scale, rtol=0.02, atol=0
        )
    loss = head.loss(clips, known(200), points)
    loss.mean().backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())
