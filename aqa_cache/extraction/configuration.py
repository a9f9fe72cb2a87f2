"""What an extraction is asked to do."""

from dataclasses import dataclass, field

from ..backbones.names import KNOWN_BACKBONES
from ..clips.rule import ClipRule
from ..clips.views import PLAIN, View
from ..errors import AqaError
from ..remote.fetched import MOST_BYTES
from ..short_repr import short_repr
from ..video.decoding import DECODE_TIMEOUT
from .shards import Shard

PRECISIONS = ("fp32", "tf32", "fp16", "bf16")
DTYPES = ("auto", "float16", "float32")
ENGINES = ("auto", "torch", "openvino")
TOKENS = ("clip", "time")
PREPROCESS = ("weights", "mtl-aqa")
VERIFY = ("stat", "sha256")
ON_ERROR = ("skip", "stop")


@dataclass(frozen=True)
class ExtractionConfig:
    """What `extract` is asked to do; the fields mirror the options of `aqa-extract`.

    Args:
        backbone: `c3d`, `s3d`, … (`aqa_cache.backbones.names`), one that was registered, one of another
            library as `hf:…` or `timm:…` (docs/backbones.md), or an own one as MODULE:ATTRIBUTE
            (docs/extending.md).
        weights: published name, path, or `random`; None: the backbone's own.
        weights_name: what weights at a path are called in the record; None: as the file, or the run, is.
        preprocess: `weights` (what the weights were trained on) or `mtl-aqa`.
        size: frames' side in pixels; None: what the weights were trained on.
        tokens: `clip`, one row a clip, or `time`, one row a time step inside it.
        views: of every sample, the plain one first (`aqa_cache.clips.views.parse_views`).
        device: `auto`, `cpu`, `cuda`, `cuda:1`, …
        precision: of the backbone: `fp32`, `tf32`, `fp16` or `bf16`; one that differs too much from fp32 is
            not used.
        engine: what runs the backbone: `torch`; `openvino`, on a CPU; `auto`: that of the cache that is
            continued, else OpenVINO where it is installed and can, else torch.
        compile: run the backbone through torch.compile.
        deterministic: on a GPU, let cuDNN take only algorithms that give the same bits every time.
        batch_size: clips in a batch; every batch has this shape. None: 8 on a CPU, on a GPU the largest of
            64, 32, … that fits.
        workers: decoding threads; None: as many as cores, at most 32.
        threads: of the arithmetic on a CPU; None: as torch is set, all cores.
        stream: index of the video stream; None: the best one.
        decode_timeout: seconds without a new frame after which a video is given up.
        verify: `stat` (a video has changed if its size or time of modification has) or `sha256` (if its
            content has).
        on_error: `skip` (list the sample and go on) or `stop`.
        dtype: of the stored features: `auto`, `float16` or `float32`.
        prune: when continuing a cache, drop samples that are no longer asked for.
        allow_mixed: when continuing a cache, accept features made with another device, precision or library
            version.
        shard: which shard of the videos this process does.
        cache_bytes: of videos from a URL, how many bytes are on this machine at once.

    Raises:
        AqaError: a value that cannot be.
    """

    backbone: str = "s3d"
    weights: str | None = None
    weights_name: str | None = None
    preprocess: str = "weights"
    size: int | None = None
    clip_rule: ClipRule = field(default_factory=ClipRule)
    tokens: str = "clip"
    views: tuple[View, ...] = (PLAIN,)
    device: str = "auto"
    precision: str = "fp32"
    engine: str = "auto"
    compile: bool = False
    deterministic: bool = False
    batch_size: int | None = None
    workers: int | None = None
    threads: int | None = None
    stream: int | None = None
    decode_timeout: float = DECODE_TIMEOUT
    verify: str = "stat"
    on_error: str = "skip"
    dtype: str = "auto"
    prune: bool = False
    allow_mixed: bool = False
    shard: Shard = Shard()
    cache_bytes: int = MOST_BYTES

    __repr__ = short_repr

    def __post_init__(self):
        object.__setattr__(self, "backbone", KNOWN_BACKBONES.give(self.backbone))
        for name in ("batch_size", "workers", "threads", "cache_bytes"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise AqaError(f"{name} is {value}, it must be at least 1")
        if self.decode_timeout <= 0:
            raise AqaError(f"decode_timeout is {self.decode_timeout} seconds, it must be more than 0")
        for name, choices in (
            ("preprocess", PREPROCESS),
            ("precision", PRECISIONS),
            ("engine", ENGINES),
            ("tokens", TOKENS),
            ("verify", VERIFY),
            ("on_error", ON_ERROR),
            ("dtype", DTYPES),
        ):
            if getattr(self, name) not in choices:
                raise AqaError(f"unknown {name} {getattr(self, name)!r}; choose one of {', '.join(choices)}")
