"""A cache whose features are the clips themselves, of videos whose frames carry their number."""

import numpy as np
import torch
from numbered_video import image_number

from aqa_cache.annotations import Sample
from aqa_cache.backbones.inference import Model
from aqa_cache.cache_file.feature_spec import FeatureSpec
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.writer import write_cache
from aqa_cache.clips.preprocess import Preprocessing
from aqa_cache.clips.rule import ClipRule
from aqa_cache.clips.views import PLAIN, parse_views
from aqa_cache.extraction.pipeline import Pipeline
from aqa_cache.frame_store.preparation import prepare_frames
from aqa_cache.frame_store.reader import FrameStore

# Features are pixels: 255 stays 255, and nothing is subtracted.
SIZE = 16
PIXELS = Preprocessing(resize=(SIZE, SIZE), crop=SIZE, mean=(0, 0, 0), std=(1, 1, 1), value_range=255)
AUGMENTED = parse_views("flip,jitter=3")
LONG, SHORT = "long.mp4", "short.mp4"
SAMPLES = [
    Sample("first", LONG, 1, 41),
    Sample("inside", LONG, 100, 160),
    Sample("same frames", LONG, 110, 170),
    Sample("last", LONG, 240, 299),
    Sample("to the end", LONG, 240, 300),
    Sample("open", LONG, 230),
    Sample("whole", SHORT),
    Sample("too long", SHORT, 10, 100),
]


def write_pixel_cache(path, folder, samples=SAMPLES, rule=None, views=(PLAIN,), stream=None):
    """Extract with a backbone whose feature of a clip is the clip itself."""
    rule = rule or ClipRule()
    model = Model(torch.nn.Flatten(), torch.device("cpu"), "fp32", PIXELS, 4)
    line = Pipeline(model, rule, folder, samples, views=views, stream=stream, workers=2)
    records = sorted(line.records(), key=lambda record: samples.index(record.sample))
    spec = FeatureSpec(
        "pixels",
        "all of them",
        3 * rule.clip_len * SIZE**2,
        "none",
        "",
        PIXELS.record(),
        {**rule.record(), "stream": stream},
    )
    write_cache(path, records, spec, views=[view.name for view in views], dtype="float32")
    return path


def prepare(path, cache, folder, views=AUGMENTED, **options):
    with FeatureCache(cache) as opened:
        prepare_frames(path, opened, folder, views, workers=2, **options)
    return FrameStore(path)


def clips_of(store, sample_id, view=0):
    return np.stack([store.clip(sample_id, view, number) for number in range(store.count(sample_id))])


def numbers_of(store, sample_id, view=0):
    """The numbers of the frames of all clips of a view, read from the pixels."""
    clips = clips_of(store, sample_id, view)[:, :, :, :: -1 if store.views[view].flip else 1]
    scale = 64 // SIZE
    return [[image_number(frame.repeat(scale, 0).repeat(scale, 1)) for frame in clip] for clip in clips]
