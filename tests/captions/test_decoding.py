import math
from itertools import product

import pytest
import torch

from aqa_heads.captions.decoding import decode
from aqa_heads.captions.vocabulary import EOS, SOS

WORDS, STEPS = 4, 3


def language(batch: int, seed: int, words: int = WORDS):
    """A random model of `batch` samples whose next word depends on every word before, and the probability of
    a caption.

    The state is the beginning itself, as a number; the attention is a function of the beginning, to tell one
    from another.
    """
    tables = {}

    def log_probabilities(code: int) -> torch.Tensor:
        if code not in tables:
            generator = torch.Generator().manual_seed(seed * 1_000_003 + code)
            tables[code] = (2 * torch.randn(words, generator=generator)).log_softmax(0)
        return tables[code]

    def step(last, state, time):
        codes = state[0][0].long() * words + last.flatten()
        values = torch.stack([log_probabilities(int(code)) for code in codes])
        attention = torch.stack([codes % 7, codes % 11], 1).float().view(*last.shape, 2)
        return values.view(*last.shape, words), (codes.double()[None],), attention

    def score(sample: int, caption: tuple[int, ...]) -> float:
        code, total = int(start[0][0, sample]) * words + SOS, 0.0
        for word in caption:
            total += float(log_probabilities(code)[word])
            code = code * words + word
        return total

    start = (torch.arange(1, batch + 1).double()[None],)
    return step, start, score


def captions(steps: int = STEPS) -> list[tuple[int, ...]]:
    """All that can be said: ended by `<eos>`, or cut after `steps` words; never `<sos>`."""
    said = [word for word in range(WORDS) if word not in (EOS, SOS)]
    ended = [(*words, EOS) for length in range(steps) for words in product(said, repeat=length)]
    return ended + list(product(said, repeat=steps))


def as_caption(words: torch.Tensor) -> tuple[int, ...]:
    numbers = tuple(words.tolist())
    return numbers[: numbers.index(EOS) + 1] if EOS in numbers else numbers


def test_one_beam_is_greedy():
    step, state, score = language(20, seed=0)
    found = decode(step, state, 20, STEPS)
    for sample in range(20):
        code, expected = sample + 1, []
        last = SOS
        while len(expected) < STEPS and last != EOS:
            values, _, _ = step(torch.tensor([[last]]), (torch.tensor([[float(code)]]),), 0)
            code, last = code * WORDS + last, max((0, 2, 3), key=values[0, 0].tolist().__getitem__)
            expected.append(last)
        assert as_caption(found.words[sample]) == tuple(expected)
        assert found.log_probability[sample].item() == pytest.approx(score(sample, tuple(expected)), abs=1e-5)


def test_a_beam_that_holds_everything_is_exhaustive():
    step, state, score = language(20, seed=1)
    found = decode(step, state, 20, STEPS, beam=WORDS**STEPS)
    for sample in range(20):
        best = max(captions(), key=lambda caption: score(sample, caption))
        assert as_caption(found.words[sample]) == best
        assert found.log_probability[sample].item() == pytest.approx(score(sample, best), abs=1e-5)


@pytest.mark.parametrize("beam", [2, 3, 5])
def test_a_beam_is_never_worse_than_greedy_and_sometimes_better(beam):
    step, state, score = language(150, seed=2)
    greedy, found = decode(step, state, 150, 5), decode(step, state, 150, 5, beam)
    assert (found.log_probability >= greedy.log_probability).all()
    assert (found.log_probability > greedy.log_probability + 0.1).any()
    for sample in range(150):
        # What it says it found is what it found, with the attention of that caption and no other.
        caption = as_caption(found.words[sample])
        assert found.log_probability[sample].item() == pytest.approx(score(sample, caption), abs=1e-5)
        code, last = sample + 1, SOS
        for time in range(5):
            code = code * WORDS + last
            expected = [code % 7, code % 11] if time < len(caption) else [0, 0]
            assert found.attention[sample, time].tolist() == expected
            last = int(found.words[sample, time])
    assert not (found.words == SOS).any()


def test_an_early_end_is_kept_against_longer_captions():
    # Ends at once with .4; otherwise says 2 (.6), after which nothing has more than .5.
    table = {SOS: [0.4, 0.0, 0.6, 0.0], 2: [0.5, 0.0, 0.25, 0.25], 3: [1.0, 0.0, 0.0, 0.0], EOS: [0.25] * 4}

    def step(last, state, time):
        return torch.tensor([[table[word] for word in row] for row in last.tolist()]).log(), state, None

    found = decode(step, (torch.zeros(1, 1, 1),), 1, 4, beam=2)
    assert found.words.tolist() == [[EOS] * 4]
    assert found.log_probability.item() == pytest.approx(math.log(0.4))
    assert found.attention is None
    assert decode(step, (torch.zeros(1, 1, 1),), 1, 4).words.tolist() == [[2, EOS, EOS, EOS]]


def test_a_sample_is_decoded_as_if_it_were_alone():
    step, state, _ = language(6, seed=3)
    together = decode(step, state, 6, STEPS, beam=2)
    for sample in range(6):
        alone = decode(step, (state[0][:, sample : sample + 1],), 1, STEPS, beam=2)
        assert torch.equal(alone.words[0], together.words[sample])


@pytest.mark.parametrize("beam, steps", [(0, 3), (2, 0)])
def test_a_search_for_nothing_is_refused(beam, steps):
    step, state, _ = language(1, seed=0)
    with pytest.raises(ValueError, match=f"beam {beam} and {steps} steps"):
        decode(step, state, 1, steps, beam)
