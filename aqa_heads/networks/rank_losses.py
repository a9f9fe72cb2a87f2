"""Losses of the order of scores, to be added to a score head's own; see `model.AddedLoss`.

Both look at one batch: of few samples they know little of the order of all. Every sample of a batch is
compared with every other, so a larger `--batch-size` makes them mean more; with one sample they are 0.
"""

import torch

_TEMPERATURE = 0.1


def soft_spearman(predicted: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """1 - Spearman's correlation, of ranks that can be differentiated.

    1 - rho = 6 sum over i of (r_i - s_i)^2 / (n (n^2 - 1)), r_i = 1/2 + sum over j of
    sigmoid((p_i - p_j) / 0.1), s_i the same of the true scores with a step for the sigmoid, 1/2 among equals.

    Source: the ranks, Qin, Liu & Li 2010, A general approximation framework for direct optimization of
    information retrieval measures, Information Retrieval 13; for Spearman's correlation, Blondel et al. 2020,
    arXiv:2002.08871, who project onto the permutahedron instead.
    """
    n = len(true)
    if n < 2:
        return predicted.sum() * 0
    ranks = torch.sigmoid((predicted.unsqueeze(1) - predicted) / _TEMPERATURE).sum(1)
    true_ranks = ((true.unsqueeze(1) - true).sign() + 1).sum(1) / 2
    return 6 * (ranks - true_ranks).square().sum() / (n * (n**2 - 1))


def pairwise_hinge(predicted: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Mean over the pairs with t_i > t_j of max(0, min(t_i - t_j, 1) - (p_i - p_j)).

    Source: Joachims 2002, Optimizing search engines using clickthrough data, KDD, and for action quality
    Li, Chai & Chen 2018, End-to-end learning for action quality assessment, PCM. Differs: a pair has
    to be apart by 1 only where its true scores are, so that the true scores have no loss.
    """
    apart = true.unsqueeze(1) - true
    pairs = apart > 0
    lacking = torch.relu(apart.clamp(max=1) - (predicted.unsqueeze(1) - predicted))
    return (lacking * pairs).sum() / pairs.sum().clamp(min=1)
