"""An LSTM encoder so wide that its gradient does not fit beside it: Exp 7 as the original defines it."""

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from aqa_cache.disk.tensor_file import write_tensors

from ..errors import TrainingError
from .encoders.seam import Encoder
from .frugal_adam import FrugalAdam, described
from .orthogonal import orthogonal_

_READ = 2**24  # elements read from a file at a time


class FrugalLstmEncoder(Encoder):
    """The output of an LSTM at a sample's last clip, trained inside its own backward pass.

    Same function and same parameter names as `LstmEncoder`. Its weights never have a `.grad`: the backward
    pass finishes all gradients of a layer's activations with the weights that the forward pass used, then
    computes the weights' gradient a few rows at a time and updates them at once (`FrugalAdam`). So a step
    is::

        optimiser = torch.optim.Adam(ordinary_parameters(model), lr)
        model.to(device)
        encoder.set_optimiser(lr)
        ...
        loss.backward()  # updates the encoder
        optimiser.step()
        encoder.optimiser.step()

    Gradients are not clipped and cannot be accumulated. Evaluated, there is no dropout and no update.

    Two layers of 8192 on 8192-d features: 4 GiB of weights and 4 GiB of state, and no further copy of either
    as long as nobody clones them; `save` and `load` stream.

    Args:
        dim: size of one clip feature.
        hidden: size of the output.
        layers: stacked LSTMs.
        dropout: between them, in training.

    Shape:
        - features: `(batch, clips, dim)`, zeros beyond a sample's length; lengths: `(batch,)`, at least 1.
        - Output: `(batch, hidden)`; padding changes nothing.

    Source: Exp 7 of the paper. Differs: trained (the original leaves it out of the optimiser), without
    dropout when evaluated, and Adam's moments in bfloat16.
    """

    def __init__(self, dim: int, hidden: int = 8192, layers: int = 2, dropout: float = 0.2):
        super().__init__()
        self.out_dim = hidden
        self.dropout = dropout
        self.optimiser: FrugalAdam | None = None
        self.lstm = _LstmWeights(dim, hidden, layers)

    def set_optimiser(self, lr: float, **options) -> FrugalAdam:
        """Make the optimiser that training needs; the model is on its device by now.

        Args:
            options: of `FrugalAdam`.
        """
        self.optimiser = FrugalAdam(dict(self.lstm.named_parameters()), lr, **options)
        return self.optimiser

    def forward(self, features: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Raises RuntimeError if it is to train and has no optimiser."""
        if self.training and torch.is_grad_enabled() and self.optimiser is None:
            raise RuntimeError(
                "the encoder trains inside backward() and has no optimiser; call set_optimiser(lr) first"
            )
        outputs = features.transpose(0, 1).contiguous()
        for layer in range(self.lstm.layers):
            if layer:
                outputs = F.dropout(outputs, self.dropout, self.training)
            optimiser = self.optimiser if self.training else None
            outputs = _Layer.apply(outputs, *self.lstm.weights_of(layer), layer, optimiser)
        return outputs[lengths - 1, torch.arange(len(lengths), device=lengths.device)]

    def save(self, path: str | Path, *, with_optimiser: bool = True) -> None:
        """Write the weights, and the optimiser's state if it has one, as safetensors. No tensor is copied on
        the CPU.

        Raises:
            AqaError: the file cannot be written; an older one is intact.
        """
        tensors, metadata = self.lstm.state_dict(), {}
        if with_optimiser and self.optimiser is not None:
            tensors |= self.optimiser.moments()
            metadata = {name: str(getattr(self.optimiser, name)) for name in ("steps", "seed")}
        write_tensors(Path(path), tensors, metadata)

    def load(self, path: str | Path, *, with_optimiser: bool = True) -> None:
        """Read what `save` wrote, a piece at a time into the tensors that are there; a resumed run is equal
        to the bit.

        Args:
            with_optimiser: the state too, if an optimiser is set.

        Raises:
            TrainingError: the file is damaged, or of another encoder, or lacks the state.
        """
        from safetensors import SafetensorError, safe_open

        optimiser = self.optimiser if with_optimiser else None
        tensors = self.lstm.state_dict() | (optimiser.moments() if optimiser else {})
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                found = {}
                for name in file.keys():  # noqa: SIM118
                    piece = file.get_slice(name)
                    found[name] = (tuple(piece.get_shape()), piece[:1].dtype)
            if optimiser and "steps" not in metadata:
                raise TrainingError(
                    f"{path}: holds weights without the optimiser's state; training cannot go on from it"
                )
            for name, expected in described(tensors).items():
                if found.get(name) != expected:
                    raise TrainingError(
                        f"{path}: {name} is {found.get(name)}, expected {expected}; "
                        "it was saved by an encoder of another size or precision"
                    )
            _read(path, tensors)
        except (SafetensorError, OSError) as error:
            raise TrainingError(
                f"{path}: cannot be read as safetensors ({error}); the run has to start anew"
            ) from None
        if optimiser:
            optimiser.load_state_dict(
                {
                    "steps": int(metadata["steps"]),
                    "seed": int(metadata["seed"]),
                    "moments": optimiser.moments(),
                }
            )


def ordinary_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters for an ordinary optimiser: all but those of frugal encoders, which update themselves."""
    frugal = {
        parameter
        for module in model.modules()
        if isinstance(module, FrugalLstmEncoder)
        for parameter in module.parameters()
    }
    return [parameter for parameter in model.parameters() if parameter not in frugal]


def frugal_optimisers(model: nn.Module, lr: float, **options) -> list[FrugalAdam]:
    """The optimisers of the frugal encoders in `model`, newly made; see `FrugalLstmEncoder.set_optimiser`."""
    encoders = [module for module in model.modules() if isinstance(module, FrugalLstmEncoder)]
    return [encoder.set_optimiser(lr, **options) for encoder in encoders]


class _LstmWeights(nn.Module):
    """The parameters of an `nn.LSTM`, by the same names, as the original initialises them."""

    def __init__(self, dim: int, hidden: int, layers: int):
        super().__init__()
        self.layers = layers
        bound = 1 / math.sqrt(hidden)
        for layer in range(layers):
            shapes = {"weight_ih": (4 * hidden, hidden if layer else dim), "weight_hh": (4 * hidden, hidden)}
            shapes |= {"bias_ih": (4 * hidden,), "bias_hh": (4 * hidden,)}
            for name, shape in shapes.items():
                weight = nn.Parameter(torch.empty(shape))
                if layer == 0 and len(shape) == 2:
                    orthogonal_(weight, math.sqrt(2))
                else:
                    nn.init.uniform_(weight, -bound, bound)
                self.register_parameter(f"{name}_l{layer}", weight)

    def weights_of(self, layer: int) -> list[nn.Parameter]:
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        return [getattr(self, f"{name}_l{layer}") for name in names]


class _Layer(torch.autograd.Function):
    """One LSTM from a zero state, whose backward pass updates its weights.

    Shape:
        - inputs: `(clips, batch, dim)`; output: `(clips, batch, hidden)`.
        - optimiser: None: weights are left as they are.
    """

    @staticmethod
    def forward(ctx, inputs, weight_ih, weight_hh, bias_ih, bias_hh, layer, optimiser):
        gates = F.linear(inputs, weight_ih, bias_ih + bias_hh)
        outputs = gates.new_empty(*gates.shape[:2], weight_hh.shape[1])
        cells = torch.empty_like(outputs)
        for time, gate in enumerate(gates):
            if time:
                gate.addmm_(outputs[time - 1], weight_hh.T)
            i, f, g, o = gate.chunk(4, 1)
            i.sigmoid_(), f.sigmoid_(), g.tanh_(), o.sigmoid_()
            torch.mul(i, g, out=cells[time])
            if time:
                cells[time].addcmul_(f, cells[time - 1])
            torch.mul(o, cells[time].tanh(), out=outputs[time])
        ctx.save_for_backward(inputs, gates, cells, outputs)
        # Not among the saved tensors, which must not change before the backward pass: `check` sees to it with
        # better words.
        ctx.weights = [weight.detach() for weight in (weight_ih, weight_hh, bias_ih, bias_hh)]
        ctx.layer, ctx.optimiser, ctx.steps = layer, optimiser, optimiser and optimiser.steps
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx, gradients):
        inputs, gates, cells, outputs = ctx.saved_tensors
        weight_ih, weight_hh, bias_ih, bias_hh = ctx.weights
        if ctx.optimiser is not None:
            ctx.optimiser.check(f"weight_ih_l{ctx.layer}", ctx.steps)
        before = torch.empty_like(gates)  # gradients of the gates before their sigmoid or tanh
        from_next_output = from_next_cell = torch.zeros_like(gradients[0])
        for time in reversed(range(len(gates))):
            i, f, g, o = gates[time].chunk(4, 1)
            squashed = cells[time].tanh()
            output = gradients[time] + from_next_output
            cell = from_next_cell + output * o * (1 - squashed * squashed)
            last_cell = cells[time - 1] if time else torch.zeros_like(cell)
            parts = cell * g * i * (1 - i), cell * last_cell * f * (1 - f), cell * i * (1 - g * g)
            torch.cat([*parts, output * squashed * o * (1 - o)], 1, out=before[time])
            from_next_cell = cell * f
            if time:
                from_next_output = before[time] @ weight_hh
        to_inputs = before @ weight_ih if ctx.needs_input_grad[0] else None
        if ctx.optimiser is not None:
            # From here on the weights are no longer those of the forward pass.
            over_all = before.flatten(0, 1)
            ones = over_all.new_ones(len(over_all), 1)
            for name, weight, left, right in (
                ("weight_ih", weight_ih, over_all, inputs.flatten(0, 1)),
                ("weight_hh", weight_hh, before[1:].flatten(0, 1), outputs[:-1].flatten(0, 1)),
                ("bias_ih", bias_ih, over_all, ones),
                ("bias_hh", bias_hh, over_all, ones),
            ):
                ctx.optimiser.descend(f"{name}_l{ctx.layer}", weight, left, right)
        return to_inputs, None, None, None, None, None, None


def _read(path: str | Path, tensors: Mapping[str, torch.Tensor]) -> None:
    from safetensors import safe_open

    for name, tensor in tensors.items():
        rows = max(1, _READ // tensor[0].numel())
        for start in range(0, len(tensor), rows):
            # Opened anew for each piece: pages of the file that were touched count as this process's memory
            # until then.
            with safe_open(path, "pt") as file:
                tensor[start : start + rows].copy_(file.get_slice(name)[start : start + rows])
