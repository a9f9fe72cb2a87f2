"""The prepared frames of a cache's clips, decoded once for every epoch, run and process that trains a
backbone on them.

One HDF5 file. It can be made again at any time from the cache and the videos, and is, whenever it does not
fit them:

contents    JSON: clip rule, preprocessing, views, samples with their first frames, videos with their sizes
and times, version of decoding
available   (samples, shifts) uint8: whether the sample's clips, shifted like some of its views, lie
inside the video frames      (rows, size, size, 3) uint8 RGB, in one piece, so that readers map it and
processes share what is in memory

A sample's frames lie together in the order of their numbers, each once, however many of its clips and views
take it. Where they are follows from the contents. Those behind the end of a video are never written; no view
that needs them is available.

checksums   (rows + 1,) uint32: CRC-32 of every frame, and last of `available`; stores that were written
before there were checksums have none, and are read
"""

import zlib
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from ..cache_file.schema import FRAMES as FORMAT
from ..clips.preprocess import Preprocessing
from ..clips.rule import ClipRule
from ..clips.views import MAX_JITTER, PLAIN, View
from ..disk.hdf5 import DAMAGE, integer_attribute, members, read_values, text_attribute
from ..disk.plain_json import parse_json
from ..errors import AqaError, CacheError, first_line

VERSION = 1


class FrameStore:
    """A frame store opened for reading; a context manager.

    Args:
        path: the file, as `prepare_frames` made it.

    Attributes:
        contents (dict): what was decoded, as in the file.
        views (tuple[View, ...]): of every sample, the plain one first.

    Raises:
        CacheError: the file is not there, no frame store, of another version, or damaged; or, when it is
            read, a frame is.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_file():
            raise CacheError(
                f"{self.path}: no such file; expected frames, as end-to-end training decodes them"
            )
        try:
            # One opened file for all: the name may become another store's at any time.
            with open(self.path, "rb") as opened, h5py.File(opened, "r") as file:
                _check_format(self.path, file)
                self.contents, arrays = _read_contents(file)
                self._available = arrays["available"][:].astype(bool)
                self._checksums = arrays["checksums"][:] if "checksums" in arrays else None
                frames = arrays["frames"]
                self._frames = np.asarray(
                    np.memmap(opened, np.uint8, "r", frames.id.get_offset(), frames.shape)
                )
            if self._checksums is not None and self._checksums[-1] != zlib.crc32(self._available.tobytes()):
                raise ValueError("the checksum of which views are available fails")
            self._checked = np.zeros(len(self._frames), bool)
            self._index = {sample_id: index for index, sample_id in enumerate(self.contents["samples"])}
            self.views = tuple(View(*view) for view in self.contents["views"])
        except (*DAMAGE, AqaError) as error:
            raise CacheError(
                f"{self.path}: cannot be read as a frame store ({first_line(error)}); if it is one, remove"
                " it, and it is made again, else give another name"
            ) from None

    @cached_property
    def _layout(self) -> "Layout":
        """Only of a store that is used, whose contents are those of a cache."""
        layout = Layout(self.contents)
        shape = (len(layout), self._available.shape)
        if shape != (len(self._frames), (len(layout.first_frames), len(layout.shifts))):
            raise CacheError(
                f"{self.path}: holds other frames than its contents say; remove it, and it is made again"
            )
        return layout

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        self._frames = None

    def count(self, sample_id: str) -> int:
        """How many clips a sample has."""
        return len(self._layout.first_frames[self._index[sample_id]])

    def available(self, sample_id: str) -> list[int]:
        """Numbers of the views all of whose frames are in the video; the plain view, 0, always is."""
        available = self._available[self._index[sample_id]]
        return [
            number
            for number, view in enumerate(self.views)
            if available[self._layout.shifts.index(view.shift)]
        ]

    def clip(self, sample_id: str, view: int, number: int) -> np.ndarray:
        """One clip of an available view, as extraction gives it to the backbone; the caller's own.

        Shape:
            - Output: `(clip_len, size, size, 3)` uint8 RGB, mirrored where the view says so.
        """
        assert view in self.available(sample_id) and 0 <= number < self.count(sample_id), (
            sample_id,
            view,
            number,
        )
        index, view = self._index[sample_id], self.views[view]
        rows = self._layout.rows(index, self._layout.first_frames[index][number] + view.shift)
        frames = self._frames[rows]
        self._check(sample_id, rows, frames)
        if not view.flip:
            return frames
        # A channel at a time: in one go every pixel is a copy of its own, which takes four times as long.
        return np.stack([frames[:, :, ::-1, channel] for channel in range(3)], axis=-1)

    def _check(self, sample_id: str, rows: np.ndarray, frames: np.ndarray) -> None:
        """Hold frames against their checksums when they are first read."""
        if self._checksums is None:
            return
        for row, frame in zip(rows.tolist(), frames, strict=True):
            if not self._checked[row]:
                if zlib.crc32(frame) != self._checksums[row]:
                    raise CacheError(
                        f"{self.path}: a frame of {sample_id} is damaged (row {row}, its checksum fails);"
                        " remove the file, and it is made again"
                    )
                self._checked[row] = True


class Layout:
    """Which frames are in a store, and in which rows.

    Args:
        contents: of the store.

    Attributes:
        shifts (list[int]): the distinct ones of the views; a mirrored view takes the frames of the one that
            is not.
        first_frames (list[list[int]]): per sample, of its plain clips.
    """

    def __init__(self, contents: dict):
        rule = ClipRule.from_record(contents["clip_rule"])
        self.views = tuple(View(*view) for view in contents["views"])
        self.shifts = list(dict.fromkeys(view.shift for view in self.views))
        self.first_frames = [sample["first_frames"] for sample in contents["samples"].values()]
        self._within = np.arange(rule.clip_len) * rule.frame_step
        self._numbers = []
        for firsts in self.first_frames:
            # No clip of a view that begins before the video does will ever come.
            shifts = [shift for shift in self.shifts if firsts[0] + shift >= 0]
            self._numbers.append(np.unique(np.add.outer(np.add.outer(firsts, shifts), self._within)))
        self._offset = np.cumsum([0, *map(len, self._numbers)])

    def __len__(self) -> int:
        return int(self._offset[-1])

    def rows(self, index: int, first_frame: int) -> np.ndarray:
        """Rows of the frames of the clip of a sample that begins at `first_frame`."""
        return self._offset[index] + np.searchsorted(self._numbers[index], first_frame + self._within)


def _check_format(path: Path, file: h5py.File) -> None:
    format_name = text_attribute(file, "format") if "format" in file.attrs else None
    if format_name != FORMAT:
        raise CacheError(
            f"{path}: is an HDF5 file of format {f'{format_name!r:.60}'}, expected a frame store"
            f" ({FORMAT!r}); give another name"
        )
    if (version := integer_attribute(file, "version")) != VERSION:
        raise CacheError(
            f"{path}: has format version {version}, this program reads {VERSION}; remove it, and it is made"
            " again"
        )


def _read_contents(file: h5py.File) -> tuple[dict, dict[str, h5py.Dataset]]:
    """What a store says that is in it, and its arrays, which are as large as they are to be.

    Raises:
        ValueError, AqaError, one of `DAMAGE`: it is not what a store has.
    """
    found = {member.name: member for member in members(file)}
    if bad := next((member for member in found.values() if member.wrong), None):
        raise ValueError(f"{bad.name!r} {bad.wrong}")
    arrays = {name: found[name].dataset for name in ("available", "frames", "contents")}
    text = arrays.pop("contents")
    if not isinstance(text.id.get_type(), h5py.h5t.TypeStringID) or text.shape != ():
        raise ValueError("'contents' is no text")
    contents = parse_json(bytes(read_values(text)[()]).decode("utf-8"))
    for name, kind in (("samples", dict), ("videos", dict), ("views", list), ("clip_rule", dict)):
        if not isinstance(contents[name], kind):
            raise ValueError(f"contents: {name} is a {type(contents[name]).__name__}")
    ClipRule.from_record(contents["clip_rule"])
    crop = Preprocessing.from_record(contents["preprocessing"]).crop
    for sample in contents["samples"].values():
        firsts = sample["first_frames"]
        if not firsts or not all(type(first) is int and 0 <= first < 1 << 48 for first in firsts):
            raise ValueError("contents: first_frames are no numbers of frames")
    views = contents["views"]
    for view in views:
        shift, flip = view
        if type(shift) is not int or abs(shift) > MAX_JITTER or type(flip) is not bool:
            raise ValueError(f"contents: {view!r:.60} is no view")
    if views[:1] != [[PLAIN.shift, PLAIN.flip]] or len(set(map(tuple, views))) < len(views):
        raise ValueError("contents: the views are not different ones, the plain one first")
    if "checksums" in found:
        arrays["checksums"] = found["checksums"].dataset
    shapes = {name: array.shape for name, array in arrays.items()}
    types = {name: h5py.h5t.STD_U32LE if name == "checksums" else h5py.h5t.STD_U8LE for name in arrays}
    if any(not arrays[name].id.get_type().equal(types[name]) for name in arrays):
        raise ValueError("an array is of another type than bytes")
    rows = shapes["frames"][0] if len(shapes["frames"]) == 4 else 0
    if shapes["frames"] != (rows, crop, crop, 3) or shapes.get("checksums", (rows + 1,)) != (rows + 1,):
        raise ValueError(f"frames and checksums have shapes {shapes}, expected (rows, {crop}, {crop}, 3)")
    if len(shapes["available"]) != 2 or arrays["frames"].id.get_offset() is None:
        raise ValueError("arrays are not in one piece")
    return contents, arrays
