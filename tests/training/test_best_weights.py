import pytest
import torch
from torch import nn

from aqa_heads.training.best_weights import BestWeights


@pytest.fixture(params=["memory", "file"])
def best(request, tmp_path, monkeypatch):
    if request.param == "file":
        monkeypatch.setattr("aqa_heads.training.best_weights.MEMORY_LIMIT", 0)
    return BestWeights(tmp_path / "best.safetensors")


def module(seed):
    torch.manual_seed(seed)
    # as in a backbone that is trained
    convolution = nn.Conv3d(2, 3, 3).to(memory_format=torch.channels_last_3d)
    return nn.ModuleDict({"encoder": nn.LSTM(3, 4, 2), "norm": nn.BatchNorm1d(4), "convolution": convolution})


def bits(module):
    return {name: weight.clone() for name, weight in module.state_dict().items()}


def same(mine, theirs):
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_what_was_kept_is_put_back_to_the_bit_whatever_happened_since(best):
    trained = module(0)
    expected = bits(trained)
    best.keep(trained)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(1)
    trained["norm"].running_mean.fill_(7)
    assert not same(bits(trained), expected)
    best.put_back(trained)
    assert same(bits(trained), expected)
    with torch.no_grad():  # it is a copy: training on does not change what is kept
        trained["encoder"].weight_ih_l0.zero_()
    best.put_back(trained)
    assert same(bits(trained), expected)


def test_the_last_that_was_kept_counts(best):
    best.keep(module(0))
    best.keep(module(1))
    other = module(2)
    best.put_back(other)
    assert same(bits(other), bits(module(1)))


def test_its_state_continues_in_another_process(best, tmp_path):
    best.keep(module(0))
    state = best.state()
    assert (state is None) == (tmp_path / "best.safetensors").exists()
    if state is not None:
        torch.save(state, tmp_path / "state.pt")
        state = torch.load(tmp_path / "state.pt", weights_only=True, mmap=True)
    other = BestWeights(tmp_path / "best.safetensors")
    other.restore(state, kept=True)
    found = module(1)
    other.put_back(found)
    assert same(bits(found), bits(module(0)))


def test_nothing_kept_is_no_state(best):
    assert best.state() is None
