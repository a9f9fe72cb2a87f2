"""Differences of scores, divided into groups: what the leaves of CoRe's tree stand for."""

import torch

# On either side of 0.
_GROUPS = 8
LEAVES = 2 * _GROUPS


def differences(points: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """|s_i - s_j| of all pairs i < j of one key; NaN is the key of nobody. Shape: `(pairs,)` float64."""
    points, found = points.double(), []
    for key in keys[keys.isfinite()].unique():
        own = points[keys == key]
        found += [(own[place + 1 :] - own[place]).abs() for place in range(len(own) - 1)]
    return torch.cat(found) if found else points[:0]


def group_edges(apart: torch.Tensor, largest: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the group of every leaf begins and how wide it is, from the most negative to the most positive.

    With the differences sorted, a_0 to a_(n-1), group j of 8 reaches from a_floor(j/8 (n-1)) to
    a_floor((j+1)/8 (n-1)); the first from 0, the last to `largest`, and, as nothing lies behind it, on from
    there. The negative half is the mirror image. A group of no width counts as 1 wide, so that its place is
    the difference to where it begins.

    Args:
        apart: `(pairs,)`, `differences`; where there are none, the groups are equally wide.

    Shape: Output: `(LEAVES,)` float64 each.
    """
    places = torch.arange(_GROUPS + 1, dtype=torch.float64, device=apart.device) / _GROUPS
    if len(apart):
        edges = apart.double().sort().values[(places * (len(apart) - 1)).floor().long()]
        edges[0], edges[-1] = 0, largest
    else:
        edges = places * largest
    width = edges.diff()
    width[width == 0] = 1
    # The mirror image of [left, right] begins at -right.
    return torch.cat([-edges[1:].flip(0), edges[:-1]]), torch.cat([width.flip(0), width])


def place_in_group(
    delta: torch.Tensor, left: torch.Tensor, width: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The leaf of every difference, int64, and its place there, 0 to 1; beyond the ends further.

    Positive groups hold their left end, negative ones their right. `left[leaf] + width[leaf] * place` is the
    difference again.

    Shape: all `(pairs,)`; left, width: `group_edges`.
    """
    starts = left[_GROUPS:].contiguous()
    group = (torch.searchsorted(starts, delta.abs(), right=True) - 1).clamp(min=0)
    leaf = torch.where(delta < 0, _GROUPS - 1 - group, _GROUPS + group)
    return leaf, (delta - left[leaf]) / width[leaf]
