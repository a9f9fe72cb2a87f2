"""The clip features of a split's samples in all their views: in memory, or read when they are needed."""

from array import array
from collections.abc import Iterable, Sequence
from itertools import accumulate

import torch

from aqa_cache.cache_file.reader import FeatureCache


class SomeViews(Sequence):
    """Clip features of some samples of others, which are held once.

    Args:
        places: per sample whose features, and at which index there.
    """

    def __init__(self, places: "Iterable[tuple[Views | SomeViews, int]]"):
        # Some of some are places in the first ones: no read goes from one to the next.
        self._places = [
            views._places[index] if isinstance(views, SomeViews) else (views, index)
            for views, index in places
        ]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.read(index)

    @property
    def counts(self) -> list[int]:
        """How many views each sample has."""
        return [views.view_count(index) for views, index in self._places]

    def view_count(self, index: int) -> int:
        """How many views sample `index` has."""
        views, place = self._places[index]
        return views.view_count(place)

    def clip_count(self, index: int) -> int:
        """How many clips the plain view of sample `index` has."""
        views, place = self._places[index]
        return views.clip_count(place)

    def read(self, index: int, view: int = 0) -> torch.Tensor:
        """Features of the `view`-th view that sample `index` has; see `Views.read`."""
        views, place = self._places[index]
        return views.read(place, view)


class Views(Sequence):
    """Clip features by sample and view; as a sequence, those of every sample's first view, the plain one.

    Args:
        cache: stays open as long as features are read.
        indices: of the samples in the cache.
        numbers: per sample the numbers of its views in the cache.
        in_memory: whether all features are read now, once.

    Shape:
        - Features of a sample: `(clips, dim)` float32.
    """

    def __init__(
        self, cache: FeatureCache, indices: Sequence[int], numbers: Sequence[Sequence[int]], in_memory: bool
    ):
        self._cache, self._indices, self._numbers = cache, list(indices), list(numbers)
        self._device = torch.device("cpu")
        self._held = None
        if in_memory:
            places = [
                (index, view)
                for index, views in zip(self._indices, self._numbers, strict=True)
                for view in views
            ]
            self._held = torch.from_numpy(cache.features_of(places))
            clips = [int(cache.lengths[place]) for place in places]
            # Of each view its first row, and of each sample its first view.
            self._row = array("q", accumulate(clips, initial=0))
            self._view = array("q", accumulate(self.counts, initial=0))

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.read(index)

    @property
    def counts(self) -> list[int]:
        """How many views each sample has."""
        return [len(views) for views in self._numbers]

    def view_count(self, index: int) -> int:
        """How many views sample `index` has."""
        return len(self._numbers[index])

    def clip_count(self, index: int) -> int:
        """How many clips the plain view of sample `index` has."""
        return int(self._cache.lengths[self._indices[index], self._numbers[index][0]])

    def read(self, index: int, view: int = 0) -> torch.Tensor:
        """Features of the `view`-th view that sample `index` has.

        Raises:
            CacheError: they are damaged.
        """
        if self._held is not None:
            place = range(self._view[index], self._view[index + 1])[view]
            return self._held[self._row[place] : self._row[place + 1]]
        return self._stored(index, view).to(self._device)

    def to(self, device: torch.device) -> "Views":
        """Itself, with features on `device` from now on."""
        self._device = device
        if self._held is not None:
            self._held = self._held.to(device)
        return self

    def _stored(self, index: int, view: int) -> torch.Tensor:
        return torch.from_numpy(self._cache.features(self._indices[index], self._numbers[index][view]))
