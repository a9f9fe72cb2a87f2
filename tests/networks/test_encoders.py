import pytest
import torch
from torch.nn import functional as F

from aqa_heads.errors import TrainingError
from aqa_heads.networks.encoders import recurrent
from aqa_heads.networks.encoders.attention import AttentionEncoder
from aqa_heads.networks.encoders.average import AverageEncoder
from aqa_heads.networks.encoders.by_name import ENCODER_CLASSES, make_encoder
from aqa_heads.networks.encoders.recurrent import GruEncoder, LstmEncoder
from aqa_heads.networks.encoders.transformer import TransformerEncoder
from aqa_heads.networks.score_heads.seam import Encoded
from aqa_heads.settings.experiments import ENCODER_SIZES, ENCODERS, KNOWN_ENCODERS

DIM = 5


def test_every_name_has_its_class_and_its_sizes():
    assert list(ENCODER_CLASSES) == list(ENCODER_SIZES) == list(ENCODERS)
    assert [name for name in ENCODERS if ready(name).weighs_clips] == ["attention"]
    assert [name for name in ENCODERS if ready(name).replaces_mean] == ["statistics"]
    assert {name: ready(name).parts for name in ENCODERS if ready(name).parts} == {"gdlt": 4, "tpt": 5}


def test_an_encoder_of_ones_own_has_to_be_one(monkeypatch):
    monkeypatch.setitem(KNOWN_ENCODERS.registered, "linear", lambda dim, hidden: torch.nn.Linear(dim, hidden))
    with pytest.raises(TrainingError, match="encoder linear: makes a Linear, expected an aqa_heads.Encoder"):
        make_encoder("linear", DIM, 8, None)


def ready(name):
    """An encoder whose every weight matters, evaluated."""
    encoder = make_encoder(name, DIM, 8, 2)
    if name == "attention":
        torch.nn.init.normal_(encoder.weight.weight)
    for values in encoder.buffers():
        if values.is_floating_point():  # running statistics that are not as they were made
            values.mul_(1.2).add_(0.1)
    return encoder.eval()


def all_of(encoded):
    """All that an encoder says of each sample in one row."""
    if not isinstance(encoded, Encoded):
        return encoded
    return torch.cat((encoded.pooled, encoded.parts.flatten(1)), 1)


@pytest.mark.parametrize("name", ENCODERS)
def test_padding_and_the_rest_of_the_batch_change_nothing(name):
    encoder, counts = ready(name), [6, 1, 3]
    samples = [torch.randn(number, DIM) for number in counts]
    for longest in (6, 9):
        batch = torch.stack([F.pad(sample, (0, 0, 0, longest - len(sample))) for sample in samples])
        encoded = all_of(encoder(batch, torch.tensor(counts)))
        assert encoded.shape == (3, encoder.out_dim * (1 + (encoder.parts or 0)))
        for sample, row in zip(samples, encoded, strict=True):
            alone = all_of(encoder(sample[None], torch.tensor([len(sample)])))
            torch.testing.assert_close(row, alone[0])


@pytest.mark.parametrize("name", ENCODERS)
def test_padding_changes_no_gradient_and_no_statistics_of_training(name):
    found = []
    for longest in (6, 9):
        torch.manual_seed(0)
        encoder = ready(name).train()
        for module in encoder.modules():
            for dropout in ("p", "dropout"):  # which is drawn for padding too
                if isinstance(getattr(module, dropout, None), float):
                    setattr(module, dropout, 0.0)
        batch = torch.randn(3, 6, DIM)
        lengths = torch.tensor([6, 1, 3])
        for row, number in zip(batch, lengths, strict=True):
            row[number:] = 0
        batch = F.pad(batch, (0, 0, 0, longest - 6)).requires_grad_()
        encoded = encoder(batch, lengths)
        loss = all_of(encoded).square().sum()
        if isinstance(encoded, Encoded):
            assert encoded.loss > 0
            loss = loss + encoded.loss
        loss.backward()
        gradients = [parameter.grad for parameter in encoder.parameters()]
        found.append([loss.detach(), batch.grad[:, :6], *gradients, *encoder.buffers()])
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ENCODERS)
def test_one_clip_and_several_hundred_in_one_batch_give_finite_gradients(name):
    encoder = ready(name).train()
    lengths = torch.tensor([1, 400])
    features = torch.randn(2, 400, DIM)
    features[0, 1:] = 0
    features.requires_grad_()
    encoded = encoder(features, lengths)
    loss = all_of(encoded).square().sum()
    if isinstance(encoded, Encoded):
        loss = loss + encoded.loss
    loss.backward()
    # An RNN has forgotten the first of several hundred clips, so only the last ones are sure to matter.
    assert loss.isfinite() and features.grad.isfinite().all() and (features.grad[1, -1] != 0).any()
    for key, parameter in encoder.named_parameters():
        assert parameter.grad.isfinite().all() and (parameter.grad != 0).any(), key


@pytest.mark.parametrize("name", ENCODERS)
def test_one_sample_of_one_clip_trains(name):
    encoder = ready(name).train()
    before = [values.clone() for values in encoder.buffers()]
    encoded = encoder(torch.randn(1, 1, DIM), torch.tensor([1]))
    assert all_of(encoded).isfinite().all()
    if isinstance(encoded, Encoded) and encoded.loss is not None:
        assert encoded.loss == 0, "there is nothing to put in order"
    torch.testing.assert_close(before, list(encoder.buffers()))


@pytest.mark.parametrize("name", ENCODERS)
def test_the_order_of_clips_matters_to_those_that_know_it(name):
    encoder, features, lengths = ready(name), torch.randn(1, 4, DIM), torch.tensor([4])
    change = all_of(encoder(features, lengths)) - all_of(encoder(features[:, [2, 0, 3, 1]], lengths))
    knows = name in ("lstm", "gru", "transformer", "conv")
    assert change.abs().max() > 1e-3 if knows else change.abs().max() < 1e-5


def test_average_is_over_the_real_clips():
    features = torch.tensor([[[1.0, 2.0], [3.0, 6.0]], [[5.0, 7.0], [0.0, 0.0]]])
    assert AverageEncoder(2)(features, torch.tensor([2, 1])).tolist() == [[2.0, 4.0], [5.0, 7.0]]


@pytest.mark.parametrize("encoder", [LstmEncoder(5, 4, 2), GruEncoder(5, 4, 2)])
def test_recurrent_encoders_give_the_output_at_the_last_real_clip(encoder):
    encoder.eval()
    features, lengths = torch.randn(3, 6, 5), torch.tensor([6, 1, 3])
    expected = torch.stack(
        [
            encoder.rnn(sample[None, :number])[0][0, -1]
            for sample, number in zip(features, lengths, strict=True)
        ]
    )
    torch.testing.assert_close(encoder(features, lengths), expected)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("make", [LstmEncoder, GruEncoder])
def test_recurrent_encoders_train_as_the_library_does(make, layers, monkeypatch):
    monkeypatch.setattr(recurrent, "_MANY", 0)
    encoder = make(5, 4, layers).double().train()
    encoder.rnn.dropout = 0.0
    assert encoder.trains_faster_by_layers
    features, lengths = torch.randn(3, 6, 5, dtype=torch.float64), torch.tensor([6, 1, 3])
    weights = torch.randn(3, 4, dtype=torch.float64)
    found = []
    for fast in (True, False):
        monkeypatch.setattr(make, "trains_faster_by_layers", fast)
        given = features.clone().requires_grad_()
        outputs = encoder(given, lengths)
        (outputs * weights).sum().backward()
        found.append([outputs, given.grad, *(weight.grad for weight in encoder.parameters())])
        encoder.zero_grad()
    torch.testing.assert_close(found[0], found[1])


def test_an_lstm_of_few_weights_trains_in_the_library():
    narrow, wide = (LstmEncoder(size, 64, 1) for size in (152, 8192))
    assert not narrow.trains_faster_by_layers and wide.trains_faster_by_layers


@pytest.mark.parametrize("hidden, parameters", [(8192, 1_073_872_896), (1024, 46_153_728)])
def test_parameter_counts_of_the_lstm_encoder(hidden, parameters):
    with torch.device("meta"):
        encoder = LstmEncoder(8192, hidden, 2)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == parameters


@pytest.mark.parametrize("encoder", [LstmEncoder(8, 6, 2), GruEncoder(8, 6, 2)])
def test_first_layer_starts_orthogonal_with_gain_sqrt_2(encoder):
    weight = encoder.rnn.weight_ih_l0.detach()
    torch.testing.assert_close(weight.T @ weight, 2 * torch.eye(8))
    weight = encoder.rnn.weight_hh_l0.detach()
    torch.testing.assert_close(weight.T @ weight, 2 * torch.eye(6))


@pytest.mark.parametrize("name", ["lstm", "gru", "transformer", "conv", "gdlt", "tpt"])
def test_dropout_ends_with_training(name):
    encoder, features, lengths = ready(name), torch.randn(2, 3, DIM), torch.tensor([3, 3])
    assert torch.equal(all_of(encoder(features, lengths)), all_of(encoder(features, lengths)))
    encoder.train()
    assert not torch.equal(all_of(encoder(features, lengths)), all_of(encoder(features, lengths)))


def test_attention_starts_as_the_average():
    features, lengths = torch.randn(2, 4, DIM), torch.tensor([4, 2])
    features[1, 2:] = 0
    encoder = AttentionEncoder(DIM)
    torch.testing.assert_close(encoder(features, lengths), AverageEncoder(DIM)(features, lengths))
    torch.testing.assert_close(
        encoder.contributions(features, lengths),
        torch.tensor([[0.25] * 4, [0.5, 0.5, 0, 0]]),
        atol=1e-7,
        rtol=0,
    )


def test_attention_worked_by_hand():
    encoder = AttentionEncoder(1, 1)
    for layer in (encoder.content, encoder.gate):
        torch.nn.init.ones_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    torch.nn.init.constant_(encoder.weight.weight, 2)
    features, lengths = torch.tensor([[[0.0], [1.0], [0.0]]]), torch.tensor([2])
    # 2 * tanh(1) * sigmoid(1) = 1.1136, and exp(1.1136) / (exp(0) + exp(1.1136)) = 0.7528
    weights = encoder.contributions(features, lengths)
    assert weights[0].tolist() == pytest.approx([0.2472, 0.7528, 0], abs=1e-4)
    assert encoder(features, lengths).item() == pytest.approx(0.7528, abs=1e-4)


def test_contributions_are_what_the_clips_are_weighted_by():
    encoder, features, lengths = ready("attention"), torch.randn(2, 4, DIM), torch.tensor([4, 3])
    features[1, 3:] = 0
    weights = encoder.contributions(features, lengths)
    torch.testing.assert_close(weights.sum(1), torch.ones(2))
    assert weights[1, 3] == 0 and weights.max() > 0.3
    torch.testing.assert_close((weights.unsqueeze(2) * features).sum(1), encoder(features, lengths))


def test_a_width_that_the_transformer_cannot_have_is_one_message():
    with pytest.raises(
        TrainingError, match="hidden size is 100, expected a multiple of 8 .* try --encoder-hidden 104"
    ):
        TransformerEncoder(DIM, 100)


def test_c3d_lstm_is_one_layer_256_wide():
    # 4 gates * (4096 + 256 inputs + 2 biases) * 256
    encoder = make_encoder("lstm", 4096, 256, 1)
    assert (
        encoder.out_dim == 256 and sum(parameter.numel() for parameter in encoder.parameters()) == 4_458_496
    )
