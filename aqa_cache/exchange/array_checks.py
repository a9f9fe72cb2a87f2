"""Whether arrays can be features: each by itself, beside the others, and beside its sample."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..annotations import Sample
from ..cache_file.schema import PLAIN_VIEW
from ..errors import AqaError
from .feature_files import FeatureFile

# What is wrong with the content of arrays: what to expect and do, by kind. Every kind is one paragraph that
# lists its samples.
EXPECTED = {
    "unreadable": "cannot be used; save them again",
    "dtype": (
        "are not floating-point numbers; if they really are features, convert them with .astype('float32')"
    ),
    "shape": "have the wrong shape, expected (clips, dim), or (dim,) for one clip",
    "empty": (
        "have no clips or no values, expected at least one of each; leave the file out if there are no"
        " features"
    ),
    "finite": "hold NaN or infinite values; mend what made them",
    "range": "hold values that float32 cannot, which ends at 3.4e38; scale them",
    "dim": "have another size than most",
    "stride": (
        "have more clips than fit at this --clip-stride; correct it, or leave it out if it is not known"
    ),
}


@dataclass(frozen=True)
class Facts:
    """What one look at an array tells."""

    dim: int
    clips: int
    dtype: str
    fits_float16: bool
    rounded: bool


class Unusable(Exception):
    def __init__(self, kind: str, got: str):
        super().__init__(got)
        self.kind = kind


def look_at_all(
    samples: Sequence[Sample], files: Mapping[tuple[str, str], FeatureFile], clip_stride: int | None
) -> tuple[dict[tuple[str, str], Facts], dict[str, list[str]]]:
    """Read every array once.

    Returns:
        What they are, by sample_id and view; and by kind (of `EXPECTED`) those that are unusable.
    """
    facts: dict[tuple[str, str], Facts] = {}
    unusable: dict[str, list[str]] = {}
    for place, file in files.items():
        try:
            facts[place] = _look_at(file)
        except Unusable as error:
            unusable.setdefault(error.kind, []).append(f"{file.where}: {error}")
    _compare(samples, files, facts, clip_stride, unusable)
    return facts, unusable


def as_clips(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "f":
        raise Unusable("dtype", f"{array.dtype}")
    if array.ndim not in (1, 2):
        raise Unusable("shape", f"{array.shape}")
    clips = array[None] if array.ndim == 1 else array
    if not clips.size:
        raise Unusable("empty", f"{array.shape}")
    return clips


def _look_at(file: FeatureFile) -> Facts:
    try:
        clips = as_clips(file.read())
    except AqaError as error:
        raise Unusable("unreadable", str(error)) from None
    finite = np.isfinite(clips).all(axis=1)
    if not finite.all():
        raise Unusable(
            "finite", f"{(~finite).sum()} of {len(clips)} clips, the first is clip {int(np.argmin(finite))}"
        )
    with np.errstate(over="ignore", under="ignore"):
        features, halves = clips.astype(np.float32), clips.astype(np.float16)
    if not np.isfinite(features).all():
        raise Unusable("range", f"up to {np.abs(clips).max():.3g}")
    return Facts(
        dim=clips.shape[1],
        clips=len(clips),
        dtype=str(clips.dtype),
        fits_float16=np.array_equal(halves, features),
        rounded=not np.array_equal(features, clips),
    )


def _compare(
    samples: Sequence[Sample],
    files: Mapping[tuple[str, str], FeatureFile],
    facts: Mapping[tuple[str, str], Facts],
    clip_stride: int | None,
    unusable: dict[str, list[str]],
) -> None:
    """Find what is wrong with an array beside the others, or beside its sample."""
    if not facts:
        return
    sizes = Counter(fact.dim for fact in facts.values())
    usual, count = sizes.most_common(1)[0]
    for place, fact in facts.items():
        if fact.dim != usual:
            unusable.setdefault("dim", []).append(
                f"{files[place].where}: {fact.dim}, where {count} have {usual}"
            )
    if clip_stride is None:
        return
    for sample in samples:
        fact = facts.get((sample.sample_id, PLAIN_VIEW))
        if fact is None or sample.end_frame is None:
            continue
        start = sample.start_frame or 0
        first = start + (fact.clips - 1) * clip_stride
        if first >= sample.end_frame:
            unusable.setdefault("stride", []).append(
                f"{files[sample.sample_id, PLAIN_VIEW].where}: {fact.clips} clips of stride {clip_stride}"
                f" from frame {start} on begin as late as frame {first}, and the sample ends before frame"
                f" {sample.end_frame}"
            )
