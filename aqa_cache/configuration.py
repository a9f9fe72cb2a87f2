"""What an extraction is asked to do."""

from dataclasses import dataclass, field

from .clips import ClipRule
from .shares import Share
from .views import PLAIN, View


@dataclass(frozen=True)
class ExtractionConfig:
    """What `extract` is asked to do; the fields mirror the options of `aqa-extract`.

    Args:
        backbone: `c3d`, `s3d`, … (`aqa_cache.backbone_names`).
        weights: published name, path, or `random`; None: the backbone's own.
        preprocess: `weights` (what the weights were trained on) or `mtl-aqa`.
        size: frames' side in pixels; None: what the weights were trained on.
        views: of every sample, the plain one first (`aqa_cache.views.parse_views`).
        device: `auto`, `cpu`, `cuda`, `cuda:1`, …
        precision: of the backbone: `fp32`, `tf32`, `fp16` or `bf16`; one that differs too much from fp32 is not used.
        compile: run the backbone through torch.compile.
        deterministic: on a GPU, take only algorithms that give the same bits every time.
        batch_size: clips in a batch; every batch has this shape. None: as many as memory holds.
        workers: decoding threads; None: chosen from the number of cores.
        stream: index of the video stream; None: the best one.
        decode_timeout: seconds without a new frame after which a video is given up.
        verify: `stat` (a video has changed if its size or time of modification has) or `sha256` (if its content has).
        on_error: `skip` (list the sample and go on) or `stop`.
        dtype: of the stored features: `auto`, `float16` or `float32`.
        prune: when continuing a cache, drop samples that are no longer asked for.
        allow_mixed: when continuing a cache, accept features made with another device, precision or library version.
        share: which share of the videos this process does.
    """

    backbone: str = "s3d"
    weights: str | None = None
    preprocess: str = "weights"
    size: int | None = None
    clip_rule: ClipRule = field(default_factory=ClipRule)
    views: tuple[View, ...] = (PLAIN,)
    device: str = "auto"
    precision: str = "fp32"
    compile: bool = False
    deterministic: bool = False
    batch_size: int | None = None
    workers: int | None = None
    stream: int | None = None
    decode_timeout: float = 600.0
    verify: str = "stat"
    on_error: str = "skip"
    dtype: str = "auto"
    prune: bool = False
    allow_mixed: bool = False
    share: Share = Share()
