import pytest
import torch
from scipy.stats import spearmanr

from aqa_heads.networks.rank_losses import pairwise_hinge, soft_spearman


def random(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_soft_ranks_far_apart_are_ranks():
    true, predicted = random(2, 12)
    # Spearman's formula by squared differences is its correlation where there are no ties.
    expected = 1 - spearmanr(predicted, true).statistic
    assert float(soft_spearman(1e4 * predicted, true)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("loss", [soft_spearman, pairwise_hinge])
def test_following_it_orders_the_scores(loss):
    true, predicted = random(10), random(10, seed=1).requires_grad_()
    optimiser = torch.optim.Adam([predicted], 0.05)
    before = spearmanr(predicted.detach(), true).statistic
    for _ in range(150):
        optimiser.zero_grad()
        loss(predicted, true).backward()
        optimiser.step()
    assert spearmanr(predicted.detach(), true).statistic > 0.97 > before


@pytest.mark.parametrize("loss", [soft_spearman, pairwise_hinge])
def test_the_order_of_samples_changes_nothing_and_one_sample_has_no_loss(loss):
    true, predicted = random(2, 7)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(loss(predicted, true), loss(predicted[order], true[order]))
    alone = predicted[:1].clone().requires_grad_()
    assert loss(alone, true[:1]) == 0
    loss(alone, true[:1]).backward()
    assert alone.grad == 0
    same = loss(predicted, torch.ones(7, dtype=torch.float64))
    assert same.isfinite()


def test_pairs_by_hand():
    predicted, true = torch.tensor([0.0, 0.2, 3.0]), torch.tensor([2.0, 1.9, -1.0])
    # Apart by .1, 3 and 2.9 in truth, of which 1 at most is asked; predicted by -.2, -3 and -2.8.
    torch.testing.assert_close(pairwise_hinge(predicted, true), torch.tensor((0.3 + 4 + 3.8) / 3))
    assert pairwise_hinge(true, true) == 0, "the true scores are without a loss"
