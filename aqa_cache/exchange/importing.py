"""Features that other programs made, into a feature cache."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..annotations import Columns, Sample, read_annotations
from ..cache_file.feature_spec import FeatureSpec
from ..cache_file.record import ClipFeatures, Record
from ..cache_file.schema import PLAIN_VIEW
from ..cache_file.writer import write_cache
from ..disk.atomic import check_target
from ..errors import AqaError, listed
from ..short_repr import short_repr
from .array_checks import EXPECTED, Unusable, as_clips, look_at_all
from .feature_files import FeatureFile, array_names, open_features
from .matching import match

NOT_KNOWN = "not known (imported)"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


@dataclass(frozen=True)
class FeatureImport:
    """What an import did.

    Args:
        samples: in the cache, with and without features; clips: of all views.
        missing: sample_ids that have no features; surplus: arrays that were left out.
        dtype: of the stored features; rounded: whether values were float64 that float32 does not hold
            exactly.
    """

    path: Path
    spec: FeatureSpec
    samples: int
    clips: int
    missing: list[str]
    surplus: list[str]
    dtype: str
    rounded: bool

    __repr__ = short_repr


class _Records:
    """The records of an import, read anew each time they are gone through, so that one sample at a time is in
    memory.
    """

    def __init__(
        self,
        source: Path,
        samples: Sequence[Sample],
        views: Sequence[str],
        files: Mapping[tuple[str, str], FeatureFile],
        clip_stride: int | None,
    ):
        self._source, self._samples, self._views, self._files = source, samples, views, files
        self._clip_stride = clip_stride

    def __iter__(self) -> Iterator[Record]:
        for sample in self._samples:
            clips = [self._clips(sample, view) for view in self._views]
            name = sample.sample_id
            yield Record(
                sample,
                clips,
                "" if clips[0] else f"{name}: {self._source.name} had no features of it to import",
            )

    def _clips(self, sample: Sample, view: str) -> ClipFeatures | None:
        file = self._files.get((sample.sample_id, view))
        if file is None:
            return None
        try:
            features = as_clips(file.read()).astype(np.float32)
        except (AqaError, Unusable) as error:
            raise AqaError(f"{self._source}: {file.where} changed while it was imported: {error}") from None
        first_frame = np.full(len(features), -1, np.int64)
        # Another view may be shifted in time by nobody knows how much.
        if self._clip_stride is not None and view == PLAIN_VIEW:
            first_frame = (sample.start_frame or 0) + np.arange(
                len(features), dtype=np.int64
            ) * self._clip_stride
        return ClipFeatures(features, first_frame, np.full(len(features), np.nan))


def import_features(
    source: str | Path,
    output: str | Path,
    annotations: str | Path,
    *,
    backbone: str,
    clip_len: int | None = None,
    clip_stride: int | None = None,
    views: Sequence[str] = (),
    dtype: str = "auto",
    allow_missing: bool = False,
    ignore_surplus: bool = False,
    force: bool = False,
    columns: Columns | None = None,
) -> FeatureImport:
    """Make a feature cache of features that another program made.

    Args:
        source: a folder or an HDF5 file with one array per sample, `(clips, dim)` or `(dim,)`, see
            `feature_files.open_features`; it is named after the sample_id, slashes being folders or groups.
        annotations: the annotations table; the cache has its samples in its order.
        backbone: what made the features; part of the fingerprint.
        clip_len, clip_stride: in frames, if known; with a stride, clip k begins at frame `start_frame + k *
            clip_stride`.
        views: names of views beside the plain one; their arrays are named `SAMPLE_ID@VIEW`. Not every sample
            must have them.
        dtype: of the stored features: `auto` changes no value (float16 if it holds every one exactly, else
            float32); `float16` rounds.
        allow_missing: write samples without features as failed.
        ignore_surplus: leave out arrays that belong to no sample.
        force: overwrite `output`.
        columns: see `read_annotations`.

    Raises:
        AqaError: every mistake in the names, or else in the arrays, at once; nothing is written then.
    """
    source, output, annotations = Path(source), Path(output), Path(annotations)
    _check_request(source, output, backbone, clip_len, clip_stride, views, force)
    samples = read_annotations(annotations, columns, video_needed=False)
    views = (PLAIN_VIEW, *views)
    names = array_names(samples, views)
    with open_features(source) as arrays:
        found = match(samples, names, arrays)
        _raise(source, found.mistakes(source, samples, annotations, allow_missing, ignore_surplus))
        facts, unusable = look_at_all(samples, found.files, clip_stride)
        _raise(
            source,
            [
                f"{len(them)} array(s) {EXPECTED[kind]}:{listed(them, indent='    ')}"
                for kind, them in unusable.items()
            ],
        )
        spec = _spec(backbone, next(iter(facts.values())).dim, clip_len, clip_stride)
        if dtype == "auto":
            dtype = "float16" if all(fact.fits_float16 for fact in facts.values()) else "float32"
        dtypes = sorted({fact.dtype for fact in facts.values()})
        records = _Records(source, samples, views, found.files, clip_stride)
        stored = write_cache(
            output, records, spec, views=views, numerics={"imported_dtypes": dtypes}, dtype=dtype
        )
    return FeatureImport(
        path=output,
        spec=spec,
        samples=len(samples),
        clips=sum(fact.clips for fact in facts.values()),
        missing=found.missing,
        surplus=found.surplus,
        dtype=str(stored),
        rounded=any(fact.rounded for fact in facts.values()),
    )


def _spec(backbone: str, dim: int, clip_len: int | None, clip_stride: int | None) -> FeatureSpec:
    known = {"clip_len": clip_len, "clip_stride": clip_stride}
    return FeatureSpec(
        backbone=backbone,
        layer=NOT_KNOWN,
        dim=dim,
        weights=NOT_KNOWN,
        weights_sha256="",
        preprocessing={},
        clip_rule={name: value for name, value in known.items() if value is not None},
    )


def _check_request(
    source: Path,
    output: Path,
    backbone: str,
    clip_len: int | None,
    clip_stride: int | None,
    views: Sequence[str],
    force: bool,
) -> None:
    check_target(output, "feats.h5")
    if output.exists() and source.exists() and output.samefile(source):
        raise AqaError(f"{output}: is the source itself; give the cache another name")
    if output.exists() and not force:
        raise AqaError(f"{output}: exists already; give another name, or --force to overwrite it")
    if not _NAME.fullmatch(backbone):
        raise AqaError(
            f"backbone is {backbone!r}, expected a short name of letters, digits and . _ + -, such as i3d"
        )
    for name, value in (("clip_len", clip_len), ("clip_stride", clip_stride)):
        if value is not None and value < 1:
            raise AqaError(f"{name} is {value}, it must be at least 1 frame; leave it out if it is not known")
    if PLAIN_VIEW in views or len(set(views)) < len(views) or not all(views):
        raise AqaError(
            f"views are {list(views)}, expected different names, none of them empty or {PLAIN_VIEW!r}"
        )


def _raise(source: Path, mistakes: list[str]) -> None:
    if len(mistakes) == 1:
        raise AqaError(f"{source}: {mistakes[0]}")
    if mistakes:
        raise AqaError(f"{source}: {len(mistakes)} kinds of mistakes:\n  " + "\n  ".join(mistakes))
