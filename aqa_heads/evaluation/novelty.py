"""Whether a sample is unlike all that a model was trained on, by the distance to its nearest neighbours.

Source: k-nearest-neighbour anomaly detection, Ramaswamy, Rastogi & Shim 2000; calibrated as a conformal p
value, Laxhammar & Falkman 2010.
"""

from collections.abc import Hashable, Sequence

import numpy as np

NEIGHBOURS = 5
_CHUNK_VALUES = 16_000_000  # of distances at a time


def share_as_far(
    features: np.ndarray,
    known: np.ndarray,
    groups: Sequence[Hashable] | None = None,
    neighbours: int = NEIGHBOURS,
) -> np.ndarray:
    """Which share of the training samples, and a new one itself, lies as far from the others as it does.

    A sample is flagged where this is at most a rate chosen beforehand, such as .05: of samples that are
    drawn as the training samples were, no larger share is flagged. Each sample's distance is the mean one to
    its nearest neighbours, that of a training sample with the new one among the others and itself left out.

    Args:
        features: of new samples, each judged alone.
        known: of the training samples, of the same kind. Of an encoder that was trained on these they may lie
            closer together than new ones do; then more are flagged than the rate says.
        groups: of the training samples. Given, a sample's own group is left out too, and groups count alike:
            the share is that for a sample of a new group.
        neighbours: at most; fewer where there are fewer.

    Shape:
        - features: `(samples, dim)`; known: `(training samples, dim)`, float, distances are Euclidean.
        - Output: `(samples,)`, at least 1 / (training samples + 1), or with groups 1 / (groups + 1): with
          fewer than `fewest_known(rate)` nothing can be flagged.
    """
    features, known = np.asarray(features, np.float64), np.asarray(known, np.float64)
    if features.ndim != 2 or known.ndim != 2 or features.shape[1] != known.shape[1] or not len(known):
        raise ValueError(
            f"features and known: got shapes {features.shape} and {known.shape}, expected (samples, dim) and"
            " (training samples, dim), at least one"
        )
    if groups is not None and len(groups) != len(known):
        raise ValueError(f"got {len(groups)} groups for {len(known)} training samples, expected one each")
    number = {group: place for place, group in enumerate(dict.fromkeys(groups or range(len(known))))}
    member = np.array([number[group] for group in groups or range(len(known))])
    weight = 1 / np.bincount(member)[member]
    near = _nearest_of_others(known, member, neighbours)
    shares = np.empty(len(features))
    for place, sample in enumerate(features):
        to_known = np.linalg.norm(known - sample, axis=1)
        mine = np.sort(to_known)[:neighbours].mean()
        theirs = np.sort(np.c_[near, to_known], axis=1)[:, :neighbours]
        finite = np.isfinite(theirs)  # those whose own group is all the others have fewer
        theirs = np.where(finite, theirs, 0).sum(1) / finite.sum(1)
        shares[place] = (1 + weight[theirs >= mine].sum()) / (len(number) + 1)
    return shares


def fewest_known(rate: float) -> int:
    """Training samples, or groups, that it takes for anything to be flagged at this rate of false alarms.

    >>> fewest_known(0.05)
    19
    """
    return int(np.ceil(1 / rate - 1 - 1e-9))


def _nearest_of_others(known: np.ndarray, member: np.ndarray, neighbours: int) -> np.ndarray:
    """Distances of each training sample to the nearest of other groups, ascending; infinite where there are
    no more. Output: `(training samples, neighbours)`.
    """
    squares, count = (known**2).sum(1), min(neighbours, len(known))
    near = np.full((len(known), neighbours), np.inf)
    step = max(1, _CHUNK_VALUES // len(known))
    for start in range(0, len(known), step):
        rows = slice(start, start + step)
        apart = np.maximum(squares[rows, None] + squares - 2 * known[rows] @ known.T, 0)
        apart[member[rows, None] == member] = np.inf
        near[rows, :count] = np.sqrt(np.sort(np.partition(apart, count - 1, axis=1)[:, :count], axis=1))
    return near
