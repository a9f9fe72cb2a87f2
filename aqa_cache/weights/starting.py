"""The weights that fine-tuning starts from: those that made a cache's features, unless others are given."""

import logging
from pathlib import Path

from ..backbones.names import KNOWN_BACKBONES
from ..backbones.registry import get_backbone
from ..cache_file.feature_spec import FeatureSpec
from ..disk.tensor_file import sha256_of
from ..errors import CacheError, WeightsError
from .published import WEIGHTS
from .random_weights import RANDOM, random_weights_path
from .resolving import Weights, resolve_weights
from .tuned import FILE

_log = logging.getLogger(__name__)


def starting_weights(cache_spec: FeatureSpec, features_path: Path, given: str | None) -> Weights:
    """Find the weights that a backbone starts from when it is trained on the clips of a cache.

    The network is fed as the cache's features were made, whatever input the weights expect.

    Args:
        features_path: of the cache; random weights lie beside it, others are looked for beside it and in the
            current folder.
        given: the name of published weights, a path, or `random`; None: those that made the features.

    Returns:
        Weights of the cache's backbone; without `given`, their SHA-256 is the one that the cache records.

    Raises:
        CacheError: imported features, or a backbone that is not known here.
        WeightsError: they cannot be found, or are not what they were.
    """
    if not cache_spec.weights_sha256:
        raise CacheError(
            f"{features_path}: these features were imported (backbone {cache_spec.backbone!r}), so it is"
            " not known how to make them again; make a cache from the videos with aqa-extract"
        )
    if not KNOWN_BACKBONES.knows(cache_spec.backbone):
        raise CacheError(f"{features_path}: {KNOWN_BACKBONES.unknown(cache_spec.backbone)}")
    if given is None:
        return _recorded(cache_spec, features_path)
    random_path = random_weights_path(features_path, cache_spec.backbone)
    weights = resolve_weights(cache_spec.backbone, given, random_path=random_path)
    if weights.sha256 != cache_spec.weights_sha256:
        _log.warning(
            "Training starts from other weights than those that made the features:"
            f" {_named(weights.name, weights.sha256)}; the features:"
            f" {_named(cache_spec.weights, cache_spec.weights_sha256)}."
        )
        theirs, ours = weights.preprocessing.record(), cache_spec.preprocessing
        differing = [
            f"{name} {value}, fed {ours.get(name)}"
            for name, value in theirs.items()
            if value != ours.get(name)
        ]
        if differing:
            _log.warning(
                f"{weights.name} expects other input than the cache's, which it is fed:"
                f" {'; '.join(differing)}."
            )
    return weights


def _recorded(spec: FeatureSpec, features_path: Path) -> Weights:
    """The weights that made the features."""
    if spec.weights == f"{RANDOM} (seed 0)":
        path = random_weights_path(features_path, spec.backbone)
        there = path.exists()
        weights = resolve_weights(spec.backbone, RANDOM, random_path=path)
        if weights.sha256 != spec.weights_sha256:
            what = (
                "are not those" if there else "were made anew with this version of torch, and are not those"
            )
            raise WeightsError(
                f"{path}: these random weights {what} that made the features of {features_path.name} (SHA-256"
                f" {weights.sha256[:12]}…, expected {spec.weights_sha256[:12]}…); extract the features"
                " again, or give --weights random to start from these"
            )
        return weights
    made_with = f"{features_path}: was made with weights {_named(spec.weights, spec.weights_sha256)}"
    if spec.weights in WEIGHTS:
        weights = resolve_weights(spec.backbone, spec.weights)
        if weights.sha256 != spec.weights_sha256:
            raise WeightsError(
                f"{made_with}; what is published by this name now is {weights.path} (SHA-256"
                f" {weights.sha256[:12]}…). Give the path of the former with --weights, or --weights"
                f" {spec.weights} to start from the latter"
            )
        return weights
    if get_backbone(spec.backbone).published is not None:
        weights = resolve_weights(spec.backbone)
        if weights.sha256 == spec.weights_sha256:
            return weights
    others = []
    for folder in dict.fromkeys((features_path.absolute().parent, Path.cwd())):
        # Where runs lie unless another place is given.
        for place in (folder / spec.weights, folder / "runs" / spec.weights):
            file = place / FILE if place.is_dir() else place
            if file.is_file():
                if sha256_of(file) == spec.weights_sha256:
                    return resolve_weights(spec.backbone, str(place))
                others.append(str(file))
    found = (
        f"{', '.join(others)}: another file of this name"
        if others
        else "no such file or run is beside it, or here"
    )
    raise WeightsError(f"{made_with}; {found}. Give their path with --weights")


def _named(name: str, sha256: str) -> str:
    return f"{name} (SHA-256 {sha256[:12]}…)"
