"""A small extraction into a place, with a backbone of a few thousand weights, and what one machine makes."""

import h5py
from tiny_backbone import register_tiny, write_weights

from aqa_cache.clips.rule import ClipRule
from aqa_cache.extraction.configuration import ExtractionConfig
from aqa_cache.extraction.run import extract


def tiny_fleet(folder, patch):
    """The settings of an extraction that takes a second; a unit for nearly every sample."""
    register_tiny(patch)
    patch.setattr("aqa_cache.fleet.units.UNIT_FRAMES", (30, 30))
    patch.setenv("AQA_CACHE", str(folder / "cache"))
    write_weights(folder / "tiny.pth")
    return ExtractionConfig(
        "tiny", weights=str(folder / "tiny.pth"), batch_size=4, workers=2, clip_rule=ClipRule(clip_stride=4)
    )


def everything(path, but=("samples/video_mtime_ns",)):
    """Every attribute and dataset of a cache, as bytes.

    Args:
        but: a store has its own time of every video.
    """
    with h5py.File(path) as file:
        found = {f"/{name}": file.attrs[name] for name in file.attrs}

        def take(name, item):
            found.update({f"{name}:{key}": item.attrs[key] for key in item.attrs})
            if isinstance(item, h5py.Dataset) and name not in but:
                found[name] = (item.shape, item.dtype, item[()].tobytes())

        file.visititems(take)
    return found


def one_machine(videos, path, config, **options):
    extract(videos, path, config)
    return everything(path, **options)
