import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aqa_heads.captions import word_loss as module
from aqa_heads.captions.word_loss import word_loss


@pytest.mark.parametrize("rows", [1, 4, 11, 256])
def test_it_is_the_cross_entropy_with_its_gradients(rows, monkeypatch):
    monkeypatch.setattr(module, "ROWS", rows)
    torch.manual_seed(0)
    output = nn.Linear(5, 9).double()
    states, words = torch.randn(11, 5, dtype=torch.float64), torch.randint(0, 9, (11,))
    results = []
    for loss in (
        lambda s: word_loss(s, output, words),
        lambda s: F.cross_entropy(output(s), words, reduction="sum"),
    ):
        given = states.clone().requires_grad_()
        value = loss(given)
        results.append((value, *torch.autograd.grad(0.3 * value, [given, *output.parameters()])))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-12, rtol=1e-12)


def test_an_improbable_word_has_a_finite_loss():
    output = nn.Linear(1, 2)
    with torch.no_grad():
        output.weight.copy_(torch.tensor([[0.0], [500.0]]))
        output.bias.zero_()
        assert word_loss(torch.ones(1, 1), output, torch.tensor([0])).item() == pytest.approx(500)


def test_nothing_is_kept_where_no_gradient_is_wanted():
    output = nn.Linear(5, 9)
    with torch.no_grad():
        loss = word_loss(torch.randn(3, 5), output, torch.tensor([1, 2, 3]))
    assert not loss.requires_grad
