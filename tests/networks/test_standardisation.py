import numpy as np
import pytest
import torch

from aqa_heads.networks.standardisation import Standardiser


def test_fitted_features_have_mean_0_and_deviation_1_and_constants_vanish():
    generator = np.random.default_rng(0)
    clips = [generator.normal(3, 5, (number, 4)).astype(np.float32) for number in (1, 7, 3)]
    for sample in clips:
        sample[:, 2] = 0.1
    standardiser = Standardiser(4)
    standardiser.fit(clips)
    rows = torch.from_numpy(np.concatenate(clips))
    out = standardiser(rows[:, None], torch.ones(len(rows), dtype=torch.int64))[:, 0]
    torch.testing.assert_close(out.mean(0), torch.zeros(4), atol=1e-6, rtol=0)
    torch.testing.assert_close(out.std(0, correction=0), torch.tensor([1.0, 1.0, 0.0, 1.0]))
    assert (out[:, 2] == 0).all()


def test_padding_becomes_zero_whatever_it_was_and_an_unfitted_one_changes_nothing_else():
    features = torch.randn(2, 3, 4)
    out = Standardiser(4)(features, torch.tensor([3, 1]))
    assert torch.equal(out[0], features[0]) and torch.equal(out[1, :1], features[1, :1])
    assert (out[1, 1:] == 0).all()
    features[1, 1:] = float("nan")
    assert torch.equal(Standardiser(4)(features, torch.tensor([3, 1])), out)


class Anew:
    """Samples that are read again whenever they are asked for."""

    def __init__(self, clips):
        self.clips, self.reads = clips, 0

    def __iter__(self):
        for sample in self.clips:
            self.reads += 1
            yield torch.from_numpy(sample.copy())


def test_samples_that_are_read_anew_give_the_same_bits():
    clips = [
        np.random.default_rng(number).normal(9, 2, (number, 4)).astype(np.float32) for number in (1, 7, 3)
    ]
    held, streamed, source = Standardiser(4), Standardiser(4), Anew(clips)
    held.fit(clips)
    streamed.fit(source)
    assert (
        torch.equal(held.mean, streamed.mean)
        and torch.equal(held.scale, streamed.scale)
        and source.reads == 6
    )


def test_a_small_spread_on_a_large_mean_is_seen():
    """In float32 the squares of these would swallow it."""
    clips = [np.float32([[4096.0], [4096.5]]), np.float32([[4097.0]])]
    standardiser = Standardiser(1)
    standardiser.fit(clips)
    np.testing.assert_allclose(1 / standardiser.scale, np.std([0, 0.5, 1]), rtol=1e-6)


@pytest.mark.parametrize("dim", [1, 7])
def test_blocks_of_samples_give_the_bits_of_one_sample_at_a_time(dim, monkeypatch):
    monkeypatch.setattr("aqa_heads.networks.standardisation._BLOCK_VALUES", 100)
    generator = np.random.default_rng(0)
    clips = [generator.normal(3, 2, (int(n), dim)).astype(np.float32) for n in generator.integers(1, 40, 50)]
    fitted = Standardiser(dim)
    fitted.fit([torch.from_numpy(sample) for sample in clips])
    rows, total, squares = sum(map(len, clips)), np.zeros(dim), np.zeros(dim)
    for sample in clips:
        total += sample.sum(0, dtype=np.float64)
    for sample in clips:
        squares += np.square(sample - total / rows).sum(0)
    assert (fitted.mean.numpy() == (total / rows).astype(np.float32)).all()
    assert (fitted.scale.numpy() == (1 / np.sqrt(squares / rows)).astype(np.float32)).all()
