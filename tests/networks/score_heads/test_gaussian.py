"""Mean and variance by likelihood."""

import math

import torch
from head_inputs import encoded, known, prepared, scores
from scipy.stats import norm

from aqa_heads.networks.score_heads.gaussian import GaussianHead


def test_the_loss_is_the_negative_log_likelihood_in_units_of_the_score_scale():
    points = scores(9)
    head, clips, given = prepared(GaussianHead, points), encoded(9), known(9)
    with torch.no_grad():
        said = head.predict(clips, given)
        loss = head.loss(clips, given, points)
    density = norm.logpdf(points.numpy(), said.points.numpy(), said.spread.numpy())
    torch.testing.assert_close(
        loss.double(), -torch.from_numpy(density) - math.log(head.scale), rtol=1e-5, atol=1e-5
    )


def test_it_starts_near_the_training_scores_and_no_variance_falls_below_its_floor():
    points = scores(9)
    head = prepared(GaussianHead, points)
    with torch.no_grad():
        said = head.predict(encoded(9), known(9))
        assert ((said.spread / head.scale - 1).abs() < 0.3).all()
        head.layers[-1].bias[1] = -1e4
        assert (head(encoded(9))[1] == 1e-4).all()
