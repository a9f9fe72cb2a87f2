import copy

import pytest
import torch
from safetensors import safe_open
from torch import nn

from aqa_heads.errors import TrainingError
from aqa_heads.networks.frugal_lstm import FrugalLstmEncoder, ordinary_parameters

DIM, HIDDEN = 7, 6
COUNT = torch.tensor([4, 1, 3])


def features_of(seed=0, dtype=torch.float32):
    features = torch.randn(3, 4, DIM, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return features * (torch.arange(4) < COUNT.unsqueeze(1)).unsqueeze(2)


def encoder_of(layers=2, dropout=0.2, seed=0):
    torch.manual_seed(seed)
    return FrugalLstmEncoder(DIM, HIDDEN, layers, dropout)


def plain_of(encoder, dropout=0.0):
    """An `nn.LSTM` of the same weights."""
    layers = encoder.lstm.layers
    plain = nn.LSTM(DIM, HIDDEN, layers, batch_first=True, dropout=dropout).to(
        encoder.lstm.weight_ih_l0.dtype
    )
    plain.load_state_dict(encoder.lstm.state_dict())
    return plain


def last_of(plain, features):
    return plain(features)[0][torch.arange(3), COUNT - 1]


def step(encoder, features):
    encoder(features, COUNT).square().sum().backward()
    encoder.optimiser.step()


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_forward_and_feature_gradients_are_those_of_torch(layers):
    encoder = encoder_of(layers).eval().double()
    ours, theirs = (features_of(dtype=torch.float64).requires_grad_() for _ in range(2))
    output, expected = encoder(ours, COUNT), last_of(plain_of(encoder), theirs)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    output.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-12)


def test_forward_in_float32():
    encoder = encoder_of().eval()
    torch.testing.assert_close(
        encoder(features_of(), COUNT), last_of(plain_of(encoder), features_of()), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_with_exact_moments_training_equals_torch_with_adam(dropout):
    encoder = encoder_of(dropout=dropout).double()
    plain = plain_of(encoder, dropout)
    encoder.set_optimiser(1e-2, exact=True)
    adam = torch.optim.Adam(plain.parameters(), 1e-2)
    for number in range(10):
        features = features_of(number, torch.float64)
        torch.manual_seed(number)
        step(encoder, features)
        torch.manual_seed(number)
        adam.zero_grad()
        last_of(plain, features).square().sum().backward()
        adam.step()
    for name, weight in plain.named_parameters():
        torch.testing.assert_close(getattr(encoder.lstm, name), weight, rtol=0, atol=1e-9)


def test_with_half_the_state_training_stays_near_adam():
    encoder = encoder_of(dropout=0.0)
    start, plain = copy.deepcopy(encoder.lstm.state_dict()), plain_of(encoder)
    encoder.set_optimiser(1e-3)
    adam = torch.optim.Adam(plain.parameters(), 1e-3)
    for number in range(50):
        step(encoder, features_of(number))
        adam.zero_grad()
        last_of(plain, features_of(number)).square().sum().backward()
        adam.step()
    for name, weight in plain.named_parameters():
        deviation = (getattr(encoder.lstm, name) - weight).norm() / (weight - start[name]).norm()
        assert 0 < deviation < 0.03, name


def test_every_weight_changes_in_one_step():
    encoder = encoder_of()
    before = copy.deepcopy(encoder.state_dict())
    encoder.set_optimiser(1e-4)
    step(encoder, features_of())
    for name, weight in encoder.state_dict().items():
        assert (weight != before[name]).all(), name
        assert all(parameter.grad is None for parameter in encoder.parameters())


def test_weights_that_were_put_elsewhere_since_are_the_ones_that_train():
    encoder = encoder_of()
    encoder.set_optimiser(1e-3)
    encoder.double().float()
    encoder.load_state_dict(
        {name: weight.clone() for name, weight in encoder.state_dict().items()}, assign=True
    )
    before = copy.deepcopy(encoder.state_dict())
    step(encoder, features_of())
    assert not any(torch.equal(weight, before[name]) for name, weight in encoder.state_dict().items())


def test_what_lies_behind_a_samples_clips_changes_nothing():
    encoder, features = encoder_of().eval(), features_of()
    disturbed = features.masked_fill((torch.arange(4) >= COUNT.unsqueeze(1)).unsqueeze(2), 9.0)
    assert torch.equal(encoder(disturbed, COUNT), encoder(features, COUNT))
    single = [
        encoder(features[row : row + 1, :number], COUNT[row : row + 1]) for row, number in enumerate(COUNT)
    ]
    torch.testing.assert_close(torch.cat(single), encoder(features, COUNT))


def test_more_padding_changes_no_update():
    results = []
    for padding in (0, 3):
        encoder = encoder_of(dropout=0.0)
        encoder.set_optimiser(1e-3)
        step(encoder, nn.functional.pad(features_of(), (0, 0, 0, padding)))
        results.append(encoder.lstm.weight_ih_l0.detach())
    torch.testing.assert_close(*results, rtol=0, atol=1e-8)


def test_evaluated_it_has_no_dropout_and_changes_nothing():
    encoder = encoder_of(dropout=0.9)
    encoder.set_optimiser(1e-2)
    encoder.eval()
    before = copy.deepcopy(encoder.state_dict())
    features = features_of().requires_grad_()
    output = encoder(features, COUNT)
    assert torch.equal(output, encoder(features, COUNT))
    output.sum().backward()
    assert features.grad.abs().sum() > 0
    assert encoder.optimiser.steps == 0
    assert all(torch.equal(weight, before[name]) for name, weight in encoder.state_dict().items())


def test_the_same_seed_gives_the_same_bits():
    results = []
    for _ in range(2):
        encoder = encoder_of()
        encoder.set_optimiser(1e-3, seed=3)
        for number in range(3):
            step(encoder, features_of(number))
        results.append(encoder.state_dict())
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_saved_and_loaded_it_goes_on_to_the_bit(tmp_path):
    def train(encoder, numbers):
        for number in numbers:
            torch.manual_seed(number)
            step(encoder, features_of(number))

    whole, first, after = encoder_of(), encoder_of(), encoder_of(seed=9)
    whole.set_optimiser(1e-3, seed=3)
    first.set_optimiser(1e-3, seed=3)
    after.set_optimiser(1e-3)
    train(whole, range(6))
    train(first, range(2))
    first.save(tmp_path / "encoder.safetensors")
    after.load(tmp_path / "encoder.safetensors")
    train(after, range(2, 6))
    assert all(torch.equal(weight, after.state_dict()[name]) for name, weight in whole.state_dict().items())
    assert after.optimiser.steps == 6


def test_a_file_larger_than_one_piece_is_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("aqa_heads.networks.frugal_lstm._READ", 5 * HIDDEN)
    encoder, other = encoder_of(), encoder_of(seed=1)
    encoder.save(tmp_path / "encoder.safetensors")
    other.load(tmp_path / "encoder.safetensors")
    assert all(torch.equal(weight, other.state_dict()[name]) for name, weight in encoder.state_dict().items())


def test_weights_alone_can_be_saved_and_come_back_into_a_training(tmp_path):
    encoder = encoder_of()
    encoder.set_optimiser(1e-3)
    step(encoder, features_of())
    path = tmp_path / "best.safetensors"
    encoder.save(path, with_optimiser=False)
    with safe_open(path, "pt") as file:
        assert set(file.keys()) == set(plain_of(encoder).state_dict())
    kept = copy.deepcopy(encoder.state_dict())
    step(encoder, features_of())
    encoder.load(path, with_optimiser=False)
    assert all(torch.equal(weight, kept[name]) for name, weight in encoder.state_dict().items())
    with pytest.raises(TrainingError, match="without the optimiser's state"):
        encoder.load(path)


def test_a_file_that_does_not_fit_is_refused(tmp_path):
    encoder, path = encoder_of(), tmp_path / "encoder.safetensors"
    encoder.save(path)
    with pytest.raises(
        TrainingError, match=r"weight_ih_l0 is \(\(24, 7\), .*expected \(\(32, 7\), .*another size"
    ):
        FrugalLstmEncoder(DIM, 8).load(path)
    encoder.set_optimiser(1e-3)
    encoder.save(path)
    encoder.set_optimiser(1e-3, exact=True)
    with pytest.raises(TrainingError, match=r"exp_avg\S* is .*bfloat16\), expected .*float32\); .*precision"):
        encoder.load(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(TrainingError, match="cannot be read as safetensors"):
        encoder.load(path)


def test_training_without_an_optimiser_is_refused():
    with pytest.raises(RuntimeError, match=r"call set_optimiser\(lr\) first"):
        encoder_of()(features_of(), COUNT)


def test_a_second_backward_pass_is_refused():
    encoder = encoder_of()
    encoder.set_optimiser(1e-3)
    loss = encoder(features_of(), COUNT).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="weight_ih_l1 was already updated since this forward pass"):
        loss.backward()


def test_a_forward_pass_from_before_the_step_is_refused():
    encoder = encoder_of()
    encoder.set_optimiser(1e-3)
    losses = [encoder(features_of(number), COUNT).sum() for number in range(2)]
    losses[0].backward()
    encoder.optimiser.step()
    with pytest.raises(RuntimeError, match="already updated"):
        losses[1].backward()


def test_accumulated_gradients_are_refused():
    encoder = encoder_of()
    encoder.set_optimiser(1e-3)
    encoder(features_of(), COUNT).sum().backward()
    with pytest.raises(RuntimeError, match="gradients cannot be accumulated"):
        encoder(features_of(), COUNT).sum().backward()


def test_ordinary_parameters_are_all_but_the_encoders():
    model = nn.ModuleDict({"encoder": encoder_of(), "head": nn.Linear(HIDDEN, 1)})
    assert [parameter.shape for parameter in ordinary_parameters(model)] == [(1, HIDDEN), (1,)]
    model["encoder"].set_optimiser(1e-3)
    adam = torch.optim.Adam(ordinary_parameters(model), 1e-3)
    before = copy.deepcopy(model.state_dict())
    model["head"](model["encoder"](features_of(), COUNT)).square().sum().backward()
    adam.step()
    model["encoder"].optimiser.step()
    assert not any(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_the_first_layer_starts_orthogonal_and_the_rest_as_torch_does():
    weights = FrugalLstmEncoder(32, 64).lstm
    torch.testing.assert_close(weights.weight_hh_l0.T @ weights.weight_hh_l0, 2 * torch.eye(64))
    torch.testing.assert_close(weights.weight_ih_l0.T @ weights.weight_ih_l0, 2 * torch.eye(32))
    for weight in (weights.weight_hh_l1, weights.weight_ih_l1, weights.bias_hh_l0):
        assert 0.9 / 8 < weight.abs().max() <= 1 / 8


def test_the_original_size_costs_nothing_to_describe():
    with torch.device("meta"):
        encoder = FrugalLstmEncoder(8192)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 1_073_872_896


def test_on_a_gpu_it_trains_as_on_the_cpu(cuda):
    results = []
    for device in ("cpu", cuda):
        encoder = encoder_of(dropout=0.0).double().to(device)
        encoder.set_optimiser(1e-2, exact=True)
        for number in range(5):
            encoder(features_of(number, torch.float64).to(device), COUNT.to(device)).square().sum().backward()
            encoder.optimiser.step()
        results.append(encoder.lstm.weight_ih_l0.detach().cpu())
    torch.testing.assert_close(*results, rtol=0, atol=1e-9)
    encoder = encoder_of().to(cuda)
    encoder.set_optimiser(1e-3)
    before = copy.deepcopy(encoder.state_dict())
    encoder(features_of().to(cuda), COUNT.to(cuda)).square().sum().backward()
    assert all((weight != before[name]).all() for name, weight in encoder.state_dict().items())
