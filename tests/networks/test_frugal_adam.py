import pytest
import torch
from torch import nn

from aqa_heads.networks.frugal_adam import FrugalAdam


def products(steps, samples=5, rows=12, columns=7, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [
        tuple(torch.randn(samples, size, generator=generator, dtype=dtype) for size in (rows, columns))
        for _ in range(steps)
    ]


def weights_of(dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    return {
        "matrix": torch.randn(12, 7, generator=generator, dtype=dtype),
        "bias": torch.randn(12, generator=generator, dtype=dtype),
    }


def train(optimiser, weights, batches):
    for left, right in batches:
        optimiser.descend("matrix", weights["matrix"], left, right)
        optimiser.descend("bias", weights["bias"], left, left.new_ones(len(left), 1))
        optimiser.step()


def plain_adam(weights, batches, **options):
    parameters = {name: nn.Parameter(weight.clone()) for name, weight in weights.items()}
    optimiser = torch.optim.AdamW(parameters.values(), **options)
    for left, right in batches:
        parameters["matrix"].grad, parameters["bias"].grad = left.T @ right, left.sum(0)
        optimiser.step()
    return {name: parameter.detach() for name, parameter in parameters.items()}


OPTIONS = {"lr": 1e-2, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}


@pytest.mark.parametrize("chunk", [None, 1, 21, 7 * 12])
def test_with_exact_moments_it_is_adam(chunk):
    weights, batches = weights_of(torch.float64), products(20, dtype=torch.float64)
    expected = plain_adam(weights, batches, **OPTIONS)
    optimiser = FrugalAdam(weights, **OPTIONS, exact=True, chunk=chunk)
    train(optimiser, weights, batches)
    for name, weight in weights.items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-12)
    assert optimiser.steps == 20


def test_with_half_the_state_it_stays_near_adam():
    start, batches = weights_of(), products(200)
    expected = plain_adam(start, batches, lr=1e-3, weight_decay=0.0)
    weights = {name: weight.clone() for name, weight in start.items()}
    optimiser = FrugalAdam(weights, 1e-3)
    train(optimiser, weights, batches)
    for name, weight in weights.items():
        moved = (expected[name] - start[name]).norm()
        deviation = (weight - expected[name]).norm() / moved
        assert 0 < deviation < 0.03, name
    state = sum(moment.nbytes for moment in optimiser.moments().values())
    assert state == sum(weight.nbytes for weight in weights.values())


def test_rounding_at_random_does_not_lose_a_thousandth_a_step():
    weight, ones = {"w": torch.zeros(64, 64)}, torch.ones(1, 64)
    optimiser = FrugalAdam(weight, 1e-4)
    for _ in range(1500):
        optimiser.descend("w", weight["w"], ones, ones)
        optimiser.step()
    second, expected = optimiser.moments()["exp_avg_sq.w"].float(), 1 - 0.999**1500
    # Rounded to the nearest it would stand still below a half; with the same random numbers at each step some
    # elements would.
    assert second.mean().item() == pytest.approx(expected, rel=0.01)
    assert (second - expected).abs().max() < 0.3 * expected


def test_the_same_seed_gives_the_same_bits_whatever_torch_draws():
    results = []
    for seed, global_seed in ((4, 0), (4, 1), (5, 0)):
        torch.manual_seed(global_seed)
        weights = weights_of()
        train(FrugalAdam(weights, 1e-3, seed=seed), weights, products(10))
        results.append(weights["matrix"])
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@pytest.mark.parametrize("exact", [False, True])
def test_restored_it_goes_on_to_the_bit(exact):
    batches = products(12)
    whole = weights_of()
    train(FrugalAdam(whole, 1e-3, seed=7, exact=exact), whole, batches)

    first = weights_of()
    before = FrugalAdam(first, 1e-3, seed=7, exact=exact)
    train(before, first, batches[:5])
    after = FrugalAdam(first, 1e-3, exact=exact)
    after.load_state_dict(before.state_dict())
    train(after, first, batches[5:])
    for name, weight in first.items():
        assert torch.equal(weight, whole[name])


def test_state_of_other_weights_is_refused():
    optimiser = FrugalAdam(weights_of(), 1e-3)
    with pytest.raises(ValueError, match="other weights or of another precision"):
        optimiser.load_state_dict(FrugalAdam(weights_of(), 1e-3, exact=True).state_dict())


def test_a_second_update_before_the_step_is_over_is_refused():
    weights, ((left, right),) = weights_of(), products(1)
    optimiser = FrugalAdam(weights, 1e-3)
    optimiser.descend("matrix", weights["matrix"], left, right)
    with pytest.raises(RuntimeError, match="already updated.*cannot be accumulated"):
        optimiser.descend("matrix", weights["matrix"], left, right)
    optimiser.step()
    optimiser.descend("matrix", weights["matrix"], left, right)


def test_a_step_without_a_backward_pass_is_none():
    optimiser = FrugalAdam(weights_of(), 1e-3)
    optimiser.step()
    assert optimiser.steps == 0


def test_the_learning_rate_may_change_between_steps():
    weights, ((left, right),) = weights_of(), products(1)
    optimiser = FrugalAdam(weights, 1e-3)
    optimiser.lr = 0.0
    train(optimiser, weights, [(left, right)])
    assert torch.equal(weights["matrix"], weights_of()["matrix"])


def test_half_the_state_needs_float32():
    with pytest.raises(ValueError, match="matrix is torch.float64, expected torch.float32"):
        FrugalAdam(weights_of(torch.float64), 1e-3)


@pytest.mark.parametrize("exact", [False, True])
def test_a_weight_that_has_changed_its_precision_since_is_refused(exact):
    ((left, right),) = products(1, dtype=torch.float64)
    optimiser = FrugalAdam(weights_of(), 1e-3, exact=exact)
    with pytest.raises(
        RuntimeError, match="matrix is torch.float64 on cpu, which it was not.*move the model first"
    ):
        optimiser.descend("matrix", weights_of(torch.float64)["matrix"], left, right)
