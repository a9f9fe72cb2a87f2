"""From the clip features of a sample to words: a sequence-to-sequence video captioner (S2VT)."""

import torch
from torch import nn
from torch.nn import functional as F

from .vocabulary import CAPTION_SLOTS, EOS, SOS


class Captioner(nn.Module):
    """Two stacked RNNs: the first watches the clips and then nothing, the second hears the first and the last word.

    Time runs over a sample's clips, during which the second RNN hears no word (zeros), and then over the words, during
    which the first sees a zero frame. A padded clip is a zero frame too: a sample with fewer clips than the longest of
    its batch just begins to speak earlier, and one call of each RNN serves the whole batch.

    Args:
        dim: size of one clip feature.
        words: size of the vocabulary.
        rnn: `gru` or `lstm`.
        layers: of each of the two RNNs, with dropout 0.5 between them in training.
        attention: `none`, or `linear`: the first RNN sees one linear projection of each clip feature, and the
            projection of zeros, its bias, on a zero frame. No weights over clips; the paper calls it attention.
        hidden: of both RNNs and of the projection.
        word_dim: size of a word's embedding.

    Shape:
        - features: `(batch, clips, dim)`, zeros from a sample's `count` on; count: `(batch,)`, at least 1.
        - heard: `(batch, words)` int64, from `<sos>` on: at each time the last word (teacher forcing).
        - Output: `(batch, words, vocabulary)`, logits of the next word.

    Source: the captioner of Parmar & Morris 2019 and its variants in the paper, which loop over the words in Python.
    The result is the same.
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
    ):
        super().__init__()
        kind = {"gru": nn.GRU, "lstm": nn.LSTM}[rnn]
        options = {"num_layers": layers, "batch_first": True, "dropout": 0.5 if layers > 1 else 0.0}
        self.attention = {"none": lambda: None, "linear": lambda: nn.Linear(dim, hidden)}[attention]()
        self.rnn1 = kind(dim if self.attention is None else hidden, hidden, **options)
        self.rnn2 = kind(hidden + word_dim, hidden, **options)
        self.embedding = nn.Embedding(words, word_dim)
        self.output = nn.Linear(hidden, words)

    def forward(self, features: torch.Tensor, count: torch.Tensor, heard: torch.Tensor) -> torch.Tensor:
        return self.output(self.states(features, count, heard))

    def states(self, features: torch.Tensor, count: torch.Tensor, heard: torch.Tensor) -> torch.Tensor:
        """As `forward`, before the output layer: `(batch, words, hidden)`."""
        steps = heard.shape[1]
        watched = self._watch(features, steps)
        position = torch.arange(watched.shape[1], device=count.device) - count.unsqueeze(1)
        speaking = (position >= 0) & (position < steps)
        embedded = self.embedding(heard.gather(1, position.clamp(0, steps - 1))) * speaking.unsqueeze(2)
        outputs, _ = self.rnn2(torch.cat([watched, embedded], 2))
        times = count.unsqueeze(1) + torch.arange(steps, device=count.device)
        return outputs[torch.arange(len(count), device=count.device).unsqueeze(1), times]

    @torch.no_grad()
    def speak(self, features: torch.Tensor, count: torch.Tensor, steps: int = CAPTION_SLOTS - 1) -> torch.Tensor:
        """The most probable next word, again and again.

        Shape:
            - Output: `(batch, steps)` int64, `<eos>` from the end of each caption on.
        """
        watched = self._watch(features, steps)
        first, last = int(count.min()), int(count.max())
        silence = watched.new_zeros(len(count), first, self.embedding.embedding_dim)
        _, state = self.rnn2(torch.cat([watched[:, :first], silence], 2))
        word = count.new_full((len(count),), SOS)
        said = count.new_full((len(count), steps), EOS)
        finished = torch.zeros_like(count, dtype=torch.bool)
        for time in range(first, last + steps):
            position = time - count
            speaking = (position >= 0) & (position < steps)
            heard = self.embedding(word) * speaking.unsqueeze(1)
            outputs, state = self.rnn2(torch.cat([watched[:, time], heard], 1).unsqueeze(1), state)
            following = self.output(outputs[:, 0]).argmax(1).masked_fill(finished, EOS)
            word = torch.where(speaking, following, word)
            said[speaking, position[speaking]] = word[speaking]
            finished |= speaking & (word == EOS)
            if finished.all():
                break
        return said

    def _watch(self, features: torch.Tensor, steps: int) -> torch.Tensor:
        """Outputs of the first RNN over the clips and `steps` zero frames: `(batch, clips + steps, hidden)`."""
        seen = features if self.attention is None else self.attention(features)
        over_clips, state = self.rnn1(seen)
        frame = None if self.attention is None else self.attention.bias
        return torch.cat([over_clips, run_on_constant(self.rnn1, frame, len(features), steps, state)], 1)


def run_on_constant(rnn: nn.GRU | nn.LSTM, frame: torch.Tensor | None, batch: int, steps: int, state) -> torch.Tensor:
    """Outputs of `rnn`, from `state` on, over `steps` times the same input.

    The first layer's product with that input is computed once and added to its bias; done per step on zero frames it
    would cost more than the rest of the RNN (8192 wide features against a hidden size of 512).

    Args:
        rnn: batch first, one direction.
        frame: `(input_size,)`; None stands for zeros.
        state: as the second result of `rnn(...)`.

    Shape:
        - Output: `(batch, steps, hidden_size)`.
    """
    if rnn.weight_ih_l0.is_cuda:
        # cuDNN wants the weights as it laid them out, and the product is cheap there.
        inputs = rnn.weight_ih_l0.new_zeros(rnn.input_size) if frame is None else frame
        return rnn(inputs.expand(batch, steps, -1).contiguous(), state)[0]
    weights = [weight for layer in rnn.all_weights for weight in layer]
    if frame is not None:
        weights[2] = F.linear(frame, weights[0], weights[2])
    weights[0] = weights[0].new_zeros(len(weights[0]), 1)
    inputs = weights[0].new_zeros(batch, steps, 1)
    run = torch.gru if isinstance(rnn, nn.GRU) else torch.lstm
    return run(inputs, state, weights, True, rnn.num_layers, rnn.dropout, rnn.training, False, True)[0]
