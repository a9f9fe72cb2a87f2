import subprocess
import sys

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import KFold
from sklearn.svm import SVR

from aqa_heads.errors import TrainingError
from aqa_heads.training.references import (
    ALPHAS,
    fit_at,
    fit_reference,
    held_out_errors,
    left_out_errors,
    left_out_spread,
)

REFERENCES = ("ridge", "c3d-svr")


def data(samples, dim, noise=0.1, seed=0):
    generator = np.random.default_rng(seed)
    features = generator.normal(3, 2, (samples, dim)).astype(np.float32)
    scores = 60 + features @ generator.normal(size=dim) + noise * generator.normal(size=samples)
    return features, scores


def none(samples):
    return [None] * samples


@pytest.mark.parametrize("samples, dim", [(60, 4), (30, 50)])
def test_ridge_is_scikit_learns_with_the_chosen_alpha(samples, dim):
    features, scores = data(samples, dim)
    found = fit_reference("ridge", features, scores, none(samples), 0)
    plain = Ridge(alpha=found.chosen["alpha"]).fit(features.astype(np.float64), scores)
    np.testing.assert_allclose(found.weights, plain.coef_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.predict(features), plain.predict(features), rtol=1e-9)


@pytest.mark.parametrize("samples, dim, repeated", [(40, 12, 1), (30, 200, 1), (24, 50, 4)])
def test_all_penalties_at_once_are_scikit_learns_one_by_one(samples, dim, repeated):
    """Also with samples that are there several times, whose products have no inverse."""
    random = np.random.default_rng(samples)
    inputs = np.repeat(random.standard_normal((samples, dim)) / np.sqrt(dim), repeated, 0)
    targets = inputs @ random.standard_normal(dim) + 0.3 * random.standard_normal(len(inputs))
    folds = list(KFold(5).split(inputs))
    for train, test in folds:
        expected = []
        for alpha in ALPHAS:
            model = Ridge(alpha=alpha, solver="svd").fit(inputs[train], targets[train])
            expected.append(np.square(model.predict(inputs[test]) - targets[test]).mean())
        np.testing.assert_allclose(held_out_errors(inputs, targets, train, test), expected, rtol=1e-5)
    centred = inputs - inputs.mean(0)
    length = np.sqrt(np.square(centred).sum(1).mean())
    chosen = RidgeCV(ALPHAS, cv=folds, scoring="neg_mean_squared_error")
    chosen.fit(centred / length, (targets - targets.mean()) / targets.std())
    held = [test for _, test in folds]
    found = fit_reference("ridge", inputs, targets, none(len(inputs)), 0, held)
    np.testing.assert_allclose(found.chosen["alpha"], chosen.alpha_ * length**2, rtol=1e-9)


@pytest.mark.parametrize("samples, dim", [(60, 4), (30, 50)])
def test_svr_is_scikit_learns_with_the_chosen_cost(samples, dim):
    features, scores = data(samples, dim, noise=5)
    found = fit_reference("c3d-svr", features, scores, none(samples), 0)
    plain = SVR(kernel="linear", C=found.chosen["C"], epsilon=0.1 * scores.std(), tol=1e-8)
    plain.fit(features.astype(np.float64), scores)
    difference = found.predict(features) - plain.predict(features)
    assert np.abs(difference).max() < 0.01 * scores.std()


@pytest.mark.parametrize("name", REFERENCES)
def test_a_linear_truth_is_found_and_noise_is_not(name):
    features, scores = data(200, 5)
    found = fit_reference(name, features[:150], scores[:150], none(150), 0)
    assert np.corrcoef(found.predict(features[150:]), scores[150:])[0, 1] > 0.99
    noise = np.random.default_rng(1).normal(60, 10, 40)
    found = fit_reference(name, data(40, 500)[0], noise, none(40), 0)
    assert found.predict(data(300, 500, seed=2)[0]).std() < 0.5 * noise.std()


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("samples", range(2, 12))
def test_few_samples_are_fitted_and_it_is_said_how(name, samples):
    features, scores = data(samples, 20)
    found = fit_reference(name, features, scores, none(samples), 0)
    assert found.predict(features).shape == (samples,) and np.isfinite(found.predict(features)).all()
    assert ("too few" in found.note) == (samples < 10) and len(found.chosen) == 1


@pytest.mark.parametrize("name", REFERENCES)
def test_groups_are_held_out_whole(name):
    # Within a group the features tell the group and its score apart from nothing else: a sample left out
    # alone is predicted by its neighbours, a group left out is not.
    generator = np.random.default_rng(0)
    groups = [f"event {number // 8}" for number in range(80)]
    centres, levels = generator.normal(size=(10, 60)), generator.normal(0, 10, 10)
    features = np.repeat(centres, 8, 0) + 0.1 * generator.normal(size=(80, 60))
    scores = 60 + np.repeat(levels, 8) + 0.5 * generator.normal(size=80)
    grouped, single = (
        fit_reference(name, features.astype(np.float32), scores, which, 0) for which in (groups, none(80))
    )
    strength = [
        max(found.chosen.get("alpha", 0), 1 / found.chosen.get("C", np.inf)) for found in (grouped, single)
    ]
    assert strength[0] > 10 * strength[1]
    assert "whole groups held out" in grouped.note and "group" not in single.note
    two = fit_reference(name, features.astype(np.float32), scores, ["a", "b"] * 40, 0)
    assert "2 folds" in two.note
    one_lacks = fit_reference(name, features.astype(np.float32), scores, [None, *groups[1:]], 0)
    assert one_lacks.note == single.note


@pytest.mark.parametrize("name", REFERENCES)
def test_constants_give_the_mean_score(name):
    features, scores = data(20, 3)
    for given, truth, same in (
        (np.ones((20, 3), np.float32), scores, "features"),
        (features, np.full(20, 7.0), "scores"),
    ):
        found = fit_reference(name, given, truth, none(20), 0)
        np.testing.assert_allclose(found.predict(given), truth.mean())
        assert found.chosen == {} and found.note == f"constant: all training samples have the same {same}"
    features[:, 1] = 5
    assert fit_reference(name, features, scores, none(20), 0).weights[1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", REFERENCES)
def test_same_input_gives_the_same_bits(name):
    features, scores = data(30, 40, noise=5)
    first, second = (fit_reference(name, features, scores, none(30), 5) for _ in range(2))
    assert np.array_equal(first.weights, second.weights) and (first.bias, first.chosen) == (
        second.bias,
        second.chosen,
    )


@pytest.mark.parametrize("name", REFERENCES)
def test_units_of_features_and_scores_do_not_matter(name):
    features, scores = data(30, 40, noise=5)
    one = fit_reference(name, features, scores, none(30), 0).predict(features)
    other = fit_reference(name, features * 1024, scores / 8, none(30), 0).predict(features * 1024)
    np.testing.assert_allclose(one, 8 * other, rtol=1e-6)


def test_one_sample_is_one_message():
    with pytest.raises(TrainingError, match="ridge needs at least 2 training samples with a score, got 1"):
        fit_reference("ridge", np.ones((1, 3), np.float32), np.ones(1), [None], 0)


def test_a_ridge_regression_loads_no_scikit_learn():
    code = """import sys, numpy as np
from aqa_heads.training.references import fit_reference
scores = np.arange(20.0)
fit_reference("ridge", scores[:, None] ** [1, 2], scores, [None] * 20, 0)
print("sklearn" in sys.modules)"""
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
    )


@pytest.mark.parametrize("samples, dim, repeated", [(40, 12, 1), (30, 30, 1), (24, 10, 4)])
def test_errors_of_samples_left_out_one_by_one_are_scikit_learns(samples, dim, repeated):
    random = np.random.default_rng(samples)
    inputs = np.repeat(random.standard_normal((samples, dim)) / np.sqrt(dim), repeated, 0)
    targets = inputs @ random.standard_normal(dim) + 0.3 * random.standard_normal(len(inputs))
    plain = RidgeCV(ALPHAS, store_cv_results=True).fit(inputs, targets)
    errors = left_out_errors(inputs, targets)
    np.testing.assert_allclose(errors, plain.cv_results_.mean(0), rtol=1e-7)
    assert ALPHAS[errors.argmin()] == plain.alpha_


@pytest.mark.parametrize("samples, dim", [(60, 4), (30, 50)])
@pytest.mark.parametrize("alpha", [1e-6, 1.0, 100.0])
def test_a_fit_at_a_penalty_is_scikit_learns(samples, dim, alpha):
    features, scores = data(samples, dim)
    plain = Ridge(alpha=alpha).fit(features.astype(np.float64), scores)
    found = fit_at("ridge", features, scores, {"alpha": alpha})
    np.testing.assert_allclose(found.weights, plain.coef_, rtol=1e-10)
    np.testing.assert_allclose(found.bias, plain.intercept_, rtol=1e-10)


@pytest.mark.parametrize("samples", [9, 40])
def test_what_is_left_of_a_sample_is_what_a_fit_to_the_others_leaves(samples):
    generator = np.random.default_rng(0)
    features = generator.normal(size=(samples, 12))
    scores = features[:, 0] + generator.normal(size=samples)
    ridge = fit_at("ridge", features, scores, {"alpha": 3.0})
    left = []
    for place in range(samples):
        others = np.delete(np.arange(samples), place)
        fit = fit_at("ridge", features[others], scores[others], {"alpha": 3.0})
        left.append(scores[place] - fit.predict(features[[place]])[0])
    assert left_out_spread(features, scores, ridge) == pytest.approx(np.sqrt(np.mean(np.square(left))))
