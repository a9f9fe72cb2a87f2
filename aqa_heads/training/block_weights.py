"""How much each block of what an encoder gives counts, chosen before training by ridge regressions."""

from collections.abc import Sequence

import numpy as np

from .references import ALPHAS, FEWEST_TO_CHOOSE, predicted_by_penalty

# Lengths of mean, spread and number of the clips beside each other. The first is that of the mean alone.
LENGTHS = ((1, 0, 0), (1, 1, 0), (1, 0, 1), (1, 1, 1), (0, 1, 1), (1, 0.3, 0.3))
_MOST = 2000  # samples that choose: of more, every other, third, …


def choose_block_weights(
    blocks: Sequence[np.ndarray], scores: np.ndarray, folds: Sequence[Sequence[int]] | None
) -> list[float]:
    """The factors of the blocks with which a ridge regression predicts held-out samples best.

    Every block is brought to the length of the first (the root of its mean squared distance from its mean)
    and then given one of `LENGTHS`; columns of a block keep their proportions. A block that says nothing
    about the scores is so left out, instead of drowning what the others say. With fewer than ten samples, or
    equal scores, it is the first block alone; without a score, all blocks are as long as the first.

    Args:
        blocks: `(samples, columns)` each, as many as `LENGTHS` has places.
        scores: `(samples,)`, NaN where there is none.
        folds: places, among the samples with a score, that are held out together; None: each by itself.

    Returns:
        A factor for each block; 0 leaves it out.
    """
    blocks, known = [block.astype(np.float64) for block in blocks], ~np.isnan(scores)
    if not known.any():
        return _factors([_length(block) for block in blocks], (1,) * len(blocks))
    blocks, scores = [block[known] for block in blocks], scores[known]
    own, chosen = [_length(block) for block in blocks], LENGTHS[0]
    if len(scores) >= FEWEST_TO_CHOOSE and np.ptp(scores) > 0:
        kept = np.arange(0, len(scores), -(-len(scores) // _MOST))
        grams = [_gram(block[kept], length) for block, length in zip(blocks, own, strict=True)]
        place = {index: number for number, index in enumerate(kept.tolist())}
        held = (
            [[number] for number in range(len(kept))]
            if folds is None
            else [part for fold in folds if (part := [place[index] for index in fold if index in place])]
        )
        errors = [
            _error(sum(part**2 * gram for part, gram in zip(lengths, grams, strict=True)), scores[kept], held)
            for lengths in LENGTHS
        ]
        chosen = LENGTHS[int(np.argmin(errors))]
    return _factors(own, chosen)


def _factors(own: Sequence[float], lengths: Sequence[float]) -> list[float]:
    """That bring blocks of their own lengths to these, the first's own being 1; 0 for one that does not
    vary.
    """
    unit = own[0] or 1.0
    return [float(part * unit / each) if each else 0.0 for part, each in zip(lengths, own, strict=True)]


def _length(block: np.ndarray) -> float:
    return np.sqrt(np.square(block - block.mean(0)).sum(1).mean())


def _gram(block: np.ndarray, length: float) -> np.ndarray:
    centred = (block - block.mean(0)) / (length or 1.0)
    return centred @ centred.T


def _error(gram: np.ndarray, scores: np.ndarray, folds: Sequence[Sequence[int]]) -> float:
    """Of the best penalty the mean squared error on samples that are held out; `gram` holds the products of
    all samples.
    """
    if all(len(fold) == 1 for fold in folds):
        return float(np.min(_left_out_one_by_one(gram, scores)))
    squares, everyone = np.zeros(len(ALPHAS)), np.arange(len(scores))
    for fold in folds:
        train = np.setdiff1d(everyone, fold)
        inner, across = gram[np.ix_(train, train)], gram[np.ix_(fold, train)]
        across = across - across.mean(1, keepdims=True) - inner.mean(0) + inner.mean()
        mean = scores[train].mean()
        predicted = mean + predicted_by_penalty(_centred(inner), across, scores[train] - mean)
        squares += np.square(predicted - scores[fold][:, None]).sum(0)
    return float(squares.min() / sum(map(len, folds)))


def _left_out_one_by_one(gram: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Mean squared error by penalty: (y - prediction) / (1 - leverage) of each sample."""
    values, vectors = np.linalg.eigh(_centred(gram))
    values = np.maximum(values, 0)
    known = vectors.T @ (scores - scores.mean())
    errors = []
    for alpha in ALPHAS:
        rest = alpha / (values + alpha)
        leverage = np.square(vectors) @ (1 - rest) + 1 / len(scores)
        errors.append(np.square((vectors @ (rest * known)) / (1 - leverage)).mean())
    return np.array(errors)


def _centred(gram: np.ndarray) -> np.ndarray:
    return gram - gram.mean(0) - gram.mean(1, keepdims=True) + gram.mean()
