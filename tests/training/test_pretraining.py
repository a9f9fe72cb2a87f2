import pytest
import torch

from aqa_heads.errors import TrainingError
from aqa_heads.networks.encoders.recurrent import GruEncoder, LstmEncoder
from aqa_heads.training.pretraining import Reconstruction, pretrain, reverse

ENCODERS = [LstmEncoder, GruEncoder]


def clips():
    """Samples of one to six clips on a plane: each can be said from a few numbers."""
    generator = torch.Generator().manual_seed(0)
    plane = torch.randn(2, 6, generator=generator)
    return [
        torch.randn(1, 2, generator=generator).repeat(number, 1) @ plane
        for number in (1, 4, 6, 2, 5, 3, 1, 6)
    ]


def made(kind):
    torch.manual_seed(1)
    return kind(6, 16, 2)


def test_reverse_ends_with_the_first_clip():
    features = torch.tensor([[[1.0], [2.0], [3.0]], [[4.0], [5.0], [0.0]]])
    reversed_ = reverse(features, torch.tensor([3, 2]))
    assert reversed_[0].flatten().tolist() == [3, 2, 1] and reversed_[1, :2].flatten().tolist() == [5, 4]


@pytest.mark.parametrize("kind", ENCODERS)
def test_the_loss_is_the_mean_over_the_real_clips_of_each_sample_alone(kind):
    samples = clips()
    model = Reconstruction(made(kind), 6).eval()
    counts = torch.tensor([len(sample) for sample in samples])
    padded = torch.nn.utils.rnn.pad_sequence(samples, batch_first=True)
    alone = torch.stack([model.loss(sample[None], torch.tensor([len(sample)])) for sample in samples])
    expected = (alone * counts).sum() / counts.sum()
    torch.testing.assert_close(model.loss(padded, counts), expected)


@pytest.mark.parametrize("kind", ENCODERS)
def test_reconstruction_improves_and_every_encoder_weight_changes(kind):
    encoder = made(kind).eval()
    before = {name: weight.clone() for name, weight in encoder.state_dict().items()}
    losses = pretrain(encoder, clips(), epochs=60, lr=1e-2, batch_size=4, seed=0)
    assert len(losses) == 60 and losses[-1] < 0.5 * losses[0]
    assert not any(torch.equal(weight, before[name]) for name, weight in encoder.state_dict().items())
    assert not encoder.training


@pytest.mark.parametrize("kind", ENCODERS)
def test_same_seed_gives_the_same_bits_and_another_seed_others(kind):
    results = []
    for seed in (3, 3, 4):
        encoder = made(kind)
        torch.manual_seed(len(results))  # of the caller: must not matter, and must not be disturbed
        state = torch.get_rng_state()
        results.append((pretrain(encoder, clips(), 2, 1e-3, 4, seed), encoder.state_dict()))
        assert torch.equal(state, torch.get_rng_state())
    (first, weights), (second, same), (third, _) = results
    assert first == second != third
    assert all(torch.equal(weights[name], same[name]) for name in weights)


def test_divergence_is_one_message():
    samples = [torch.full((2, 6), 1e30)]
    with pytest.raises(TrainingError, match="diverged in epoch 1 .* try an --lr below 0.1"):
        pretrain(made(LstmEncoder), samples, 3, 0.1, 4, 0)
