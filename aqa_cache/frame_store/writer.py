"""The file of a frame store, written while videos are decoded."""

import json
import logging
import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np

from ..clips.assembler import Clip
from ..clips.preprocess import Preprocessing
from ..disk.atomic import replacing
from ..errors import AqaError, VideoError, listed
from ..video.reader import Outcome, VideoReader
from ..video.threads import Decoders, default_workers
from .reader import FORMAT, VERSION, Layout

_log = logging.getLogger(__name__)

_CLIPS_AHEAD = 2  # per decoding thread


def write_store(
    path: Path,
    contents: dict,
    readers: Sequence[VideoReader],
    workers: int | None,
    decode_timeout: float,
    progress: Callable[[int, int], None],
    videos: Path,
) -> None:
    """Decode what `contents` asks for into the store at `path`, which is there whole or not at all.

    Args:
        contents: of the store: samples, views, preprocessing.
        readers: of the videos.
        workers, decode_timeout, progress, videos: as `preparation.prepare_frames` has them.

    Raises:
        VideoError: videos cannot be decoded now.
        AqaError: the store cannot be written, or the disk has no room for it.
    """
    preprocessing, layout = Preprocessing.from_record(contents["preprocessing"]), Layout(contents)
    shape = (preprocessing.crop, preprocessing.crop, 3)
    total = len(layout.first_frames)
    needed = _room_for(path, len(layout), int(np.prod(shape)))
    _log.info(
        f"Decoding {len(layout):,} frames of {total} sample(s) of {len(readers)} video(s) into {path}"
        f" ({needed:.2f} GiB), once for all runs."
    )
    ids, failures, done = list(contents["samples"]), [], 0
    workers = workers or default_workers()
    with replacing(path) as temporary:
        arrays = _Arrays(temporary, contents, layout, shape)
        decoders = Decoders(readers, preprocessing, _CLIPS_AHEAD * workers, workers, decode_timeout)
        # Written, not mapped: on a full disk a write fails, and a map kills the process.
        with open(temporary, "rb+") as file, decoders:
            progress(0, total)
            for item in decoders.items():
                if isinstance(item, Clip):
                    arrays.add(file, item)
                    continue
                if item.reason:
                    sample_id = ids[item.sample]
                    failures.append(f"{sample_id} ({contents['samples'][sample_id]['video']}): {item.reason}")
                    if len(failures) == 1:
                        _log.info(
                            f"{failures[0]}. The others are still tried, so that all that fail can be named."
                        )
                else:
                    arrays.end(item)
                done += 1
                progress(done, total)
            arrays.finish(file)
        if failures:
            raise _failed(videos, failures, total)


def _room_for(path: Path, frames: int, frame_bytes: int) -> float:
    """What so many frames need, in GiB.

    Raises:
        AqaError: the disk has not as much.
    """
    needed, free = frames * frame_bytes / 2**30, shutil.disk_usage(path.parent).free / 2**30
    if needed > free:
        raise AqaError(
            f"{path}: the {frames:,} frames need {needed:.2f} GiB, but {path.parent} has {free:.2f} GiB"
            " free; make room, choose another place with --frames, or fewer views with --augment"
        )
    return needed


def _failed(videos: Path, failures: list[str], total: int) -> VideoError:
    return VideoError(
        str(videos),
        f"{len(failures)} of {total} sample(s) cannot be decoded now, though their features were"
        f" extracted:{listed(failures)}\nSee that the videos are those that aqa-extract was"
        " given, or extract again",
    )


class _Arrays:
    """The arrays of a store: frames by row, the views that each sample has, and checksums of both.

    Args:
        path: of the file, which is made, its arrays not filled.
        shape: of a frame.
    """

    def __init__(self, path: Path, contents: dict, layout: Layout, shape: tuple[int, int, int]):
        self._layout, self._frame_bytes = layout, int(np.prod(shape))
        # Where no file may be as large as this, the system says so here; HDF5 finds out when it closes the
        # file, and then cannot.
        with open(path, "wb") as file:
            file.truncate(len(layout) * self._frame_bytes)
        self._available = np.zeros((len(layout.first_frames), len(layout.shifts)), np.uint8)
        self._written = np.zeros(len(layout), bool)
        self._checksums = np.zeros(len(layout) + 1, "<u4")
        self._available_at, self._frames_at, self._checksums_at = _create(
            path, contents, self._available.shape, (len(layout), *shape)
        )

    def add(self, file: BinaryIO, clip: Clip) -> None:
        """Write those frames of a clip that no other has brought."""
        rows = self._layout.rows(clip.sample, clip.first_frame)
        for row, frame in zip(rows, clip.frames, strict=True):
            if not self._written[row]:
                file.seek(self._frames_at + int(row) * self._frame_bytes)
                content = np.ascontiguousarray(frame)
                file.write(content)
                self._checksums[row] = zlib.crc32(content)
                self._written[row] = True

    def end(self, outcome: Outcome) -> None:
        """Note which views a sample has, all of whose clips were added."""
        count = len(self._layout.first_frames[outcome.sample])
        self._available[outcome.sample] = [clips == count for clips in outcome.clips]
        assert self._available[outcome.sample, 0], (outcome, count)

    def finish(self, file: BinaryIO) -> None:
        """Write what is known only now."""
        file.seek(self._available_at)
        file.write(self._available)
        self._checksums[-1] = zlib.crc32(self._available)
        file.seek(self._checksums_at)
        file.write(self._checksums)


def _create(
    path: Path, contents: dict, available: tuple[int, ...], frames: tuple[int, ...]
) -> tuple[int, int, int]:
    """Make the file, its arrays not filled, two of them of the given shapes and one of checksums; returns
    where in the file these begin.
    """
    with h5py.File(path, "w") as file:
        file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
        file["contents"] = json.dumps(contents)
        return (
            _allocate(file, "available", available),
            _allocate(file, "frames", frames),
            _allocate(file, "checksums", (frames[0] + 1,), h5py.h5t.STD_U32LE),
        )


def _allocate(
    file: h5py.File, name: str, shape: tuple[int, ...], kind: h5py.h5t.TypeID = h5py.h5t.STD_U8LE
) -> int:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    # else it has no place in the file before it is written to
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space = h5py.h5s.create_simple(shape)
    offset = h5py.h5d.create(file.id, name.encode(), kind, space, properties).get_offset()
    assert offset is not None, name
    return offset
