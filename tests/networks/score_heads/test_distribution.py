"""A score as a distribution over bins, and USDL's head."""

import pytest
import torch
from head_inputs import encoded, known, prepared, scores

from aqa_heads.networks.score_heads.bins import (
    BINS,
    bins_over,
    divergence,
    label_log_probabilities,
    moments,
)
from aqa_heads.networks.score_heads.distribution import DistributionHead


def test_the_expectation_of_a_label_is_the_label():
    labels = scores(40).double()
    bins = bins_over(labels, 1.0)
    said = label_log_probabilities(bins, labels).exp()
    torch.testing.assert_close(said.sum(1), torch.ones_like(labels))
    mean, variance = moments(bins, said)
    assert (mean - labels).abs().max() < 1e-6  # the lowest and highest of training among them
    span = labels.max() - labels.min()
    torch.testing.assert_close(variance.sqrt(), (0.05 * span).expand_as(labels), rtol=1e-4, atol=0)


def test_a_label_diverges_from_itself_by_nothing_and_from_others_by_more():
    labels = torch.tensor([40.0, 50.0, 51.0, 90.0])
    said = label_log_probabilities(bins_over(labels, 1.0), labels)
    between = divergence(said.unsqueeze(1), said)
    assert between.diagonal().abs().max() < 1e-12
    assert (between + torch.eye(4) > 0).all() and between[1, 2] < between[1, 0] < between[1, 3]


def test_equal_scores_have_the_score_scale_for_a_range():
    bins = bins_over(torch.tensor([7.0, 7.0]), 2.0)
    assert bins[BINS // 2] == 7 and bins[-1] - bins[0] == pytest.approx(2.0 * (BINS - 1) / 100)


def test_it_learns_the_labels_and_reads_them_out():
    points = scores(8)
    head, clips, given = prepared(DistributionHead, points), encoded(8), known(8)
    optimiser = torch.optim.Adam(head.parameters(), 1e-2)
    for _ in range(150):
        optimiser.zero_grad()
        head.loss(clips, given, points).mean().backward()
        optimiser.step()
    with torch.no_grad():
        said = head.predict(clips, given)
        head.readout = "argmax"
        likeliest = head.predict(clips, given)
    span = float(points.max() - points.min())
    torch.testing.assert_close(said.points, points.double(), rtol=0, atol=0.01 * span)
    torch.testing.assert_close(said.spread, torch.full_like(said.spread, 0.05 * span), rtol=0.1, atol=0)
    assert torch.isin(likeliest.points, head.bins).all(), "one of the bins, as the original"
    torch.testing.assert_close(likeliest.points, points.double(), rtol=0, atol=0.02 * span)
