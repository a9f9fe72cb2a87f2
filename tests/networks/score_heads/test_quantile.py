"""Quantiles by pinball loss."""

import torch
from head_inputs import encoded, known, prepared, scores

from aqa_heads.networks.score_heads.quantile import QuantileHead


def saying(head, *values):
    with torch.no_grad():
        head.layers[-1].weight.zero_()
        head.layers[-1].bias.copy_(torch.tensor(values))
    return head


def test_the_loss_is_the_pinball_loss_by_hand():
    points = scores(2)
    head = saying(prepared(QuantileHead, points), 0.0, 2.0, -1.0)  # sorted: -1, 0, 2
    true = head.centre + head.scale * torch.tensor([0.5, -3.0])
    loss = head.loss(encoded(2), known(2), true)
    above = 0.05 * 1.5, 0.5 * 0.5, 0.05 * 1.5  # .5 lies 1.5 above -1, .5 above 0, 1.5 below 2
    below = 0.95 * 2, 0.5 * 3, 0.05 * 5  # -3 lies below all
    torch.testing.assert_close(loss, torch.tensor([sum(above) / 3, sum(below) / 3]))


def test_points_are_the_median_and_the_spread_is_between_the_outer_two():
    points = scores(2)
    head = saying(prepared(QuantileHead, points), 0.0, 2.0, -1.0)
    said = head.predict(encoded(2), known(2))
    torch.testing.assert_close(said.points, torch.full((2,), head.centre).double())
    low, high = said.interval[0].tolist()
    torch.testing.assert_close(low, head.centre - head.scale)
    torch.testing.assert_close(high, head.centre + 2 * head.scale)
    torch.testing.assert_close(said.spread, torch.full((2,), 3 * head.scale / 3.2897072539).double())


def test_quantiles_of_noise_are_learned_where_they_are():
    noise = torch.randn(400, generator=torch.Generator().manual_seed(0))
    head, clips, given = prepared(QuantileHead, noise), encoded(400), known(400)
    constant = torch.zeros_like(clips.pooled)
    clips = type(clips)(constant)
    optimiser = torch.optim.Adam([head.layers[-1].bias], 0.05)
    for _ in range(200):
        optimiser.zero_grad()
        head.loss(clips, given, noise).mean().backward()
        optimiser.step()
    said = head.predict(clips, given)
    inside = ((said.interval[:, 0] <= noise) & (noise <= said.interval[:, 1])).double().mean()
    assert 0.85 < inside < 0.95 and 0.45 < (noise < said.points).double().mean() < 0.55
