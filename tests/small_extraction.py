"""A small extraction, and what it wrote."""

import numpy as np

from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.extraction.run import ExtractionConfig

CONFIG = ExtractionConfig(backbone="s3d", weights="random", size=32, batch_size=4, workers=2)


def contents(path):
    with FeatureCache(path) as cache:
        return {record.sample.sample_id: record for record in cache.records()}


def assert_same_features(one, other):
    assert one.keys() == other.keys()
    for key in one:
        assert one[key].sample == other[key].sample and one[key].reason == other[key].reason
        if one[key].ok:
            for mine, theirs in zip(one[key].views, other[key].views, strict=True):
                assert (mine is None) == (theirs is None)
                if mine is not None:
                    np.testing.assert_array_equal(mine.features, theirs.features)
                    np.testing.assert_array_equal(mine.first_frame, theirs.first_frame)
