"""From the clip features of a sample to words: a sequence-to-sequence video captioner (S2VT)."""

import torch
from torch import nn
from torch.nn import functional as F

from .attention import ClipAttention
from .decoding import Generated, State, decode
from .recurrent import Given, RecurrentStack, Timeline
from .vocabulary import CAPTION_SLOTS
from .word_loss import word_loss


class Captioner(nn.Module):
    """Two stacked RNNs: the first watches the clips and then nothing, the second hears the first and the last
    word.

    Time runs over a sample's clips, during which the second RNN hears no word (zeros), and then over the
    words, during which the first sees a zero frame. One call of each RNN serves the whole batch.

    Args:
        dim: size of one clip feature.
        words: size of the vocabulary.
        rnn: `gru` or `lstm`.
        layers: of each of the two RNNs, with dropout 0.5 between them in training.
        attention: what comes between the clip features and the words. `none`: the first RNN sees them as they
            are. `linear`: it sees a linear projection of each, and the projection of zeros, its bias, on a
            zero frame. No weights over clips; the paper calls it attention. `additive`, `dot`: as `linear`,
            and at every word the second RNN's output looks at all projected clips again; see `ClipAttention`.
        hidden: of both RNNs and of the projection.
        word_dim: size of a word's embedding.
        residual: connections around the layers of both RNNs, see `RecurrentStack`; eight layers do not learn
            without.

    Shape:
        - features: `(batch, clips, dim)`; padding changes nothing; lengths:
          `(batch,)`, at least 1.
        - inputs: `(batch, words)` int64, from `<sos>` on: at each time the last word (teacher forcing).
        - Output: `(batch, words, vocabulary)`, logits of the next word.

    Source: the captioner of Parmar & Morris 2019 and its variants in the paper, which loop over the words in
    Python. The result is the same. `additive`, `dot` and `residual` are not theirs.
    """

    def __init__(
        self,
        dim: int,
        words: int,
        rnn: str = "gru",
        layers: int = 2,
        attention: str = "none",
        hidden: int = 512,
        word_dim: int = 512,
        residual: bool = False,
    ):
        super().__init__()
        self.projection = None if attention == "none" else nn.Linear(dim, hidden)
        self.attention = ClipAttention(attention, hidden) if attention in ("additive", "dot") else None
        self.rnn1 = RecurrentStack(rnn, dim if attention == "none" else hidden, hidden, layers, residual)
        self.rnn2 = RecurrentStack(rnn, hidden + word_dim, hidden, layers, residual)
        self.embedding = nn.Embedding(words, word_dim)
        self.output = nn.Linear(hidden, words)

    def forward(self, features: torch.Tensor, lengths: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        return self.output(self.states(features, lengths, inputs))

    def states(self, features: torch.Tensor, lengths: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """As `forward`, before the output layer: `(batch, words, hidden)`."""
        return self._teacher_forced(features, lengths, inputs, torch.full_like(lengths, inputs.shape[1]))[0]

    def weights(
        self, features: torch.Tensor, lengths: torch.Tensor, inputs: torch.Tensor
    ) -> torch.Tensor | None:
        """The attention's weights at each word, `(batch, words, clips)`; None where it has none."""
        return self._teacher_forced(features, lengths, inputs, torch.full_like(lengths, inputs.shape[1]))[1]

    def loss(
        self,
        features: torch.Tensor,
        lengths: torch.Tensor,
        inputs: torch.Tensor,
        targets: torch.Tensor,
        positions: torch.Tensor,
    ) -> torch.Tensor:
        """Negative log-likelihood of the words that follow, summed, in nats.

        A caption is run only as far as it goes, whatever the longest of the batch, and the probabilities of
        all words are never held at once. The gradient of the output layer is made here; it can be taken once.

        Shape:
            - targets: `(real words,)` int64, the words to be predicted, `<eos>` included, padding left out;
              positions: `(real words,)`, where each is predicted: its place in `inputs` flattened.
            - Output: a scalar.
        """
        steps = inputs.shape[1]
        words = torch.zeros_like(lengths).scatter_reduce(0, positions // steps, positions % steps + 1, "amax")
        states, _ = self._teacher_forced(features, lengths, inputs, words)
        return word_loss(states.flatten(0, 1).index_select(0, positions), self.output, targets)

    @torch.no_grad()
    def generate(
        self, features: torch.Tensor, lengths: torch.Tensor, steps: int = CAPTION_SLOTS - 1, beam: int = 1
    ) -> Generated:
        """The most probable caption that a beam search finds; `beam` 1 is greedy. See `decode`."""
        timeline = Timeline.of(lengths + steps)
        encoded, _, clips = self._encode_clips(features, lengths, timeline)
        samples = torch.arange(len(lengths), device=lengths.device)
        silent = encoded[
            timeline.row(samples[:, None], lengths[:, None] + torch.arange(steps, device=lengths.device))
        ]

        over_clips = Timeline.of(lengths)
        seen = encoded[timeline.row(over_clips.sequence, over_clips.time)]
        no_word = seen.new_zeros(len(seen), self.embedding.embedding_dim)
        _, state = self.rnn2([Given(seen), Given(no_word)], over_clips)

        def step(last: torch.Tensor, state: State, time: int):
            inputs = torch.cat(
                [silent[:, time : time + 1].expand(-1, last.shape[1], -1), self.embedding(last)], 2
            )
            outputs, state = self.rnn2.step(inputs.flatten(0, 1), state)
            outputs, weights = self._attend(outputs.view(*last.shape, -1), clips, lengths)
            return F.log_softmax(self.output(outputs), 2), state, weights

        return decode(step, state, len(lengths), steps, beam)

    def _teacher_forced(self, features, lengths, inputs, words) -> tuple[torch.Tensor, torch.Tensor | None]:
        """States before the output layer and weights over clips; only the first `words` of each row mean
        anything.
        """
        steps = inputs.shape[1]
        timeline = Timeline.of(lengths + words)
        encoded, over_clip, clips = self._encode_clips(features, lengths, timeline)
        generating = (~over_clip).nonzero().squeeze(1)
        sequence, time = timeline.sequence[generating], timeline.time[generating]
        different, which = inputs[sequence, time - lengths[sequence]].unique(return_inverse=True)
        outputs, _ = self.rnn2(
            [Given(encoded), Given(self.embedding(different), generating, which)], timeline
        )
        samples = torch.arange(len(lengths), device=lengths.device).unsqueeze(1)
        times = torch.minimum(
            torch.arange(steps, device=lengths.device), words.unsqueeze(1) - 1
        ) + lengths.unsqueeze(1)
        states = outputs.index_select(0, timeline.row(samples, times).flatten())
        return self._attend(states.view(len(lengths), steps, -1), clips, lengths)

    def _encode_clips(self, features, lengths, timeline: Timeline):
        """The first RNN's outputs `(rows, hidden)`, which rows are clips `(rows,)`, and what is attended to,
        or None.
        """
        over_clip = timeline.time < lengths[timeline.sequence]
        rows = over_clip.nonzero().squeeze(1)
        sequence, time = timeline.sequence[rows], timeline.time[rows]
        seen, frame, clips = features[sequence, time], None, None
        if self.projection is not None:
            seen, frame = F.linear(seen, self.projection.weight), self.projection.bias
        if self.attention is not None:
            clips = seen.new_zeros(*features.shape[:2], len(frame)).index_put((sequence, time), seen + frame)
        return self.rnn1([Given(seen, rows)], timeline, frame)[0], over_clip, clips

    def _attend(self, states, clips, lengths) -> tuple[torch.Tensor, torch.Tensor | None]:
        return (states, None) if self.attention is None else self.attention(states, clips, lengths)
