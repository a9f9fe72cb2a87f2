"""What an extraction is asked to do."""

from dataclasses import dataclass, field

from .clips import ClipRule


@dataclass(frozen=True)
class ExtractionConfig:
    """What `extract` is asked to do; the fields mirror the options of `aqa-extract`.

    Args:
        backbone: `c3d` or `s3d`.
        weights: published name, path, or `random`; None: the backbone's own.
        preprocess: `weights` (what the weights were trained on) or `mtl-aqa`.
        size: frames' side in pixels; None: what the weights were trained on.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, …
        precision: of the backbone: `fp32`, `fp16` or `bf16`.
        batch_size: clips in a batch; every batch has this shape.
        workers: decoding threads; None: chosen from the number of cores.
        stream: index of the video stream; None: the best one.
        dtype: of the stored features: `auto`, `float16` or `float32`.
        prune: when continuing a cache, drop samples that are no longer asked for, features and all.
        allow_mixed: when continuing a cache, accept features made with another device, precision or library version.
    """

    backbone: str = "s3d"
    weights: str | None = None
    preprocess: str = "weights"
    size: int | None = None
    clip_rule: ClipRule = field(default_factory=ClipRule)
    device: str = "auto"
    precision: str = "fp32"
    batch_size: int = 8
    workers: int | None = None
    stream: int | None = None
    dtype: str = "auto"
    prune: bool = False
    allow_mixed: bool = False
