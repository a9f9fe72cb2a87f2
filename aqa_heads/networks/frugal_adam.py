"""Adam for weights whose gradient is never whole: applied inside the backward pass, with half the state."""

from collections.abc import Mapping

import numpy as np
import torch
from torch.optim.adam import adam

# Elements of a weight that are updated at a time: on the CPU what its caches hold.
_CHUNK = {"cpu": 2**19, "cuda": 2**24}
_DROPPED_BITS = 16  # of float32 in bfloat16


class FrugalAdam:
    """Adam (Kingma & Ba) that a backward pass calls weight by weight, with the gradient as a product of two
    matrices.

    The product is computed a few rows at a time and each piece applied at once, so that memory holds the
    weights, the state and one piece. Both moments are kept in bfloat16, 4 bytes a weight in place of 8. The
    second is rounded at random to one of its two neighbours, right on average: it changes by a thousandth a
    step, which rounding to the nearest would lose. The random numbers follow from `seed` and the step alone.

    A step is one backward pass, then `step()`. Anything else (a second backward pass, gradients summed over
    batches) is an error, since the weights have moved by then.

    Args:
        weights: name to weight, each of one or two dimensions.
        lr, betas, eps: as of `torch.optim.Adam`. `lr` may be set between steps.
        weight_decay: as of `torch.optim.AdamW`: apart from the gradient.
        seed: of the rounding.
        exact: keep both moments in the weights' own precision.
        chunk: elements of a weight that are updated at a time; None: by the device.

    Raises:
        ValueError: the weights are not float32 and `exact` is not set.

    Source: Kingma & Ba 2015, arXiv:1412.6980; the update itself is torch's.
    """

    def __init__(
        self,
        weights: Mapping[str, torch.Tensor],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        seed: int = 0,
        exact: bool = False,
        chunk: int | None = None,
    ):
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.seed, self.exact, self.steps = seed, exact, 0
        for name, weight in weights.items():
            if not exact and weight.dtype != torch.float32:
                raise ValueError(f"{name} is {weight.dtype}, expected torch.float32; or set exact=True")
        self._moments = {
            name: tuple(
                torch.zeros_like(weight, dtype=weight.dtype if exact else torch.bfloat16) for _ in range(2)
            )
            for name, weight in weights.items()
        }
        self._chunk = chunk or _CHUNK[next(iter(weights.values())).device.type]
        self._updated: set[str] = set()
        self._noise: tuple[int, torch.Tensor] | None = None

    def check(self, name: str, steps: int) -> None:
        """Whether a backward pass may update the weight now.

        Args:
            steps: `self.steps` when its forward pass was made.

        Raises:
            RuntimeError: the weight has moved since then.
        """
        if name in self._updated or steps != self.steps:
            raise RuntimeError(
                f"{name} was already updated since this forward pass: the update happens inside backward(),"
                " so each forward pass has one backward pass, and then step() of its FrugalAdam; gradients"
                " cannot be accumulated and a graph cannot be used twice"
            )

    @torch.no_grad()
    def descend(self, name: str, weight: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
        """Update one weight in place, along the gradient `left.T @ right`.

        Args:
            weight: what the constructor was given under this name, where it is now.

        Shape:
            - left: `(samples, rows)`; right: `(samples, columns)`, or `(samples, 1)` for a weight `(rows,)`.

        Raises:
            RuntimeError: it was updated in this step already, or has moved to another device or precision.
        """
        self.check(name, self.steps)
        self._updated.add(name)
        first, second = self._moments[name]
        if (weight.device, weight.dtype) != (first.device, first.dtype if self.exact else torch.float32):
            raise RuntimeError(
                f"{name} is {weight.dtype} on {weight.device}, which it was not when its FrugalAdam was made;"
                " move the model first, then set the optimiser"
            )
        matrices = [tensor.view(len(tensor), -1) for tensor in (weight, first, second)]
        rows = max(1, self._chunk // matrices[0].shape[1])
        step = torch.tensor(self.steps, dtype=torch.float32, device=weight.device)
        for start in range(0, len(weight), rows):
            gradient = left[:, start : start + rows].T @ right
            self._update(*(matrix[start : start + rows] for matrix in matrices), gradient, step)

    def _update(self, weight, first, second, gradient, step) -> None:
        moments = (first, second) if self.exact else (first.float(), second.float())
        adam(
            [weight],
            [gradient],
            [moments[0]],
            [moments[1]],
            [],
            [step.clone()],
            foreach=False,
            fused=True,
            decoupled_weight_decay=True,
            amsgrad=False,
            beta1=self.betas[0],
            beta2=self.betas[1],
            lr=self.lr,
            weight_decay=self.weight_decay,
            eps=self.eps,
            maximize=False,
        )
        if not self.exact:
            first.copy_(moments[0])
            # The bits that bfloat16 drops, plus as many random ones, carry into those it keeps as often as
            # they should.
            bits = moments[1].view(torch.int32)
            bits += self._random_bits(bits.numel()).view_as(bits)
            bits &= -(1 << _DROPPED_BITS)
            second.copy_(moments[1])

    def _random_bits(self, number: int) -> torch.Tensor:
        """The same for all pieces of one step, since what counts is that they differ from step to step."""
        if self._noise is None or self._noise[0] != self.steps:
            self._noise = (self.steps, self._draw())
        return self._noise[1][:number]

    def _draw(self) -> torch.Tensor:
        moments = [first for first, _ in self._moments.values()]
        mixed = np.random.SeedSequence(self.seed, spawn_key=(self.steps,)).generate_state(1)[0]
        generator = torch.Generator(moments[0].device).manual_seed(int(mixed))
        longest = max(min(first.numel(), max(self._chunk, first[0].numel())) for first in moments)
        return torch.randint(
            1 << _DROPPED_BITS, (longest,), dtype=torch.int32, device=generator.device, generator=generator
        )

    def step(self) -> None:
        """End the step whose backward pass is over; without one, nothing happens."""
        if self._updated:
            self.steps += 1
            self._updated.clear()

    def state_dict(self) -> dict:
        """Steps, seed and moments; the moments are not copied. What the constructor is given is not in it but
        the seed.
        """
        return {"steps": self.steps, "seed": self.seed, "moments": self.moments()}

    def moments(self) -> dict[str, torch.Tensor]:
        """The moments themselves, as `exp_avg.NAME` and `exp_avg_sq.NAME`."""
        kinds = ("exp_avg", "exp_avg_sq")
        return {
            f"{kind}.{name}": moment
            for name, moments in self._moments.items()
            for kind, moment in zip(kinds, moments, strict=True)
        }

    def load_state_dict(self, state: Mapping) -> None:
        """Continue where `state_dict()` was taken, equal to the bit.

        Raises:
            ValueError: it is of other weights, or of another precision.
        """
        moments = self.moments()
        if described(moments) != described(state["moments"]):
            raise ValueError(
                "the optimiser state is of other weights or of another precision; nothing was loaded"
            )
        for name, moment in moments.items():
            moment.copy_(state["moments"][name])
        self.steps, self.seed = state["steps"], state["seed"]
        self._updated.clear()
        self._noise = None


def described(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple]:
    """Shape and dtype of each."""
    return {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}
