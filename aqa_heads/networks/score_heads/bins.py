"""A score, or a mark, as a distribution over evenly spaced points."""

import torch

# In bins: how many there are within the range of the training labels, the standard deviation of a label, and
# how far they go on at either end. Six standard deviations hold all of a label but 1e-9 of it.
_WITHIN, _SIGMA, _BEYOND = 101, 5, 30
BINS = _WITHIN + 2 * _BEYOND


def empty_bins() -> torch.Tensor:
    """The buffer of a head, before it has seen the training labels. Shape: `(BINS,)` float64."""
    return torch.zeros(BINS, dtype=torch.float64)


def bins_over(labels: torch.Tensor, least: float) -> torch.Tensor:
    """The points of the bins, so that every label lies six standard deviations from the nearest end.

    Args:
        labels: `(n,)` of training, finite; least: the range to take where they are all equal.

    Shape: Output: `(BINS,)` float64.
    """
    low, high = labels.double().min(), labels.double().max()
    span = high - low if high > low else torch.full_like(low, least)
    places = torch.arange(BINS, dtype=torch.float64, device=labels.device) - (BINS - 1) / 2
    return (low + high) / 2 + span / (_WITHIN - 1) * places


def label_log_probabilities(bins: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Of a normal distribution around each label, its standard deviation 5 % of the training labels' range.

    p_k proportional to exp(-(v_k - label)^2 / (2 sigma^2)), of sum 1.

    Shape: labels: `(...)`; Output: `(..., BINS)` float64.
    """
    sigma = _SIGMA * (bins[1] - bins[0])
    return (-((labels.double().unsqueeze(-1) - bins) / sigma).square() / 2).log_softmax(-1)


def divergence(label: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
    """KL(label || said) = sum over k of p_k (log p_k - log q_k), of log-probabilities: `(...)`."""
    return (label.exp() * (label - said)).sum(-1)


def moments(points: torch.Tensor, probabilities: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Expectation and variance over the last dimension: `(...)` each."""
    mean = (probabilities * points).sum(-1)
    return mean, (probabilities * (points - mean.unsqueeze(-1)).square()).sum(-1)


def most_likely(points: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """The point of the largest probability, the lowest of equals: `(...)`."""
    return points[probabilities.argmax(-1)]
