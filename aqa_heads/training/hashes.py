"""By what labels and features are known again."""

import hashlib
from dataclasses import asdict

import numpy as np

from aqa_cache.cache_file.meaning import canonical_json
from aqa_cache.cache_file.reader import FeatureCache

_HASHED = 64  # samples, enough to tell one extraction from another


def annotations_sha256(cache: FeatureCache) -> str:
    """Of all annotations in the cache, in its order."""
    text = "\n".join(canonical_json(_plain(asdict(sample))) for sample in cache.samples)
    return hashlib.sha256(text.encode()).hexdigest()


def features_sha256(cache: FeatureCache) -> str:
    """Of which samples have features, how many clips in which views, and of the values of some of them,
    spread evenly.
    """
    digest = hashlib.sha256(cache.count.tobytes())
    having = [index for index in range(len(cache)) if cache.has_features(index)]
    for place in (
        np.unique(np.linspace(0, len(having) - 1, min(len(having), _HASHED)).astype(int)) if having else ()
    ):
        digest.update(cache.features(having[place]).tobytes())
    return digest.hexdigest()


def _plain(record: dict) -> dict:
    return record | {"judges": [None if mark != mark else mark for mark in record["judges"]]}
