"""The index of a feature cache: its samples with their annotations, and which rows of features are whose."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..annotations import SPLITS, Sample
from ..errors import CacheError, some
from .arrays import read_array, read_texts
from .attributes import Attributes
from .schema import FEATURES, GROUPS, TEXT_COLUMNS, VIDEO_SHA256, column_name


@dataclass(frozen=True)
class Index:
    """What `FeatureCache` has of every sample in memory, under the same names."""

    samples: list[Sample]
    reasons: list[str]
    statuses: list[str]
    offset: np.ndarray
    lengths: np.ndarray
    video_size: np.ndarray
    video_mtime_ns: np.ndarray
    video_sha256: list[str]


def read_index(path: Path, file: Any, said: Attributes) -> Index:
    """The index of an open file, held against its attributes and its rows of features.

    Raises:
        CacheError: it does not fit them, or a dataset cannot be read.
        ValueError: a dataset holds what docs/schema.md does not admit.
    """
    rows, dim = file[FEATURES].shape
    if dim != said.spec.dim:
        raise CacheError(
            f"{path}: features are {dim} wide but the attribute 'dim' says {said.spec.dim}; extract again"
        )
    reasons, statuses = (read_texts(path, file, f"samples/{name}") for name in ("reason", "status"))
    offset, lengths = (
        read_array(path, file, f"samples/{name}").astype(np.int64, copy=False) for name in ("offset", "count")
    )
    size, mtime_ns = (read_array(path, file, f"samples/{name}") for name in ("video_size", "video_mtime_ns"))
    if (size < 0).any():
        raise ValueError("samples/video_size holds negative numbers")
    sha256 = read_texts(path, file, VIDEO_SHA256) if VIDEO_SHA256 in file else [""] * len(reasons)
    samples = _read_samples(path, file, said.orders)
    index = Index(samples, reasons, statuses, offset, lengths, size, mtime_ns, sha256)
    _check_rows(path, index, len(said.views), rows)
    return index


def _check_rows(path: Path, index: Index, views: int, rows: int) -> None:
    """Whether every sample has clips or a reason, and its clips lie among the `rows` of features."""
    offset, lengths = index.offset, index.lengths
    if offset.shape[1] != views:
        raise CacheError(f"{path}: its index does not fit its {views} views; extract again")
    # Not offset + count, which may be beyond what 64 bits hold.
    outside = np.argwhere((lengths >= 0) & ((offset < 0) | (lengths > rows - offset)))
    if len(outside):
        raise CacheError(
            f"{path}: {index.samples[int(outside[0, 0])].sample_id} points outside the {rows} feature"
            " rows; the index is damaged, extract again"
        )
    plain = lengths[:, 0].tolist()
    for sample, clips, reason in zip(index.samples, plain, index.reasons, strict=True):
        if (clips > 0) == bool(reason):
            raise CacheError(
                f"{path}: {sample.sample_id} has {max(0, clips)} clips and the reason {reason!r}; it needs"
                " one or the other, extract again"
            )


def _read_samples(path: Path, file: Any, orders: dict[str, list[str]]) -> list[Sample]:
    text = {name: read_texts(path, file, f"samples/{name}") for name in TEXT_COLUMNS}
    for sample_id, split in zip(text["sample_id"], text["split"], strict=True):
        if split and split not in SPLITS:
            raise CacheError(
                f"{path}: {sample_id} has split {split!r}, expected {', '.join(SPLITS)} or nothing"
                " (docs/schema.md)"
            )
    # Python's own numbers, a column at a time: a number taken out of an array by itself costs as much as a
    # sample.
    start, end, score, difficulty = (
        read_array(path, file, f"samples/{name}").tolist()
        for name in ("start_frame", "end_frame", "final_score", "difficulty")
    )
    if min(start, default=0) < -1 or min(end, default=0) < -1:
        raise ValueError("samples/start_frame or end_frame holds numbers below -1")
    judges = read_array(path, file, "samples/judges")
    judged: list[bool] = np.any(~np.isnan(judges), axis=1).tolist()
    marks, place = np.unique(judges.view(np.int64), return_inverse=True)  # equal ones are one in memory
    judges = np.array(marks.view(np.float64).tolist(), object)[place.reshape(judges.shape)].tolist()
    classes, extra = (_columns(path, file, kind, orders[kind]) for kind in GROUPS)
    return [
        Sample(
            sample_id=text["sample_id"][i],
            video=text["video"][i],
            start_frame=start[i] if start[i] >= 0 else None,
            end_frame=end[i] if end[i] >= 0 else None,
            split=text["split"][i] or None,
            group=text["group"][i] or None,
            fold=text["fold"][i] or None,
            final_score=None if math.isnan(score[i]) else score[i],
            difficulty=None if math.isnan(difficulty[i]) else difficulty[i],
            judges=tuple(judges[i]) if judged[i] else (),
            classes={name: column[i] for name, column in classes.items() if column[i]},
            caption=text["caption"][i] or None,
            extra={name: column[i] for name, column in extra.items() if column[i]},
        )
        for i in range(len(text["sample_id"]))
    ]


def _columns(path: Path, file: Any, group: str, order: list[str]) -> dict[str, list[str]]:
    columns = {column_name(name): f"{group}/{name}" for name in file[group]}
    if sorted(columns) != sorted(order):
        raise ValueError(f"{group} holds {some(sorted(columns))}, its order names {some(order)}")
    return {name: read_texts(path, file, columns[name]) for name in order}
