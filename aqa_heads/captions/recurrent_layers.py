"""One GRU or LSTM layer over whole sequences on a CPU: a step keeps what depends on the step before, one
product with the last state, and works in place; all else is one product for all steps, backward too.
"""

from collections.abc import Sequence

import torch
from torch.autograd.function import once_differentiable


def gru_layer(projected, weight_hh, bias_hh, state, sizes: Sequence[int]) -> torch.Tensor:
    """One GRU layer, as `torch.nn.GRU` defines it.

    Args:
        sizes: of a `Timeline`.

    Shape:
        - projected: `(rows, 3 hidden)`, the inputs times `weight_ih`, plus `bias_ih`; state: `(sequences,
          hidden)` by rank.
        - Output: `(rows, hidden)`.
    """
    return _Gru.apply(projected, weight_hh, bias_hh, state, sizes)


def lstm_layer(projected, weight_hh, state, cell, sizes: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """One LSTM layer, as `torch.nn.LSTM` defines it.

    Shape:
        - projected: `(rows, 4 hidden)`, the inputs times `weight_ih`, plus both biases; state, cell:
          `(sequences, hidden)` by rank.
        - Outputs: `(rows, hidden)` and the cells `(rows, hidden)`.
    """
    return _Lstm.apply(projected, weight_hh, state, cell, sizes)


class _Gru(torch.autograd.Function):
    @staticmethod
    def forward(ctx, projected, weight_hh, bias_hh, state, sizes):
        # Laid out for products with few rows, forward and backward.
        hidden, weight = weight_hh.shape[1], weight_hh.t().contiguous()
        two = 2 * hidden
        # What comes from the last state: the third part is multiplied by the reset gate before it meets the
        # input.
        recurrent = torch.empty_like(projected)
        gates, candidate, outputs = (
            projected.new_empty(len(projected), size) for size in (two, hidden, hidden)
        )
        steps = zip(
            sizes,
            projected[:, :two].split(sizes),
            projected[:, two:].split(sizes),
            recurrent.split(sizes),
            recurrent[:, :two].split(sizes),
            recurrent[:, two:].split(sizes),
            gates.split(sizes),
            gates[:, :hidden].split(sizes),
            gates[:, hidden:].split(sizes),
            candidate.split(sizes),
            outputs.split(sizes),
        )
        last = state
        for size, to_gates, to_new, all_three, for_gates, for_new, both, reset, update, new, output in steps:
            last = last[:size]
            torch.addmm(bias_hh, last, weight, out=all_three)
            torch.add(to_gates, for_gates, out=both).sigmoid_()
            torch.addcmul(to_new, reset, for_new, out=new).tanh_()
            last = torch.lerp(new, last, update, out=output)
        ctx.sizes = sizes
        ctx.save_for_backward(weight, state, recurrent, gates, candidate, outputs)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_outputs):
        weight, state, recurrent, gates, candidate, outputs = ctx.saved_tensors
        sizes, hidden = ctx.sizes, len(weight)
        before = _before(state, outputs, sizes)
        reset, update = gates.split(hidden, 1)

        # The gradient of what goes into a gate is that of the output times a factor which the forward pass
        # fixed.
        to_candidate = tanh_backward(1 - update, candidate)
        factors = torch.empty_like(recurrent)
        for_reset, for_update, for_new = factors.split(hidden, 1)
        sigmoid_backward(to_candidate * recurrent[:, 2 * hidden :], reset, grad_input=for_reset)
        sigmoid_backward(before - candidate, update, grad_input=for_update)
        torch.mul(to_candidate, reset, out=for_new)

        grad, grad_state = grad_outputs.clone(memory_format=torch.contiguous_format), torch.zeros_like(state)
        grads, updates = grad.split(sizes), update.split(sizes)
        by_step, by_gate = factors.split(sizes), factors.view(-1, 3, hidden).split(sizes)
        for time in reversed(range(len(sizes))):
            here, into = grads[time], (grads[time - 1] if time else grad_state)[: sizes[time]]
            by_gate[time].mul_(here.unsqueeze(1))
            into.addcmul_(here, updates[time]).addmm_(by_step[time], weight.t())

        grad_weight, grad_bias = factors.t().mm(before), factors.sum(0)
        torch.mul(to_candidate, grad, out=for_new)
        return factors, grad_weight, grad_bias, grad_state, None


class _Lstm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, projected, weight_hh, state, cell, sizes):
        hidden, weight = weight_hh.shape[1], weight_hh.t().contiguous()
        gates = torch.empty_like(projected)
        cells, squashed, outputs = (projected.new_empty(len(projected), hidden) for _ in range(3))
        steps = zip(
            sizes,
            projected.split(sizes),
            gates.split(sizes),
            gates[:, : 2 * hidden].split(sizes),
            *(gate.split(sizes) for gate in gates.split(hidden, 1)),
            cells.split(sizes),
            squashed.split(sizes),
            outputs.split(sizes),
        )
        last, last_cell = state, cell
        for size, to_gates, all_four, in_forget, in_gate, forget, new, out_gate, now, squash, output in steps:
            torch.addmm(to_gates, last[:size], weight, out=all_four)
            in_forget.sigmoid_()
            out_gate.sigmoid_()
            last_cell = torch.mul(last_cell[:size], forget, out=now).addcmul_(in_gate, new.tanh_())
            last = torch.mul(torch.tanh(last_cell, out=squash), out_gate, out=output)
        ctx.sizes = sizes
        ctx.save_for_backward(weight, state, cell, gates, cells, squashed, outputs)
        return outputs, cells

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_outputs, grad_cells):
        weight, state, cell, gates, cells, squashed, outputs = ctx.saved_tensors
        sizes, hidden = ctx.sizes, len(weight)
        in_gate, forget, new, out_gate = gates.split(hidden, 1)

        # As in the GRU: factors first. Three gates act through the cell, the last one on the output.
        to_cell = tanh_backward(out_gate, squashed)
        factors = torch.empty_like(gates)
        for_in, for_forget, for_new, for_out = factors.split(hidden, 1)
        sigmoid_backward(new, in_gate, grad_input=for_in)
        sigmoid_backward(_before(cell, cells, sizes), forget, grad_input=for_forget)
        tanh_backward(in_gate, new, grad_input=for_new)
        sigmoid_backward(squashed, out_gate, grad_input=for_out)

        grad, grad_cell = (
            each.clone(memory_format=torch.contiguous_format) for each in (grad_outputs, grad_cells)
        )
        grads, cell_grads = grad.split(sizes), grad_cell.split(sizes)
        grad_state, grad_first = torch.zeros_like(state), torch.zeros_like(cell)
        to_cells, forgets = to_cell.split(sizes), forget.split(sizes)
        by_step, of_output = factors.split(sizes), for_out.split(sizes)
        of_cell = factors[:, : 3 * hidden].unflatten(1, (3, hidden)).split(sizes)
        for time in reversed(range(len(sizes))):
            size, here, cell_here = sizes[time], grads[time], cell_grads[time]
            into, cell_into = (grads[time - 1], cell_grads[time - 1]) if time else (grad_state, grad_first)
            cell_here.addcmul_(here, to_cells[time])
            of_cell[time].mul_(cell_here.unsqueeze(1))
            of_output[time].mul_(here)
            into[:size].addmm_(by_step[time], weight.t())
            cell_into[:size].addcmul_(cell_here, forgets[time])
        return factors, factors.t().mm(_before(state, outputs, sizes)), grad_state, grad_first, None


def tanh_backward(grad, output, grad_input=None) -> torch.Tensor:
    """`grad * (1 - output ** 2)`, in one pass."""
    if grad_input is None:
        return torch.ops.aten.tanh_backward(grad, output)
    return torch.ops.aten.tanh_backward.grad_input(grad, output, grad_input=grad_input)


def sigmoid_backward(grad, output, grad_input) -> torch.Tensor:
    """`grad * output * (1 - output)`, in one pass."""
    return torch.ops.aten.sigmoid_backward.grad_input(grad, output, grad_input=grad_input)


def _before(state, values, sizes) -> torch.Tensor:
    """What was before each row: `(rows, hidden)`."""
    steps = values.split(sizes)
    return torch.cat(
        [state[: sizes[0]], *(step[:size] for step, size in zip(steps, sizes[1:], strict=False))]
    )
