"""What end-to-end training is asked to do, beside what every run is asked."""

import math
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from aqa_cache.clips.views import PLAIN, View, parse_views
from aqa_cache.errors import AqaError
from aqa_cache.short_repr import short_repr

from ..errors import TrainingError

PRECISIONS = ("fp32", "tf32", "fp16", "bf16")
BATCH_NORMS = ("frozen", "chunk")
AUGMENT = "flip,jitter=3"
NO_AUGMENT = "none"
# In C3D a clip takes half a GiB, in S3D at 224 pixels two thirds. One at a time is rounded otherwise than
# several (RESULTS.md).
CLIP_CHUNKS = {"cpu": 2, "cuda": 8}
BACKBONE_LR, LITERAL_BACKBONE_LR = 1e-5, 1e-4


@dataclass(frozen=True)
class FineTuning:
    """How the backbone is trained together with the heads.

    Everything that says what a clip is (clip rule, preprocessing, samples) comes from the feature cache.

    Args:
        videos: the folder that `aqa-extract` was given.
        weights: of the backbone, where training starts; None: those that made the features.
        backbone_lr: learning rate of the backbone; None: 1e-5, with `literal` the original's 1e-4. That of
            the heads and the captioner is the run's.
        freeze_until: everything before this layer, in the network's order, keeps its weights; None: nothing
            does.
        warm_start: a run on the cached features whose encoder, heads and captioner are taken over.
        augment: drawn anew for every sample and epoch: `flip`, `jitter=N`, both, or `none`.
        batch_norm: `frozen`: with the statistics of the weights' own training; `chunk`: with those of each
            chunk of clips.
        clip_chunk: clips that go through the backbone at a time; None: see `CLIP_CHUNKS`. Decides time and
            memory, and no more than the last bits of the result, but for `batch_norm` chunk and networks with
            dropout or stochastic depth.
        precision: of the backbone: `fp32`, `tf32`, or, by autocast, `fp16` (with a gradient scaler) or
            `bf16`. The heads and all evaluation are in float32.
        frames: where the decoded frames are kept; None: beside the cache.
        workers: decoding threads; None: as many as cores.
        decode_timeout: seconds without a new frame after which a video is given up; None: the extraction's.

    Raises:
        TrainingError: a value out of its range.

    Source: Parmar & Morris 2019, who train C3D with everything else by one Adam, lr 1e-4, flip a sample or
    not and shift it by up to 3 frames.
    """

    videos: str | Path
    weights: str | Path | None = None
    backbone_lr: float | None = None
    freeze_until: str | None = None
    warm_start: str | Path | None = None
    augment: str = AUGMENT
    batch_norm: str = "frozen"
    clip_chunk: int | None = None
    precision: str = "fp32"
    frames: str | Path | None = None
    workers: int | None = None
    decode_timeout: float | None = None

    __repr__ = short_repr

    def __post_init__(self):
        for name in ("weights", "augment"):
            if getattr(self, name) is not None and not str(getattr(self, name)).strip():
                raise TrainingError(f"{name} is empty; give a value, or leave it out")
        for name, choices in (("batch_norm", BATCH_NORMS), ("precision", PRECISIONS)):
            if getattr(self, name) not in choices:
                raise TrainingError(
                    f"{name} is {getattr(self, name)!r}, expected one of {', '.join(choices)}"
                )
        for name in ("clip_chunk", "workers"):
            if (value := getattr(self, name)) is not None and not (isinstance(value, int) and value >= 1):
                raise TrainingError(f"{name} is {value}, expected a whole number from 1 on")
        for name in ("backbone_lr", "decode_timeout"):
            if (value := getattr(self, name)) is not None and not 0 < value < math.inf:
                raise TrainingError(f"{name} is {value}, expected a finite number greater than 0")
        try:
            _ = self.views
        except AqaError as error:
            raise TrainingError(f"augment: {error}, or {NO_AUGMENT}") from None

    @property
    def views(self) -> tuple[View, ...]:
        """What `augment` draws from, the plain one first; it alone for `none`."""
        return (PLAIN,) if self.augment.strip() == NO_AUGMENT else parse_views(self.augment)

    @property
    def variant(self) -> list[tuple[str, str]]:
        """What makes its numbers another run's, each as a part of the run's name and of its label."""
        parts = [("end-to-end", "end to end")]
        if self.weights is not None:
            path = Path(self.weights)
            # The file in a run's folder says nothing, the folder does.
            name = path.parent.name if path.name == "backbone.safetensors" and path.parent.name else path.name
            parts.append((f"weights-{name_of_run(name)}", f"from {name}"))
        if self.warm_start is not None:
            parts.append(("warm-start", "warm start"))
        if self.freeze_until is not None:
            parts.append((f"from-{folder_name(self.freeze_until)}", f"trained from {self.freeze_until} on"))
        if set(self.views) != set(parse_views(AUGMENT)):
            parts.append((f"augment-{folder_name(self.augment)}", f"augmentation {self.augment}"))
        if self.batch_norm != "frozen":
            parts.append((f"batch-norm-{self.batch_norm}", f"batch norm by {self.batch_norm}"))
        return parts

    def deciding(self) -> dict[str, Any]:
        """Everything that decides the result, as plain JSON."""
        left_out = ("videos", "frames", "workers", "decode_timeout")
        record = {
            field.name: getattr(self, field.name) for field in fields(self) if field.name not in left_out
        }
        return record | {
            name: None if (path := record[name]) is None else str(path) for name in ("weights", "warm_start")
        }


def name_of_run(name: str) -> str:
    """The name of a run as a part of another's, whose own seed and fold stand at its end."""
    return re.sub(r"-(?=seed|fold)", ".", folder_name(name))


def folder_name(text: str) -> str:
    """Any text as a part of a folder's name."""
    return re.sub(r"[^a-z0-9._]+", "-", text.lower()).strip("-.") or "unnamed"
