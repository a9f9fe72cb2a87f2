"""Features that other programs made, into a feature cache."""

import re
from collections import Counter
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
from ..errors import AqaError, some
from ..short_repr import short_repr
from .feature_files import SUFFIXES, FeatureFile, array_names, open_features

NOT_KNOWN = "not known (imported)"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_LINES = 5
# What is wrong with the content of arrays: what to expect and do, by kind. Every kind is one paragraph that
# lists its samples.
_EXPECTED = {
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


@dataclass(frozen=True)
class _Facts:
    """What one look at an array tells."""

    dim: int
    clips: int
    dtype: str
    fits_float16: bool
    rounded: bool


class _Unusable(Exception):
    def __init__(self, kind: str, got: str):
        super().__init__(got)
        self.kind = kind


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
            features = _as_clips(file.read()).astype(np.float32)
        except (AqaError, _Unusable) as error:
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
        files = {place: arrays[name][0] for place, name in names.items() if name in arrays}
        missing = [sample.sample_id for sample in samples if (sample.sample_id, PLAIN_VIEW) not in files]
        files = {place: file for place, file in files.items() if (place[0], PLAIN_VIEW) in files}
        used = {names[place] for place in files}
        surplus = [file.where for name, several in arrays.items() if name not in used for file in several]
        several = {place[0]: arrays[names[place]] for place in files if len(arrays[names[place]]) > 1}
        if not files:
            raise AqaError(_nothing_fits(source, annotations, samples, surplus))
        mistakes: list[str] = []
        if several:
            listed = some(
                [f"{sample_id} ({', '.join(f.where for f in them)})" for sample_id, them in several.items()]
            )
            mistakes.append(f"{len(several)} sample(s) have more than one array: {listed}; keep one of each")
        if missing and not allow_missing:
            mistakes.append(
                f"{len(missing)} of {len(samples)} samples have no features: {some(missing)}; add"
                f" {_form(source)}, or --allow-missing writes them as failed"
            )
        if surplus and not ignore_surplus:
            mistakes.append(_surplus(surplus, names, annotations))
        _raise(source, mistakes)

        facts: dict[tuple[str, str], _Facts] = {}
        unusable: dict[str, list[str]] = {}
        for place, file in files.items():
            try:
                facts[place] = _look_at(file)
            except _Unusable as error:
                unusable.setdefault(error.kind, []).append(f"{file.where}: {error}")
        _compare(samples, files, facts, clip_stride, unusable)
        _raise(
            source,
            [f"{len(them)} array(s) {_EXPECTED[kind]}:{_lines(them)}" for kind, them in unusable.items()],
        )

        spec = FeatureSpec(
            backbone=backbone,
            layer=NOT_KNOWN,
            dim=next(iter(facts.values())).dim,
            weights=NOT_KNOWN,
            weights_sha256="",
            preprocessing={},
            clip_rule={
                name: value
                for name, value in (("clip_len", clip_len), ("clip_stride", clip_stride))
                if value is not None
            },
        )
        if dtype == "auto":
            dtype = "float16" if all(fact.fits_float16 for fact in facts.values()) else "float32"
        dtypes = sorted({fact.dtype for fact in facts.values()})
        records = _Records(source, samples, views, files, clip_stride)
        stored = write_cache(
            output, records, spec, views=views, numerics={"imported_dtypes": dtypes}, dtype=dtype
        )
    return FeatureImport(
        path=output,
        spec=spec,
        samples=len(samples),
        clips=sum(fact.clips for fact in facts.values()),
        missing=missing,
        surplus=surplus,
        dtype=str(stored),
        rounded=any(fact.rounded for fact in facts.values()),
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


def _as_clips(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind != "f":
        raise _Unusable("dtype", f"{array.dtype}")
    if array.ndim not in (1, 2):
        raise _Unusable("shape", f"{array.shape}")
    clips = array[None] if array.ndim == 1 else array
    if not clips.size:
        raise _Unusable("empty", f"{array.shape}")
    return clips


def _look_at(file: FeatureFile) -> _Facts:
    try:
        clips = _as_clips(file.read())
    except AqaError as error:
        raise _Unusable("unreadable", str(error)) from None
    finite = np.isfinite(clips).all(axis=1)
    if not finite.all():
        raise _Unusable(
            "finite", f"{(~finite).sum()} of {len(clips)} clips, the first is clip {int(np.argmin(finite))}"
        )
    with np.errstate(over="ignore", under="ignore"):
        features, halves = clips.astype(np.float32), clips.astype(np.float16)
    if not np.isfinite(features).all():
        raise _Unusable("range", f"up to {np.abs(clips).max():.3g}")
    return _Facts(
        dim=clips.shape[1],
        clips=len(clips),
        dtype=str(clips.dtype),
        fits_float16=np.array_equal(halves, features),
        rounded=not np.array_equal(features, clips),
    )


def _compare(
    samples: Sequence[Sample],
    files: dict[tuple[str, str], FeatureFile],
    facts: dict[tuple[str, str], _Facts],
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


def _nothing_fits(source: Path, annotations: Path, samples: Sequence[Sample], surplus: Sequence[str]) -> str:
    if surplus:
        return (
            f"{source}: none of its {len(surplus)} arrays is named after a sample (arrays:"
            f" {some(surplus, 3)}; samples of {annotations.name}:"
            f" {some([sample.sample_id for sample in samples], 3)}); name them SAMPLE_ID, or correct"
            " sample_id"
        )
    there = (
        f"; its files end in {some(sorted(_endings(source)))}" if source.is_dir() and _endings(source) else ""
    )
    return f"{source}: holds no features{there}; expected {_form(source)} for each of {len(samples)} samples"


def _endings(folder: Path) -> set[str]:
    return {path.suffix or "no suffix" for path in folder.rglob("*") if path.is_file()}


def _form(source: Path) -> str:
    if source.is_dir():
        return "SAMPLE_ID" + ", SAMPLE_ID".join(SUFFIXES[:-1]) + f" or SAMPLE_ID{SUFFIXES[-1]}"
    return "an array named SAMPLE_ID"


def _surplus(surplus: Sequence[str], names: dict[tuple[str, str], str], annotations: Path) -> str:
    ids = {sample_id for sample_id, _ in names}
    views = sorted(
        {
            where.rsplit("@", 1)[1].removesuffix(Path(where).suffix)
            for where in surplus
            if where.rsplit("@", 1)[0] in ids
        }
    )
    hint = f" (if {some(views, 3)} are views of samples, name them with --view)" if views else ""
    return (
        f"{len(surplus)} array(s) belong to no sample of {annotations.name} that is imported:"
        f" {some(surplus)}{hint}; correct the names, or --ignore-surplus leaves them out"
    )


def _lines(arrays: Sequence[str]) -> str:
    more = [f"… and {len(arrays) - _LINES} more"] if len(arrays) > _LINES else []
    return "".join(f"\n    {line}" for line in [*arrays[:_LINES], *more])


def _raise(source: Path, mistakes: list[str]) -> None:
    if len(mistakes) == 1:
        raise AqaError(f"{source}: {mistakes[0]}")
    if mistakes:
        raise AqaError(f"{source}: {len(mistakes)} kinds of mistakes:\n  " + "\n  ".join(mistakes))
