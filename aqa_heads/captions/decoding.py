"""From the probabilities of the next word to a caption: greedy and beam search."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from .vocabulary import EOS, SOS

# (last words (batch, beam), state, time) -> log-probabilities of the next word (batch, beam, vocabulary),
# state, and the attention (batch, beam, clips) or None. A state is a tuple of tensors (layers, batch x beam,
# ...).
State = tuple[torch.Tensor, ...]
Step = Callable[[torch.Tensor, State, int], tuple[torch.Tensor, State, torch.Tensor | None]]


@dataclass(frozen=True)
class Generated:
    """Captions, as a captioner says them.

    Shape:
        - words: `(batch, steps)` int64, `<eos>` from the end of each caption on.
        - log_probability: `(batch,)`, natural logarithm, of the words and the `<eos>` if it was reached.
        - attention: `(batch, steps, clips)`, the weights at each word, zeros after the `<eos>`; None where
          there are none.
    """

    words: torch.Tensor
    log_probability: torch.Tensor
    attention: torch.Tensor | None


def decode(step: Step, state: State, batch: int, steps: int, beam: int = 1) -> Generated:
    """The most probable caption that the search finds.

    With beam 1 the most probable next word is taken, again and again (greedy). With more, that many most
    probable beginnings are kept, ended ones among them, and the greedy caption is a candidate as well, so
    that searching more never gives a less probable caption. Probabilities are not divided by the length: the
    sum of their logarithms prefers short captions, the more the wider the beam.

    `<sos>` is never generated. `<unk>` can be: it is a word as any other.

    Args:
        step: what comes after the last words; at first these are `<sos>`.
        state: before the first word, of `batch` rows.
        steps: at most so many words, the `<eos>` counted; a caption that has not ended then is cut.

    Raises:
        ValueError: `beam` or `steps` is not positive.
    """
    if beam < 1 or steps < 1:
        raise ValueError(f"got beam {beam} and {steps} steps, expected at least 1 of each")
    found = _search(step, state, batch, steps, beam)
    if beam == 1:
        return found
    greedy = _search(step, state, batch, steps, 1)
    better = greedy.log_probability > found.log_probability
    return Generated(
        torch.where(better[:, None], greedy.words, found.words),
        torch.where(better, greedy.log_probability, found.log_probability),
        (
            None
            if found.attention is None
            else torch.where(better[:, None, None], greedy.attention, found.attention)
        ),
    )


def _search(step: Step, state: State, batch: int, steps: int, beam: int) -> Generated:
    state = tuple(part.repeat_interleave(beam, 1) for part in state)
    device = state[0].device
    first = torch.arange(batch, device=device).unsqueeze(1) * beam
    last = torch.full((batch, beam), SOS, device=device)
    # All beams start alike: only the first counts.
    total = torch.full((batch, beam), -math.inf, device=device)
    total[:, 0] = 0.0
    ended = torch.zeros_like(last, dtype=torch.bool)
    words, parents, attentions = [], [], []
    for time in range(steps):
        log_probability, state, attention = step(last, state, time)
        vocabulary = log_probability.shape[2]
        log_probability[..., SOS] = -math.inf
        # A caption that has ended is extended by nothing, with probability 1.
        log_probability.masked_fill_(ended.unsqueeze(2), -math.inf)
        log_probability[..., EOS].masked_fill_(ended, 0.0)
        total, chosen = (total.unsqueeze(2) + log_probability).flatten(1).topk(beam, 1)
        parent, last = chosen // vocabulary, chosen % vocabulary
        ended = ended.gather(1, parent) | (last == EOS)
        state = tuple(part[:, (first + parent).flatten()] for part in state)
        words.append(last)
        parents.append(parent)
        attentions.append(attention)
        # The first beam is the most probable; the others can only become less probable.
        if ended[:, 0].all():
            break
    return _trace(words, parents, attentions, total[:, 0], steps)


def _trace(words, parents, attentions, total, steps: int) -> Generated:
    """The most probable beginning, from its last word to its first."""
    batch = len(total)
    samples, place = torch.arange(batch, device=total.device), torch.zeros_like(words[0][:, 0])
    hypotheses = words[0].new_full((batch, steps), EOS)
    seen = None if attentions[0] is None else total.new_zeros(batch, steps, attentions[0].shape[2])
    for time in reversed(range(len(words))):
        hypotheses[:, time] = words[time][samples, place]
        place = parents[time][samples, place]
        if seen is not None:
            seen[:, time] = attentions[time][samples, place]
    if seen is not None:
        after = (hypotheses == EOS).cumsum(1) - (hypotheses == EOS).long() > 0
        seen.masked_fill_(after.unsqueeze(2), 0.0)
    return Generated(hypotheses, total, seen)
