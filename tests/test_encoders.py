import pytest
import torch

from aqa_heads.encoders import AverageEncoder, LstmEncoder


def test_average_is_over_the_real_clips():
    features = torch.tensor([[[1.0, 2.0], [3.0, 6.0]], [[5.0, 7.0], [0.0, 0.0]]])
    assert AverageEncoder(2)(features, torch.tensor([2, 1])).tolist() == [[2.0, 4.0], [5.0, 7.0]]


def test_lstm_gives_the_output_at_the_last_real_clip():
    encoder = LstmEncoder(5, 4, 2).eval()
    features, count = torch.randn(3, 6, 5), torch.tensor([6, 1, 3])
    expected = torch.stack(
        [encoder.lstm(sample[None, :number])[0][0, -1] for sample, number in zip(features, count, strict=True)]
    )
    torch.testing.assert_close(encoder(features, count), expected)


@pytest.mark.parametrize("hidden, parameters", [(8192, 1_073_872_896), (1024, 46_153_728)])
def test_parameter_counts_of_the_lstm_encoder(hidden, parameters):
    with torch.device("meta"):
        encoder = LstmEncoder(8192, hidden, 2)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == parameters


def test_first_layer_starts_orthogonal_with_gain_sqrt_2():
    weight = LstmEncoder(8, 6, 2).lstm.weight_ih_l0.detach()
    torch.testing.assert_close(weight.T @ weight, 2 * torch.eye(8))


def test_dropout_ends_with_training():
    encoder, features, count = LstmEncoder(5, 4, 2), torch.randn(2, 3, 5), torch.tensor([3, 3])
    assert encoder.lstm.dropout == 0.2
    encoder.eval()
    assert torch.equal(encoder(features, count), encoder(features, count))
