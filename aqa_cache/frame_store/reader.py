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
"""

import json
from pathlib import Path

import h5py
import numpy as np

from ..cache_file.schema import FRAMES as FORMAT
from ..clips.rule import ClipRule
from ..clips.views import View
from ..errors import CacheError, first_line

VERSION = 1


class FrameStore:
    """A frame store opened for reading; a context manager.

    Args:
        path: the file, as `prepare_frames` made it.

    Attributes:
        contents (dict): what was decoded, as in the file.
        views (tuple[View, ...]): of every sample, the plain one first.

    Raises:
        CacheError: the file is not there, no frame store, of another version, or damaged.
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
                self.contents: dict = json.loads(file["contents"][()])
                self._available = file["available"][:].astype(bool)
                frames = file["frames"]
                self._frames = np.asarray(
                    np.memmap(opened, np.uint8, "r", frames.id.get_offset(), frames.shape)
                )
            self._layout = Layout(self.contents)
            self._index = {sample_id: index for index, sample_id in enumerate(self.contents["samples"])}
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise CacheError(
                f"{self.path}: cannot be read as a frame store ({first_line(error)}); if it is one, remove"
                " it, and it is made again, else give another name"
            ) from None
        self.views = self._layout.views

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
        frames = self._frames[self._layout.rows(index, self._layout.first_frames[index][number] + view.shift)]
        if not view.flip:
            return frames
        # A channel at a time: in one go every pixel is a copy of its own, which takes four times as long.
        return np.stack([frames[:, :, ::-1, channel] for channel in range(3)], axis=-1)


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
    if file.attrs.get("format") != FORMAT:
        raise CacheError(
            f"{path}: is an HDF5 file of format {file.attrs.get('format')!r}, expected a frame store"
            f" ({FORMAT!r}); give another name"
        )
    if file.attrs.get("version") != VERSION:
        raise CacheError(
            f"{path}: has format version {file.attrs.get('version')}, this program reads {VERSION}; remove"
            " it, and it is made again"
        )
