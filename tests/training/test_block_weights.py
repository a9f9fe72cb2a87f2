import numpy as np
import pytest
from sklearn.linear_model import Ridge

from aqa_heads.training import block_weights
from aqa_heads.training.block_weights import LENGTHS, choose_block_weights
from aqa_heads.training.references import ALPHAS


def problem(seed=0, samples=40):
    """Scores that the first block, the second, or the third tells."""
    rng = np.random.default_rng(seed)
    blocks = [rng.normal(3, scale, (samples, columns)) for scale, columns in ((1, 8), (0.01, 30), (5, 1))]
    return blocks, rng


@pytest.mark.parametrize(
    ("tells", "used"), [((0,), {0}), ((0, 1), {0, 1}), ((0, 2), {0, 2}), ((1, 2), {1, 2})]
)
def test_what_says_nothing_is_left_out_whatever_its_unit(tells, used):
    blocks, rng = problem()
    scores = sum(
        (blocks[n] - blocks[n].mean(0)) @ rng.normal(size=blocks[n].shape[1]) / blocks[n].std() for n in tells
    )
    factors = choose_block_weights(blocks, scores, None)
    assert used <= {number for number, factor in enumerate(factors) if factor}
    assert factors == pytest.approx(choose_block_weights([block * 7 for block in blocks], scores, None))


@pytest.mark.parametrize("folds", [None, [[0, 1, 2, 3], [4, 9], list(range(10, 40))]])
def test_the_error_is_that_of_a_ridge_regression_on_held_out_samples(folds, monkeypatch):
    blocks, rng = problem()
    scores, errors = rng.normal(size=40), []
    monkeypatch.setattr(block_weights.np, "argmin", lambda values: errors.append(values) or 0)
    choose_block_weights(blocks, scores, folds)
    unit = [block - block.mean(0) for block in blocks]
    unit = [block / np.sqrt(np.square(block).sum(1).mean()) for block in unit]
    for lengths, found in zip(LENGTHS, errors[0], strict=True):
        inputs = np.concatenate([part * block for part, block in zip(lengths, unit, strict=True)], 1)
        by_alpha = []
        for alpha in ALPHAS:
            squares = []
            for fold in folds or [[index] for index in range(40)]:
                train = np.setdiff1d(range(40), fold)
                model = Ridge(alpha=alpha).fit(inputs[train], scores[train])
                squares += list((model.predict(inputs[fold]) - scores[fold]) ** 2)
            by_alpha.append(np.mean(squares))
        assert found == pytest.approx(min(by_alpha), rel=1e-6)


def test_few_samples_or_equal_scores_keep_to_the_mean():
    blocks, _ = problem(samples=9)
    assert choose_block_weights(blocks, np.arange(9.0), None)[1:] == [0, 0]
    blocks, _ = problem()
    assert choose_block_weights(blocks, np.ones(40), None)[1:] == [0, 0]
    assert choose_block_weights([np.ones((40, 3))] * 3, np.arange(40.0), None) == [0, 0, 0]
