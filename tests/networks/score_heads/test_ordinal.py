"""Cumulative logits over thresholds."""

import pytest
import torch
from head_inputs import encoded, known, prepared, scores

from aqa_heads.networks.score_heads.ordinal import OrdinalHead


def test_probabilities_are_those_of_rising_thresholds():
    head = prepared(OrdinalHead, scores(60))
    with torch.no_grad():
        head.gaps.add_(torch.randn_like(head.gaps))
        said = head(encoded(9)).exp()
        above = head.layers(encoded(9).pooled)
        gaps = torch.nn.functional.softplus(head.gaps) + 1e-4
        cuts = torch.cat([head.lowest, head.lowest + gaps.cumsum(0)])
    torch.testing.assert_close(said.sum(1), torch.ones(9))
    assert (said >= 0).all()
    exceeds = 1 - said.cumsum(1)[:, :-1]
    assert (exceeds.diff(dim=1) <= 0).all(), "a higher threshold is never likelier to be exceeded"
    torch.testing.assert_close(exceeds, torch.sigmoid(above - cuts), rtol=1e-4, atol=1e-5)


def test_all_bins_start_alike_and_stand_at_their_mean_training_score():
    points = scores(110)
    head = prepared(OrdinalHead, points)
    with torch.no_grad():
        head.layers[-1].weight.zero_()
        head.layers[-1].bias.zero_()
        said = head.predict(encoded(3), known(3))
    torch.testing.assert_close(said.distribution.probabilities, torch.full((3, 11), 1 / 11).double())
    torch.testing.assert_close(said.points, points.double().mean().expand(3), rtol=1e-5, atol=0)
    assert (head.bins.diff() > 0).all()


@pytest.mark.parametrize("points", [torch.tensor([1.0, 1.0, 1.0, 2.0]), torch.tensor([5.0, 5.0])])
def test_thresholds_that_fall_together_leave_bins_empty_and_everything_finite(points):
    head = prepared(OrdinalHead, points)
    n = len(points)
    loss = head.loss(encoded(n), known(n), points)
    loss.sum().backward()
    assert loss.isfinite().all() and all(p.grad.isfinite().all() for p in head.parameters())
    assert points.min() <= head.bins.min() and head.bins.max() <= points.max()


def test_a_far_outlier_has_a_finite_loss():
    head = prepared(OrdinalHead, scores(30))
    with torch.no_grad():
        head.layers[-1].bias.fill_(1e4)
    assert head.loss(encoded(2), known(2), torch.tensor([-1e6, 1e6])).isfinite().all()
