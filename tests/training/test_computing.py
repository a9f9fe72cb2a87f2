from types import SimpleNamespace

import pytest
import torch
from torch import nn

from aqa_cache.machine.threads import cpu_threads
from aqa_heads.training.computing import denormals_flushed, threads_of_update, threads_worth
from aqa_heads.training.part import Part

DENORMAL = torch.full((4,), 1e-39)


def flushed() -> bool:
    return bool((DENORMAL * 1 == 0).all())


def test_denormals_are_zero_in_the_block_alone():
    with pytest.raises(KeyError), denormals_flushed():
        assert flushed()
        raise KeyError
    assert not flushed()


def test_a_process_that_flushes_them_goes_on_doing_so():
    torch.set_flush_denormal(True)
    try:
        with denormals_flushed():
            pass
        assert flushed()
    finally:
        torch.set_flush_denormal(False)


def test_a_step_has_no_denormals_in_its_gradients_and_the_same_others():
    """The gradient of the first clip of many, as an LSTM over 200 of them has it."""
    gradients = []
    for scale in (1e-39, 1.0):
        module = nn.Linear(3, 1, bias=False)
        nn.init.ones_(module.weight)
        part = Part("assessment", nn.ModuleDict({"encoder": module}), [], None)
        part.step(scale * module(torch.tensor([[1.0, 2.0, 3.0]])).sum())
        gradients.append(module.weight.grad.tolist())
    assert gradients == [[[0.0, 0.0, 0.0]], [[1.0, 2.0, 3.0]]]
    assert not flushed()


def test_a_step_gets_as_many_threads_as_its_work_is_worth(monkeypatch):
    def given(threads, cores):
        monkeypatch.setattr("aqa_heads.training.computing.available_cores", lambda: cores)
        with cpu_threads(threads):
            return [threads_worth(work) for work in (0, 2.9e8, 3e8, 7e8, 1e12)]

    assert given(4, cores=8) == [1, 1, 2, 3, 4]
    assert given(4, cores=2) == [1, 1, 2, 2, 2]
    assert given(1, cores=8) == [1] * 5


def test_an_update_gets_as_many_threads_as_it_has_millions_of_weights(monkeypatch):
    monkeypatch.setattr("aqa_heads.training.computing.available_cores", lambda: 3)
    with cpu_threads(8):
        assert [threads_of_update(number) for number in (10, 1_999_999, 2_000_000, 10**9)] == [1, 1, 2, 3]
    with cpu_threads(1):
        assert threads_of_update(10**9) == 1


def test_a_step_leaves_the_number_of_threads_as_it_was(monkeypatch):
    seen = []
    module = nn.Linear(3, 1)
    optimiser = SimpleNamespace(step=lambda: seen.append(torch.get_num_threads()))
    module.weight.register_hook(lambda _: seen.append(torch.get_num_threads()))
    part = Part("assessment", nn.ModuleDict({"encoder": module}), [optimiser], None, update_threads=2)
    with cpu_threads(1):
        part.step(module(torch.ones(1, 3)).sum())
        assert torch.get_num_threads() == 1
    assert seen == [1, 2]
