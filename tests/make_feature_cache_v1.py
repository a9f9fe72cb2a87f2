"""Write tests/data/feature_cache_v1.h5. Run once, when version 1 was made; the file is kept as it is from
then on.
"""

from pathlib import Path

import numpy as np

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.feature_spec import FeatureSpec
from aqa_cache.cache_file.record import ClipFeatures, Record
from aqa_cache.cache_file.writer import write_cache


def records() -> list[Record]:
    """Three samples: one with everything and two views, one with nothing but features, one that failed."""

    def clips(count: int, start: int) -> ClipFeatures:
        features = np.arange(count * 4, dtype=np.float32).reshape(count, 4) / 8 + start
        return ClipFeatures(
            features, np.arange(count, dtype=np.int64) * 16 + start, np.arange(count) * 0.64 + start / 25
        )

    full = Sample(
        "01_0001",
        "01.mp4",
        100,
        203,
        "train",
        "event 1",
        "fold a",
        80.5,
        3.5,
        (8.0, 7.5, float("nan")),
        {"position": "pike", "twists": "1.5"},
        "a très bon dive",
        {"nation": "CAN", "speed/km/h": "50"},
    )
    return [
        Record(full, [clips(3, 100), clips(2, 101)], "", 1234, 5678),
        Record(Sample("clip", "folder/clip.mp4"), [clips(1, 0), None], "", 99, 1),
        Record(Sample("gone", "gone.mp4", split="test"), [None, None], "gone (gone.mp4): no such video"),
    ]


SPEC = FeatureSpec(
    "s3d",
    "a layer",
    4,
    "some weights",
    "ab" * 32,
    {"crop": 112, "mean": [0.5, 0.5, 0.5]},
    {"clip_len": 16, "window": None},
)
VIEWS = ("plain", "flip")

if __name__ == "__main__":
    path = Path(__file__).parent / "data" / "feature_cache_v1.h5"
    if path.exists():
        raise SystemExit(f"{path} exists; files of old versions are never written again")
    write_cache(path, records(), SPEC, views=VIEWS, numerics={"device": "cpu"})
