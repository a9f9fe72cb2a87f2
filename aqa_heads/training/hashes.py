"""By what labels and features are known again."""

import hashlib
from dataclasses import fields
from typing import Any

import numpy as np

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.feature_spec import canonical_json
from aqa_cache.cache_file.reader import FeatureCache

_HASHED = 64  # samples, enough to tell one extraction from another
_COLUMNS = [field.name for field in fields(Sample)]


def annotations_sha256(cache: FeatureCache) -> str:
    """SHA-256 (hex) of all annotations in the cache, in its order."""
    digest = hashlib.sha256()
    for number, sample in enumerate(cache.samples):
        line = canonical_json(_plain({name: getattr(sample, name) for name in _COLUMNS}))
        digest.update((line if number == 0 else "\n" + line).encode())
    return digest.hexdigest()


def features_sha256(cache: FeatureCache) -> str:
    """SHA-256 (hex) of which samples have features, how many clips in which views, and the values of some
    of them, spread evenly.
    """
    digest = hashlib.sha256(cache.lengths.tobytes())
    having = [index for index in range(len(cache)) if cache.has_features(index)]
    for place in (
        np.unique(np.linspace(0, len(having) - 1, min(len(having), _HASHED)).astype(int)) if having else ()
    ):
        digest.update(cache.features(having[place]).tobytes())
    return digest.hexdigest()


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    return record | {"judges": [None if mark != mark else mark for mark in record["judges"]]}
