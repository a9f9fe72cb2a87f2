"""Stacks of GRU and LSTM layers over whole sequences of different lengths.

On a CPU, PyTorch's GRU makes its weight gradient step by step, and either pads short sequences to the longest
or runs them much slower. Here every product that can be made at once is made at once (`recurrent_layers`). On
a GPU cuDNN does the same and better.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from .recurrent_layers import gru_layer, lstm_layer

DROPOUT = 0.5

State = tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Timeline:
    """Where the values of sequences of different lengths lie: one row each, by time, the longest sequence
    first.

    It is the layout of PyTorch's `PackedSequence`: a step of a recurrent layer is one stretch of rows, and a
    sequence that has ended costs nothing.

    Args:
        sizes: how many sequences there are at each time; never increasing.

    Shape:
        - sequence, time: `(rows,)` int64, the sequence and the time of each row.
        - rank: `(sequences,)` int64, the place of each sequence among the rows of one time; start:
          `(times,)`, the first row of each time; lengths: `(sequences,)`.

    >>> timeline = Timeline.of(torch.tensor([1, 3]))
    >>> timeline.sizes, timeline.sequence.tolist(), timeline.time.tolist()
    ([2, 1, 1], [1, 0, 1, 1], [0, 0, 1, 2])
    >>> timeline.row(torch.tensor([0, 1]), torch.tensor([0, 2])).tolist()
    [1, 3]
    """

    sizes: list[int]
    sequence: torch.Tensor
    time: torch.Tensor
    rank: torch.Tensor
    start: torch.Tensor
    lengths: torch.Tensor

    @classmethod
    def of(cls, lengths: torch.Tensor) -> "Timeline":
        """Of sequences with these lengths, `(sequences,)` int64, at least 1; the tensors will be on its
        device.
        """
        here = lengths.cpu()
        order = here.argsort(descending=True, stable=True)
        alive = torch.arange(int(here.max())).unsqueeze(1) < here[order]
        time, rank = alive.nonzero(as_tuple=True)
        sizes = alive.sum(1)
        tensors = order[rank], time, order.argsort(), sizes.cumsum(0) - sizes, here
        return cls(sizes.tolist(), *(tensor.to(lengths.device) for tensor in tensors))

    def row(self, sequence: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """Rows of these sequences at these times, `(…)` int64; the sequences must be that long."""
        return self.start[time] + self.rank[sequence]


@dataclass(frozen=True)
class Given:
    """Inputs of a stack, or some columns of them, which need not be there in every row.

    Shape:
        - values: `(values, width)`.
        - rows: `(given,)` int64, where there is an input; zeros elsewhere, for which no product is made.
          None: everywhere.
        - which: `(given,)` int64, which value it is: a value that comes often is multiplied once. None: one
          after another.
    """

    values: torch.Tensor
    rows: torch.Tensor | None = None
    which: torch.Tensor | None = None


class RecurrentStack(nn.Module):
    """Layers of GRU or LSTM cells, one on top of the other, with dropout 0.5 between them in training.

    Args:
        kind: `gru` or `lstm`.
        inputs: size of an input.
        residual: each layer but the first adds to what it is given, after a layer norm, instead of replacing
            it: a stack of eight layers without that hardly learns. False: as `torch.nn.GRU` and
            `torch.nn.LSTM` have it.

    Shape:
        - given: side by side the columns of an input, in rows as a `Timeline` lays them out.
        - frame: `(inputs,)`, is added to all of them; None for zeros.
        - state: tensors `(layers, sequences, hidden)`, those before the first step; None for zeros.
        - Outputs: `(rows, hidden)`, and the state after each sequence's last step.
    """

    def __init__(self, kind: str, inputs: int, hidden: int, layers: int, residual: bool = False):
        super().__init__()
        make = {"gru": nn.GRU, "lstm": nn.LSTM}[kind]
        self.residual = residual
        if residual:
            self.rnns = nn.ModuleList(make(hidden if number else inputs, hidden) for number in range(layers))
            self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(layers - 1))
        else:
            self.rnns = nn.ModuleList([make(inputs, hidden, layers, dropout=DROPOUT if layers > 1 else 0.0)])

    def forward(
        self,
        given: Sequence[Given],
        timeline: Timeline,
        frame: torch.Tensor | None = None,
        state: State | None = None,
    ) -> tuple[torch.Tensor, State]:
        run = _run_cudnn if given[0].values.is_cuda else run_layers
        outputs, last = run(self.rnns[0], given, timeline, frame, self._of_rnn(state, 0))
        states = [last]
        for number in range(1, len(self.rnns)):
            normed = F.dropout(self.norms[number - 1](outputs), DROPOUT, self.training)
            more, last = run(self.rnns[number], [Given(normed)], timeline, None, self._of_rnn(state, number))
            outputs = outputs + more
            states.append(last)
        return outputs, tuple(torch.cat(parts) for parts in zip(*states, strict=True))

    def step(self, inputs: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """One step of every sequence, when the next input depends on this output; not for training.

        Shape:
            - inputs: `(sequences, inputs)`; state and outputs as above, with `(sequences, hidden)`.
        """
        outputs, states = inputs, []
        cell = torch.gru_cell if isinstance(self.rnns[0], nn.GRU) else torch.lstm_cell
        layers = [weights for rnn in self.rnns for weights in rnn.all_weights]
        for number, (weights, *last) in enumerate(zip(layers, *state, strict=True)):
            given = self.norms[number - 1](outputs) if self.residual and number else outputs
            now = cell(given, last[0] if len(last) == 1 else last, *weights)
            now = (now,) if len(last) == 1 else now
            outputs = outputs + now[0] if self.residual and number else now[0]
            states.append(now)
        return outputs, tuple(torch.stack(parts) for parts in zip(*states, strict=True))

    def _of_rnn(self, state: State | None, number: int) -> State | None:
        """The part of `state` that is of one of `rnns`."""
        if state is None or not self.residual:
            return state
        return tuple(part[number : number + 1] for part in state)


def _run_cudnn(rnn, given: Sequence[Given], timeline: Timeline, frame, state):
    """`RecurrentStack.forward` of one `nn.GRU` or `nn.LSTM` by itself: inputs are written out, as cuDNN wants
    them.
    """
    parts = []
    for part in given:
        values = part.values if part.which is None else part.values.index_select(0, part.which)
        if part.rows is not None:
            values = values.new_zeros(len(timeline.time), values.shape[1]).index_copy(0, part.rows, values)
        parts.append(values)
    inputs = torch.cat(parts, 1)
    inputs = inputs if frame is None else inputs + frame
    order = timeline.rank.argsort()
    if state is not None:
        state = tuple(part[:, order].contiguous() for part in state)
        state = state[0] if len(state) == 1 else state
    outputs, last = rnn(PackedSequence(inputs, torch.tensor(timeline.sizes)), state)
    last = last if isinstance(last, tuple) else (last,)
    return outputs.data, tuple(part[:, timeline.rank] for part in last)


def run_layers(rnn, given: Sequence[Given], timeline: Timeline, frame=None, state: State | None = None):
    """The same with the layers below, on a CPU."""
    is_gru = isinstance(rnn, nn.GRU)
    if state is None:
        zeros = given[0].values.new_zeros(rnn.num_layers, len(timeline.rank), rnn.hidden_size)
        state = (zeros,) if is_gru else (zeros, zeros)
    order, ends = (
        timeline.rank.argsort(),
        timeline.row(torch.arange(len(timeline.rank)), timeline.lengths - 1),
    )
    outputs, states = None, []
    for number, (weight_ih, weight_hh, bias_ih, bias_hh) in enumerate(rnn.all_weights):
        if number:
            given, frame = [Given(F.dropout(outputs, rnn.dropout, rnn.training))], None
        before = [part[number][order] for part in state]
        if is_gru:
            projected = _project(given, len(timeline.time), weight_ih, bias_ih, frame)
            made = (gru_layer(projected, weight_hh, bias_hh, *before, timeline.sizes),)
        else:
            projected = _project(given, len(timeline.time), weight_ih, bias_ih + bias_hh, frame)
            made = lstm_layer(projected, weight_hh, *before, timeline.sizes)
        outputs = made[0]
        states.append([part[ends] for part in made])
    return outputs, tuple(torch.stack(parts) for parts in zip(*states, strict=True))


def _project(given: Sequence[Given], rows: int, weight, bias, frame) -> torch.Tensor:
    """What the inputs of all rows, made of the columns `given` and the `frame`, do to the gates: `(rows,
    gates)`.
    """
    if frame is not None:
        bias = F.linear(frame, weight, bias)
    projected = None
    for part, columns in zip(given, weight.split([part.values.shape[1] for part in given], 1), strict=True):
        if part.rows is None and projected is None:
            projected = F.linear(part.values, columns, bias)
            continue
        product = part.values @ columns.t()
        product = product if part.which is None else product.index_select(0, part.which)
        projected = bias.expand(rows, -1).clone() if projected is None else projected
        projected = projected + product if part.rows is None else projected.index_add_(0, part.rows, product)
    return projected
