"""How the features were made that a run learned from."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from aqa_cache.cache_file.feature_spec import FeatureSpec
from aqa_cache.cache_file.reader import FeatureCache

from ..errors import RunError
from .trained import Trained

# What end-to-end training evaluates with.
_TUNED_NUMERICS = {"engine": "torch", "precision": "fp32", "batch_size": 8}


@dataclass(frozen=True)
class MadeWith:
    """All that is needed to make such features of a new video.

    Args:
        numerics: of the cache.
        dtype: of its features, to which new ones are rounded.
        frame_rate: of its videos; None: not known.
        weights: where the backbone lies, if that is known for sure.
    """

    spec: FeatureSpec
    numerics: dict[str, Any]
    dtype: str
    frame_rate: float | None
    weights: Path | None = None

    def rounded(self, features: np.ndarray) -> np.ndarray:
        """Features as the cache would have kept them, float32."""
        with np.errstate(over="ignore"):
            return features.astype(self.dtype).astype(np.float32)


def made_with(trained: Trained, cache: FeatureCache | None = None) -> MadeWith:
    """How the features of a run were made: as it says itself, or a cache of the same spec.

    Raises:
        RunError: the run does not say it and there is no cache, or it was imported; or the cache means
            something else.
    """
    features = trained.config.get("features") or {}
    expected = features.get("fingerprint")
    if cache is not None:
        if not trained.tuned_itself:
            check_fingerprint(trained, cache)
        found = MadeWith(replace(cache.spec, tuned=None), cache.numerics, str(cache.dtype), cache.frame_rate)
    elif (spec := recorded_spec(trained.config)) is not None:
        if spec.fingerprint != expected:
            raise RunError(
                f"{trained.path}: what it says of its features does not give their fingerprint; train it"
                " again, or give the cache that it was trained on with --features"
            )
        found = MadeWith(
            spec,
            features.get("numerics") or {},
            features.get("dtype") or "float32",
            features.get("frame_rate"),
        )
    else:
        raise RunError(
            f"{trained.path}: is of an earlier version and does not say how its features were made; give the"
            f" cache that it was trained on with --features ({features.get('path', 'FEATS.h5')}), or train it"
            " again"
        )
    if not found.spec.weights_sha256:
        raise RunError(
            f"{trained.path}: was trained on imported features (backbone {found.spec.backbone!r}), so it"
            " is not known how to make them of a video. Make the new ones with the same program, put them"
            " into a cache (aqa-data import-features, or import-keypoints), and score that: --features"
            " NEW.h5, without a video"
        )
    return _with_its_backbone(trained, found) if trained.tuned_itself else found


def recorded_spec(config: Mapping[str, Any]) -> FeatureSpec | None:
    """What the content of a `config.json` says of the features; None where it says nothing.

    Until November 2026 the key was `meaning`.
    """
    features = config.get("features") or {}
    record = features.get("spec") or features.get("meaning")
    return FeatureSpec(**record) if record else None


def weights_told(
    trained: Trained, made: MadeWith, given: str | None, cache: FeatureCache | None = None
) -> tuple[str | None, list[Path]]:
    """The name or path of the backbone's weights, where it is known, and paths beside which they may lie: the
    cache that was trained on, the run, another cache.
    """
    trained_on = Path(str((trained.config.get("features") or {}).get("path") or "feats.h5"))
    near = [trained_on, trained.path.absolute(), trained.path.absolute().parent]
    return given or (made.weights and str(made.weights)), near + ([] if cache is None else [cache.path])


def check_fingerprint(trained: Trained, cache: FeatureCache) -> None:
    """Whether features of a cache are of the kind that a run learned from.

    Raises:
        RunError: they are not.
    """
    features = trained.config.get("features") or {}
    expected, found = features.get("fingerprint"), cache.fingerprint
    if trained.tuned_itself:  # what its own backbone gives
        expected = made_with(trained).spec.fingerprint
    if expected != found:
        theirs = None if trained.tuned_itself else recorded_spec(trained.config)
        lines = [] if theirs is None else theirs.differences(cache.spec)
        differing = "".join(f"\n  {line}" for line in lines)
        raise RunError(
            f"{cache.path}: its features (fingerprint {found[:12]}…) were made in another way than those that"
            f" {trained.path} learned from ({str(expected)[:12]}…); give features that were made in the same"
            f" way{' (there, here):' if lines else ''}{differing}"
        )


def _with_its_backbone(trained: Trained, started: MadeWith) -> MadeWith:
    """With the backbone that an end-to-end run leaves in place of the one that it started from."""
    from aqa_cache.disk.tensor_file import sha256_of
    from aqa_cache.weights.tuned import FILE

    path = trained.path / FILE
    if not path.is_file():
        raise RunError(
            f"{trained.path}: trained its backbone, too, and {FILE} is not there; name the whole run folder"
        )
    spec = replace(started.spec, weights=trained.name, weights_sha256=sha256_of(path))
    return MadeWith(spec, _TUNED_NUMERICS, "float32", started.frame_rate, path)
