"""Closed-form references: a linear score on the mean of a sample's clip features, fitted at once and not
trained.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import TrainingError

# In units of the features' mean squared length and of the scores' standard deviation.
ALPHAS = np.logspace(-6, 2, 25)
_COSTS = np.logspace(-2, 3, 11)
_EPSILON = 0.1
# Of `pose-dct-svr`, as its authors had them: libsvm's nu-SVR with its default nu.
_NU, _COST = 0.5, 1e-3
_FOLDS = 5
# With fewer samples a held-out error says nothing about which penalty is best.
FEWEST_TO_CHOOSE = 10
# Weights, intercept, penalty, how it was chosen.
_Fit = tuple[np.ndarray, float, float, str]
_Held = Sequence[Sequence[int]] | None


@dataclass(frozen=True)
class LinearReference:
    """score = features · weights + bias.

    Args:
        weights: `(dim,)` float64, points per unit of a feature.
        bias: in points.
        chosen: the penalty, `{"alpha": …}` of `ridge` or `{"C": …}` of `c3d-svr`; empty for a constant
            prediction.
        note: how the penalty was chosen, one sentence for a person.
    """

    weights: np.ndarray
    bias: float
    chosen: dict[str, float]
    note: str

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Scores in points, `(samples,)` float64, of features `(samples, dim)`."""
        return features.astype(np.float64) @ self.weights + self.bias


def fit_reference(
    name: str,
    features: np.ndarray,
    scores: np.ndarray,
    groups: Sequence[str | None],
    seed: int,
    folds: Sequence[Sequence[int]] | None = None,
) -> LinearReference:
    """Fit a linear reference on training samples; the same input gives the same bits.

    The penalty is chosen from a logarithmic grid by the squared error on held-out training samples: whole
    groups, in at most five folds, where every sample has a group and there are two or more; else one sample
    at a time (`ridge`), or five random folds (`c3d-svr`). With fewer than ten samples it is not chosen:
    `alpha` is then the features' mean squared length about their mean, and `C` the scores' standard deviation
    divided by that. `pose-dct-svr` has C = 1e-3 in the units of features and scores, always.

    Args:
        name: `ridge` (squared error, squared penalty), `c3d-svr` (support vector regression with linear
            kernel, error free below 0.1 standard deviations of the scores), `pose-dct-svr` or
            `pose-dct-svr-normalised` (linear nu-support vector regression, nu = .5).
        features: `(samples, dim)` float32, the mean of a sample's clip features, standardised or not.
        scores: `(samples,)`, in points.
        groups: of each sample, None where it has none.
        seed: of the random folds; without effect on `ridge`.
        folds: the places of the samples that are held out together, to choose the penalty by these and not by
            `groups`: `data.folds.penalty_folds`.

    Raises:
        TrainingError: fewer than two samples.

    Source: `c3d-svr` is Parmar & Morris 2017, arXiv:1611.05125: averaged clip features, linear support vector
    regression.
    Differs: whatever features the cache holds, not those of fc6; they are taken as given and not brought to
    length 1; the penalty is chosen within the training samples. `pose-dct-svr` is the regression of
    Pirsiavash, Vondrick & Torralba, ECCV 2014, whose features are raw; its normalised variant is not theirs.
    """
    assert len(features) == len(scores) == len(groups)
    if len(features) < 2:
        raise TrainingError(f"{name} needs at least 2 training samples with a score, got {len(features)}")
    # The only copy, which is centred and scaled where it lies: of many samples it is large.
    inputs, scores = features.astype(np.float64), scores.astype(np.float64)
    centre, mean, spread = inputs.mean(0), scores.mean(), scores.std()
    if np.ptp(features, axis=0).max() == 0 or np.ptp(scores) == 0:
        same = "scores" if np.ptp(scores) == 0 else "features"
        return LinearReference(
            np.zeros(len(centre)), float(mean), {}, f"constant: all training samples have the same {same}"
        )
    if name == "pose-dct-svr":
        chosen = {"C": _COST}
        return replace(
            fit_at(name, features, scores, chosen), note=f"C = {_COST} and nu = {_NU}, as published"
        )
    # Both penalties see lengths and angles alone, so the samples' own subspace (samples numbers each) gives
    # the same answer as all dimensions, many times faster.
    inputs -= centre
    length = np.sqrt(np.square(inputs).sum(1).mean())
    inputs /= length
    basis = None
    if len(inputs) < inputs.shape[1]:
        basis, triangle = np.linalg.qr(inputs.T)
        inputs = triangle.T
    weights, intercept, chosen, note = _FITS[name](inputs, (scores - mean) / spread, groups, seed, folds)
    weights = (weights if basis is None else basis @ weights) * spread / length
    bias = mean + spread * intercept - centre @ weights
    # A penalty in the units that it has without our scaling.
    chosen = {"alpha": chosen * length**2} if name == "ridge" else {"C": chosen * spread / length**2}
    return LinearReference(weights, float(bias), {key: float(value) for key, value in chosen.items()}, note)


def left_out_spread(features: np.ndarray, scores: np.ndarray, ridge: LinearReference) -> float:
    """The standard deviation of what `ridge` leaves of each score when it is fitted to the others.

    At the same penalty, that is e_i / (1 - h_i), h_i the sample's own influence on its prediction.

    Args:
        features, scores: those that it was fitted to; ridge: `fit_reference("ridge", …)`.
    """
    features, scores = features.astype(np.float64), scores.astype(np.float64)
    left, n = scores - ridge.predict(features), len(scores)
    influence = np.full(n, 1 / n)
    if alpha := ridge.chosen.get("alpha"):
        centred = features - features.mean(0)
        if n <= centred.shape[1]:
            inner = centred @ centred.T
            influence += np.linalg.solve(inner + alpha * np.eye(n), inner).diagonal()
        else:
            inner = centred.T @ centred + alpha * np.eye(centred.shape[1])
            influence += (centred * np.linalg.solve(inner, centred.T).T).sum(1)
    return float(np.sqrt(np.square(left / np.maximum(1 - influence, 1e-6)).mean()))


def fit_at(
    name: str, features: np.ndarray, scores: np.ndarray, chosen: Mapping[str, float]
) -> LinearReference:
    """Fit a linear reference at a penalty that was chosen before.

    Args:
        name, features, scores: as `fit_reference`.
        chosen: as `LinearReference.chosen` has it.
    """
    features, scores = features.astype(np.float64), scores.astype(np.float64)
    if not chosen or np.ptp(features, axis=0).max() == 0 or np.ptp(scores) == 0:
        return LinearReference(np.zeros(features.shape[1]), float(scores.mean()), {}, "constant")
    if name == "ridge":
        weights, bias = _fitted_ridge(features, scores, chosen["alpha"])
    else:
        from sklearn.svm import SVR, NuSVR

        if name == "c3d-svr":
            model = SVR(kernel="linear", C=chosen["C"], epsilon=_EPSILON * scores.std())
        else:
            model = NuSVR(kernel="linear", C=chosen["C"], nu=_NU)
        model.fit(features, scores)
        weights, bias = model.coef_[0], model.intercept_[0]
    return LinearReference(np.array(weights), float(bias), dict(chosen), "the penalty was chosen before")


def _ridge(
    inputs: np.ndarray, targets: np.ndarray, groups: Sequence[str | None], seed: int, held: _Held
) -> _Fit:
    if len(inputs) < FEWEST_TO_CHOOSE:
        return *_fitted_ridge(inputs, targets, 1.0), 1.0, _too_few("alpha", inputs)
    folds, note = _folds(inputs, groups, None, held)
    if folds is None:
        errors = left_out_errors(inputs, targets)
    else:
        errors = np.mean([held_out_errors(inputs, targets, *fold) for fold in folds], 0)
    alpha = ALPHAS[errors.argmin()]
    return *_fitted_ridge(inputs, targets, alpha), alpha, f"alpha by {note}"


def _fitted_ridge(inputs: np.ndarray, targets: np.ndarray, alpha: float) -> tuple[np.ndarray, float]:
    """Weights and intercept of scikit-learn's `Ridge`, by the same operations; without it, as it takes nearly
    a second to import.
    """
    from scipy.linalg import solve

    def solved(inner: np.ndarray, right: np.ndarray) -> np.ndarray:
        inner.flat[:: len(inner) + 1] += alpha
        return solve(inner, right, assume_a="pos")

    centre, mean = inputs.mean(0), targets.mean()
    known, left = inputs - centre, targets - mean
    if len(known) < known.shape[1]:
        weights = known.T @ solved(known @ known.T, left)
    else:
        weights = solved(known.T @ known, known.T @ left)
    return weights, mean - centre @ weights


def held_out_errors(
    inputs: np.ndarray, targets: np.ndarray, train: Sequence[int], test: Sequence[int]
) -> np.ndarray:
    """Squared errors on `test` of ridge regressions fitted to `train`, the mean for each of `ALPHAS`.

    They are those of a `Ridge` for each penalty, by one decomposition for all of them.

    Args:
        inputs: `(samples, dim)` float64; targets: `(samples,)`.
        train, test: places of samples.
    """
    centre, mean = inputs[train].mean(0), targets[train].mean()
    known, new, left = inputs[train] - centre, inputs[test] - centre, targets[train] - mean
    if len(known) <= known.shape[1]:
        predicted = predicted_by_penalty(known @ known.T, new @ known.T, left)
    else:
        predicted = predicted_by_penalty(known.T @ known, new, known.T @ left)
    return np.square(mean + predicted - targets[test][:, None]).mean(0)


def left_out_errors(inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Squared errors of ridge regressions that are each fitted to all samples but the one predicted, the mean
    for each of `ALPHAS`: e_i / (1 - h_i), of one fit to all, h_i a sample's own influence on its prediction.

    Args:
        inputs: `(samples, dim)` float64, not fewer samples than columns; targets: `(samples,)`.
    """
    known, left = inputs - inputs.mean(0), targets - targets.mean()
    values, vectors = np.linalg.eigh(known.T @ known)
    turned = known @ vectors
    right, squares = turned.T @ left, np.square(turned)
    errors = []
    for alpha in ALPHAS:
        shrunk = 1 / (np.maximum(values, 0) + alpha)
        influence = squares @ shrunk + 1 / len(inputs)
        errors.append(np.square((left - turned @ (shrunk * right)) / (1 - influence)).mean())
    return np.array(errors)


def predicted_by_penalty(inner: np.ndarray, across: np.ndarray, left: np.ndarray) -> np.ndarray:
    """What ridge regressions of each of `ALPHAS` predict: `across (inner + alpha)^-1 left`, of one
    decomposition.

    Args:
        inner: `(n, n)` float64, products of the centred training samples with each other, or of columns.
        across: `(samples, n)`, those of the predicted samples with them, or these samples' columns.
        left: `(n,)`, the centred targets, or the columns' products with them.

    Returns:
        `(samples, penalties)`, about the training targets' mean.
    """
    values, vectors = np.linalg.eigh(inner)
    weights = (vectors.T @ left)[:, None] / (np.maximum(values, 0)[:, None] + ALPHAS)
    return (across @ vectors) @ weights


def _support_vectors(
    inputs: np.ndarray, targets: np.ndarray, groups: Sequence[str | None], seed: int, held: _Held
) -> _Fit:
    from sklearn.svm import SVR

    return _by_cost(SVR(kernel="linear", epsilon=_EPSILON), inputs, targets, groups, seed, held)


def _nu_support_vectors(
    inputs: np.ndarray, targets: np.ndarray, groups: Sequence[str | None], seed: int, held: _Held
) -> _Fit:
    from sklearn.svm import NuSVR

    return _by_cost(NuSVR(kernel="linear", nu=_NU), inputs, targets, groups, seed, held)


def _by_cost(
    model, inputs: np.ndarray, targets: np.ndarray, groups: Sequence[str | None], seed: int, held: _Held
) -> _Fit:
    """A support vector regression at the C that predicts held-out samples best."""
    from sklearn.model_selection import GridSearchCV

    if len(inputs) < FEWEST_TO_CHOOSE:
        cost, note = 1.0, _too_few("C", inputs)
    else:
        folds, how = _folds(inputs, groups, seed, held)
        search = GridSearchCV(model, {"C": _COSTS}, cv=folds, scoring="neg_mean_squared_error", refit=False)
        search.fit(inputs, targets)
        cost, note = search.best_params_["C"], f"C by {how}"
    model.set_params(C=cost).fit(inputs, targets)
    return model.coef_[0], model.intercept_[0], cost, note


def _folds(inputs: np.ndarray, groups: Sequence[str | None], seed: int | None, held: _Held):
    """Folds for cross-validation and what they are; None: leave one out. Random folds only with a `seed`."""
    if held is not None:
        everyone = np.arange(len(inputs))
        folds = [(np.setdiff1d(everyone, fold), np.asarray(fold)) for fold in held]
        return folds, f"squared error on training samples held out as test samples are, {len(folds)} folds"
    known = None not in groups
    number = min(_FOLDS, len(set(groups)))
    if known and number > 1:
        from sklearn.model_selection import GroupKFold

        names = {group: place for place, group in enumerate(dict.fromkeys(groups))}
        folds = GroupKFold(number).split(inputs, groups=[names[group] for group in groups])
        return list(folds), f"squared error on whole groups held out of training, {number} folds"
    if seed is None:
        return None, "squared error on training samples held out one at a time"
    from sklearn.model_selection import KFold

    folds = KFold(_FOLDS, shuffle=True, random_state=seed % 2**32).split(inputs)
    return list(folds), f"squared error on training samples held out, {_FOLDS} random folds"


def _too_few(penalty: str, inputs: np.ndarray) -> str:
    return f"{penalty} fixed: {len(inputs)} training samples are too few to choose it by"


_FITS = {
    "ridge": _ridge,
    "c3d-svr": _support_vectors,
    "pose-dct-svr-normalised": _nu_support_vectors,
}
