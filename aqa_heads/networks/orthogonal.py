"""Orthogonal initialisation of large weights, in place."""

import torch
from torch import nn

_BLOCK = 1024


@torch.no_grad()
def orthogonal_(weight: torch.Tensor, gain: float = 1.0) -> torch.Tensor:
    """As `nn.init.orthogonal_`, and from the same random numbers the same matrix, but for one that is tall at
    little cost.

    With R from the Cholesky factorisation of GᵀG, G R⁻¹ is the Q of the QR factorisation of G whose R has a
    positive diagonal, which is the one that torch draws (uniform over matrices with orthonormal columns). A
    normal matrix at least twice as tall as wide has a condition number near 6 or less, for which this is as
    exact as Householder's way; a squarer one goes to torch. Beside the weight itself it needs 8 bytes per
    squared column, where torch needs two more copies of the weight.

    Args:
        gain: the columns' length.

    Shape:
        - weight: `(rows, columns)`, float32 or float64; filled in place and returned.
    """
    rows, columns = weight.shape
    if weight.is_meta or rows < 2 * columns:
        return nn.init.orthogonal_(weight, gain)
    weight.normal_()
    gram = weight.new_zeros(columns, columns)
    for start in range(0, columns, _BLOCK):
        block = slice(start, start + _BLOCK)
        # The factorisation reads the upper triangle alone.
        torch.mm(weight[:, : start + _BLOCK].T, weight[:, block], out=gram[: start + _BLOCK, block])
    factor = torch.linalg.cholesky(gram, upper=True)
    del gram
    for start in range(0, rows, _BLOCK):
        part = weight[start : start + _BLOCK]
        part.copy_(torch.linalg.solve_triangular(factor, part, upper=True, left=False)).mul_(gain)
    return weight
