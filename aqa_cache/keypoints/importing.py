"""Keypoints that a pose estimator found, into a feature cache."""

from dataclasses import dataclass
from pathlib import Path

from ..annotations import Columns, read_annotations
from ..cache_file.feature_spec import FeatureSpec
from ..cache_file.record import Record
from ..cache_file.writer import write_cache
from ..disk.atomic import check_target
from ..errors import AqaError, some
from .sample_features import KeypointOptions, Maker
from .sources import find_sources

_LINES = 5


@dataclass(frozen=True)
class KeypointImport:
    """What an import of keypoints did.

    Args:
        samples: in the cache, with and without features; rows: of all.
        joints: that were used.
        filled: share of positions that were interpolated; most_filled: the sample with the largest share, and
            that share.
        failed: sample_ids without features; surplus: keypoints of no sample.
        notes: what a person should know of how they were read, one line each.
    """

    path: Path
    spec: FeatureSpec
    samples: int
    rows: int
    joints: tuple[str, ...]
    filled: float
    most_filled: tuple[str, float]
    failed: list[str]
    surplus: list[str]
    notes: list[str]


def import_keypoints(
    source: str | Path,
    output: str | Path,
    annotations: str | Path,
    options: KeypointOptions | None = None,
    *,
    videos: str | Path | None = None,
    allow_missing: bool = False,
    force: bool = False,
    columns: Columns | None = None,
) -> KeypointImport:
    """Make a feature cache of keypoints.

    Args:
        source: a folder of keypoints, of samples or of whole videos (`sources.FORMS`).
        annotations: the annotations table; the cache has its samples in its order.
        videos: folder of the videos, whose numbers of frames are then compared with the keypoints'.
        allow_missing: write samples whose keypoints cannot be used as failed.
        force: overwrite `output`.
        columns: see `read_annotations`.

    Raises:
        AqaError: every sample whose keypoints cannot be used, at once; nothing is written then.
    """
    source, output, annotations = Path(source), Path(output), Path(annotations)
    check_target(output, "pose.h5")
    if output.exists() and not force:
        raise AqaError(f"{output}: exists already; give another name, or --force to overwrite it")
    options = options or KeypointOptions()
    samples = read_annotations(annotations, columns, video_needed=videos is not None)
    maker = Maker(find_sources(source, options.third), options, None if videos is None else Path(videos))
    made, reasons = {}, {}
    for sample in sorted(samples, key=lambda one: one.video):  # the keypoints of a video are read once
        try:
            made[sample.sample_id] = maker.rows(sample)
        except AqaError as error:
            reasons[sample.sample_id] = str(error)
    if reasons and (not allow_missing or not made):
        raise AqaError(_cannot_be_used(source, reasons, len(samples)))
    records = [
        Record(sample, [made[name]])
        if (name := sample.sample_id) in made
        else Record(sample, [None], f"{name} ({sample.video}): {reasons[name]}")
        for sample in samples
    ]
    spec = maker.spec(next(iter(made.values())).features.shape[1])
    # float16 would round coefficients in pixels by more than they differ.
    write_cache(output, records, spec, numerics={"filled": round(maker.filled, 6)}, dtype="float32")
    return KeypointImport(
        path=output,
        spec=spec,
        samples=len(samples),
        rows=sum(len(rows.first_frame) for rows in made.values()),
        joints=maker.joints,
        filled=maker.filled,
        most_filled=max(maker.shares.items(), key=lambda item: item[1]),
        failed=list(reasons),
        surplus=maker.surplus(samples),
        notes=maker.notes,
    )


def _cannot_be_used(source: Path, reasons: dict[str, str], samples: int) -> str:
    """What is to be said, each reason once with the samples that it hits."""
    hit: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        hit.setdefault(reason, []).append(name)
    lines = [f"{some(names, 3)}: {reason}" for reason, names in hit.items()]
    lines[_LINES:] = [f"… and {len(lines) - _LINES} more kinds"] if len(lines) > _LINES else []
    if len(reasons) < samples:
        lines.append("--allow-missing writes them as failed.")
    return f"{source}: the keypoints of {len(reasons)} of {samples} samples cannot be used:" + "".join(
        f"\n  {line}" for line in lines
    )
