"""The encoders for long sequences, each against its definition."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aqa_heads.errors import TrainingError
from aqa_heads.networks.encoders.conv import ConvEncoder
from aqa_heads.networks.encoders.gdlt import GdltEncoder, triplet_loss
from aqa_heads.networks.encoders.rows import Neighbours, RowNorm, Rows
from aqa_heads.networks.encoders.statistics import StatisticsEncoder
from aqa_heads.networks.encoders.tpt import TptEncoder, parsing_losses

DIM = 5
COUNT = torch.tensor([6, 1, 3])


@pytest.fixture
def clips():
    features = torch.randn(3, 6, DIM)
    for row, number in zip(features, COUNT, strict=True):
        row[number:] = 0
    return features


def test_rows_are_the_real_clips_and_come_back(clips):
    which = Rows(COUNT)
    rows = which.of(clips)
    torch.testing.assert_close(rows, torch.cat([clips[0], clips[1, :1], clips[2, :3]]))
    torch.testing.assert_close(which.padded(rows), clips)
    torch.testing.assert_close(which.mean(rows), clips.sum(1) / COUNT.unsqueeze(1))


def test_a_convolution_ends_with_its_sample(clips):
    layer, which = Neighbours(DIM), Rows(COUNT)
    plain = nn.Conv1d(DIM, DIM, 3, padding=1)
    with torch.no_grad():
        plain.weight.copy_(layer.linear.weight.unflatten(1, (3, DIM)).movedim(1, 2))
        plain.bias.copy_(layer.linear.bias)
    found = which.padded(layer(which.of(clips), which))
    for row, sample, number in zip(found, clips, COUNT, strict=True):
        torch.testing.assert_close(row[:number], plain(sample[:number].T[None])[0].T)


def test_halving_keeps_every_clip():
    which = Rows(COUNT)
    half, rows = which.halved(torch.tensor([[1.0, 3, 5, 7, 9, 11, 20, 1, 2, 7]]).T)
    assert half.lengths.tolist() == [3, 1, 2] and rows[:, 0].tolist() == [2, 6, 10, 20, 1.5, 7]


def test_batch_norm_over_rows_is_torchs_and_settles_sooner():
    norm, plain = RowNorm(DIM), nn.BatchNorm1d(DIM, momentum=None)
    for _ in range(10):  # plain means of so many batches
        rows = torch.randn(4, DIM) * 3 + 1
        torch.testing.assert_close(norm(rows), plain(rows))
    torch.testing.assert_close(list(norm.buffers()), list(plain.buffers()))
    mean = norm.running_mean.clone()
    norm(rows)
    torch.testing.assert_close(norm.running_mean, 0.9 * mean + 0.1 * rows.mean(0))
    kept = [values.clone() for values in norm.buffers()]
    norm(rows[:1])
    norm.eval()(rows)
    torch.testing.assert_close(list(norm.buffers()), kept)


def test_statistics_by_hand():
    features = torch.tensor([[[1.0, 2.0], [3.0, 2.0]], [[5.0, 7.0], [0.0, 0.0]]], requires_grad=True)
    encoder = StatisticsEncoder(2)
    found = encoder(features, torch.tensor([2, 1]))
    assert found[0].tolist() == pytest.approx([2, 2, 1, 0, math.log(2)])
    assert found[1].tolist() == [5, 7, 0, 0, 0]
    encoder.weigh(torch.ones(5), [1, 0.5, 0])
    assert encoder(features, torch.tensor([2, 1]))[0].tolist() == [1, 1, 0, -0.5, 0]
    found.sum().backward()
    assert features.grad.isfinite().all(), "the root has no slope at 0"


@pytest.mark.parametrize("clips_there", [1, 2, 7, 40])
def test_time_is_halved_between_the_blocks_of_conv(clips_there):
    encoder = ConvEncoder(DIM, 8).eval()
    rows, which = encoder.over_time(torch.randn(1, clips_there, DIM), torch.tensor([clips_there]))
    assert len(rows) == which.lengths.item() == math.ceil(math.ceil(clips_there / 2) / 2)


def test_an_output_of_conv_sees_32_clips():
    encoder, features = ConvEncoder(DIM, 8).eval(), torch.randn(1, 80, DIM, requires_grad=True)
    rows, _ = encoder.over_time(features, torch.tensor([80]))
    rows[10].sum().backward()
    seen = features.grad[0].abs().sum(1).nonzero()[:, 0]
    # Place 10 of the last block is of clips 40 to 43, with two blocks' and two halvings' reach around them.
    assert (seen.min().item(), seen.max().item()) == (26, 57)


def test_triplet_by_hand():
    first, second = torch.tensor([1.0, 0]), torch.tensor([0.0, 1])
    apart = torch.stack((first, second)).expand(2, 2, 2)
    assert triplet_loss(apart).item() == 0, "distance 0 to one's own, 1 to the other: just the margin"
    assert triplet_loss(torch.ones(2, 2, 2)).item() == pytest.approx(1)
    # One grade 0 lies where grade 1 does: farther from its own by 1, the other three are by 0.
    mixed = torch.stack((torch.stack((first, second)), torch.stack((second, second))))
    assert triplet_loss(mixed).item() == pytest.approx((1 + 1 + 2 + 1) / 4)


def test_gdlt_has_its_loss_in_training_of_several_samples_only(clips):
    encoder = GdltEncoder(DIM, 8)
    assert encoder(clips, COUNT).loss > 0
    assert encoder(clips[:1], COUNT[:1]).loss is None
    assert encoder.eval()(clips, COUNT).loss is None
    assert GdltEncoder(DIM, 8, triplet=0)(clips, COUNT).loss is None


def test_phases_of_tpt_attend_to_real_clips_alone(clips):
    encoder = TptEncoder(DIM, 16).eval()
    assert encoder(clips, COUNT).loss is None
    _, weights = encoder.decode(clips, COUNT)
    assert len(weights) == 2
    for each in weights:
        torch.testing.assert_close(each.sum(2), torch.ones(3, 5))
        assert (each[1, :, 1:] == 0).all() and (each[2, :, 3:] == 0).all() and each.std() > 0


def test_the_weights_of_tpt_are_of_its_equation(clips):
    encoder = TptEncoder(DIM, 16).eval()
    layer = encoder.layers[0]
    query = F.linear(encoder.phases, layer.query.weight, layer.query.bias)
    likeness = query @ layer.key(clips[0]).T / 16 / 0.07
    torch.testing.assert_close(encoder.decode(clips, COUNT)[1][0][0], likeness.softmax(1))


def test_phases_that_follow_each_other_at_equal_gaps_lose_nothing():
    # 7 clips, the phases on those in between: gaps of a sixth.
    exact = torch.eye(7)[None, 1:6]
    ranking, sparsity = parsing_losses(exact, torch.tensor([7]))
    assert ranking.item() == pytest.approx(0, abs=1e-5) and sparsity.item() == 0
    reversed_, _ = parsing_losses(exact.flip(1), torch.tensor([7]))
    even, spread = parsing_losses(torch.full((1, 5, 7), 1 / 7), torch.tensor([7]))
    # All in the middle: four gaps of 0. Of places 1, 4.17, …, 20 the mean distance to the middle.
    assert even.item() == pytest.approx(4 * 19 / 6, rel=1e-5) and reversed_ > even
    assert spread.item() == pytest.approx(19 / 6 * (3 + 2 + 1) * 2 / 7, rel=1e-5)


def test_parsing_losses_do_not_grow_with_the_clips_and_pass_over_single_ones():
    losses = [parsing_losses(torch.full((1, 5, n), 1 / n), torch.tensor([n])) for n in (20, 2000)]
    torch.testing.assert_close(*losses, rtol=0.06, atol=0)
    weights = torch.zeros(2, 5, 4)
    weights[0], weights[1, :, 0] = 1 / 4, 1
    both = parsing_losses(weights, torch.tensor([4, 1]))
    torch.testing.assert_close(both, parsing_losses(weights[:1], torch.tensor([4])))


def test_a_width_that_tpt_cannot_have_is_one_message():
    with pytest.raises(TrainingError, match="tpt .* is 20, expected a multiple of 8 .* --encoder-hidden 24"):
        TptEncoder(DIM, 20)
