"""What a run keeps of the samples that it learned from: what the encoder gives for them, and which they are.

`training_samples.safetensors` holds `samples`, UTF-8, a list in JSON of all training samples; `encoded`,
`(rows, width)` float16, every row divided by its length, since float16 has a range, and `length`, `(rows,)`
float32. Where the rows would be more than 64 MiB, every second, third, … sample has one, and the metadata
says which.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from aqa_cache.annotations import Sample

from ..errors import RunError
from .record import parse_json
from .schema import SAMPLES, TRAINING_SAMPLES
from .weights_file import read_weights, said_with, sizes_in, write_weights

FILE = "training_samples.safetensors"
_SAMPLES, _ENCODED, _LENGTH = "samples", "encoded", "length"
_LARGEST, _LARGEST_TEXT = 2**26, 2**30  # bytes of rows, and of what is said of the samples


@dataclass(frozen=True)
class VideoStamp:
    """What a video file is known by: bytes, time of modification, and SHA-256, hex, empty if not known."""

    size: int
    mtime_ns: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class TrainingSample:
    """A sample that a run learned from.

    Args:
        video: as in its annotations.
        frames: `[start, end)` that its features were made of; None where they are not known.
        final_score, caption, difficulty: None where it has none.
        judges: NaN where one gave no mark.
        stamp: of the video when it was decoded; None where that is not known.

    Runs of before kept neither difficulty nor stamp.
    """

    sample_id: str
    video: str
    frames: tuple[float, float] | None = None
    final_score: float | None = None
    judges: tuple[float, ...] = ()
    caption: str | None = None
    difficulty: float | None = None
    stamp: VideoStamp | None = None


@dataclass(frozen=True)
class TrainingSamples:
    """All of a run.

    Args:
        encoded: `(rows, width)` float32, the directions of the encoder's outputs; None where the run has no
            encoder. length: `(rows,)` float32, of these outputs.
        every: row `i` is that of sample `i * every`.
    """

    samples: list[TrainingSample]
    encoded: np.ndarray | None = None
    length: np.ndarray | None = None
    every: int = 1


def directions(encoded: np.ndarray) -> np.ndarray:
    """Rows of length 1; zeros stay zeros. Shape: `(rows, width)`, float64."""
    rows = encoded.astype(np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)


def write_training_samples(
    folder: Path,
    samples: Sequence[Sample],
    frames: Mapping[str, tuple[float, float]],
    encoded: np.ndarray | None,
    stamps: Mapping[str, VideoStamp] = MappingProxyType({}),
) -> None:
    """Write what is kept of training samples into a run's folder.

    Args:
        frames: by sample_id; infinite where an end is not known. stamps: likewise, where they are known.
        encoded: `(samples, width)`, what the encoder gives; None: there is no encoder.
    """
    import torch

    every, tensors = 1, {}
    if encoded is not None:
        every = max(1, math.ceil(2 * encoded.size / _LARGEST))
        rows = encoded[::every]
        tensors[_ENCODED] = torch.from_numpy(directions(rows).astype(np.float16))
        tensors[_LENGTH] = torch.from_numpy(
            np.linalg.norm(rows.astype(np.float64), axis=1).astype(np.float32)
        )
    records = (_record(each, frames.get(each.sample_id), stamps.get(each.sample_id)) for each in samples)
    # Not in the metadata, of which a file can have 100 MB.
    tensors[_SAMPLES] = torch.frombuffer(_json_of(records), dtype=torch.uint8)
    write_weights(folder / FILE, tensors, {"every": every})


def read_training_samples(folder: Path) -> TrainingSamples | None:
    """What a run keeps of its training samples; None for runs of before any was kept.

    Raises:
        RunError: the file is damaged.
    """
    import torch

    path = folder / FILE
    if not path.exists():
        return None
    try:
        said, sizes = said_with(path, TRAINING_SAMPLES), sizes_in(path)
        (rows, width), said_bytes = sizes.get(_ENCODED, (0, 0)), math.prod(sizes.get(_SAMPLES, ()))
        if 2 * rows * width > _LARGEST + 2 * width or said_bytes > _LARGEST_TEXT:
            raise ValueError(
                f"it has {rows:,} rows of {width:,} and {said_bytes:,} bytes about samples, expected at most"
                f" {_LARGEST:,} bytes of rows and {_LARGEST_TEXT:,} about samples"
            )
        tensors = {}
        if _SAMPLES in sizes:
            tensors[_SAMPLES] = torch.empty(*sizes[_SAMPLES], dtype=torch.uint8)
        if _ENCODED in sizes:
            tensors |= {_ENCODED: torch.empty(rows, width), _LENGTH: torch.empty(rows)}
        read_weights(path, tensors)
        if (text := tensors.get(_SAMPLES)) is not None:
            records = parse_json(text.numpy().tobytes().decode(), SAMPLES)
        else:  # of before they were a tensor
            records = said["samples"]
        samples = [_sample(record) for record in records]
        if _ENCODED not in tensors:
            return TrainingSamples(samples)
        encoded, length = tensors[_ENCODED], tensors[_LENGTH]
        if rows != len(range(0, len(samples), said["every"])):
            raise ValueError(f"it has {rows:,} rows for {len(samples):,} samples")
        if not bool(encoded.isfinite().all() and length.isfinite().all()):
            raise ValueError("a value in it is not finite")
        return TrainingSamples(samples, encoded.numpy(), length.numpy(), said["every"])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise RunError(f"{path}: cannot be read ({error}); train the run again") from None


def _json_of(records: Iterable[Any]) -> bytearray:
    """A list in JSON, one item after the other: the whole twice would be much memory."""
    text = bytearray(b"[")
    for record in records:
        if len(text) > 1:
            text += b",\n"
        text += json.dumps(record, ensure_ascii=False, allow_nan=False).encode()
    text += b"]"
    return text


def _record(sample: Sample, frames: tuple[float, float] | None, stamp: VideoStamp | None) -> dict[str, Any]:
    known = frames is not None and all(map(math.isfinite, frames))
    return {
        "sample_id": sample.sample_id,
        "video": sample.video,
        "frames": [float(frame) for frame in frames] if known else None,
        "final_score": sample.final_score,
        "judges": [None if math.isnan(mark) else mark for mark in sample.judges],
        "caption": sample.caption,
        "difficulty": sample.difficulty,
        "stamp": stamp and asdict(stamp),
    }


def _sample(record: dict[str, Any]) -> TrainingSample:
    frames = record.get("frames")
    if frames is not None and (len(frames) != 2 or None in frames):
        raise ValueError(f"the frames of {record['sample_id']!r} are {frames}, expected two numbers")
    return TrainingSample(
        record["sample_id"],
        record["video"],
        None if frames is None else (frames[0], frames[1]),
        record.get("final_score"),
        tuple(math.nan if mark is None else mark for mark in record.get("judges") or ()),
        record.get("caption"),
        record.get("difficulty"),
        VideoStamp(**stamp) if (stamp := record.get("stamp")) else None,
    )
