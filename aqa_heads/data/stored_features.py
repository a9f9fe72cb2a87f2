"""The features of a cache as training takes them: views of samples, in memory or from the file."""

from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.machine.devices import available_memory, pick_device

from ..settings.choices import ALL_VIEWS
from ..settings.resolved import ResolvedConfig
from .feature_views import Views

# Of the free memory, for the features; the rest is for the model and its optimiser.
MEMORY_SHARE = 0.5


class StoredFeatures:
    """The features of a cache by split: in memory where all of them fit there, else read when they are
    needed.
    """

    def __init__(
        self, cache: FeatureCache, config: ResolvedConfig, chosen: dict[str, list[int]], notes: list[str]
    ):
        self._cache, self._chosen, self._config = cache, chosen, config
        needed = 4 * cache.dim * sum(self._rows(name) for name in chosen)
        self._in_memory = needed <= MEMORY_SHARE * available_memory(pick_device(config.device))
        if not self._in_memory:
            notes.append(
                f"the features take {needed / 2**30:.1f} GiB, more than {MEMORY_SHARE:.0%} of the free"
                " memory: every step reads its own from the file, which is slower"
            )

    def views(self, name: str) -> Views:
        return Views(self._cache, self._chosen[name], self._numbers(name), self._in_memory)

    def _numbers(self, name: str) -> list[tuple[int, ...]]:
        all_views = name == "train" and self._config.views == ALL_VIEWS and self._config.fine_tuning is None
        chosen = self._chosen[name]
        if not all_views:  # who is chosen has the plain one
            return [(0,)] * len(chosen)
        every = range(len(self._cache.views))
        return [tuple(view for view in every if self._cache.has_features(index, view)) for index in chosen]

    def _rows(self, name: str) -> int:
        return sum(
            int(self._cache.lengths[index, view])
            for index, views in zip(self._chosen[name], self._numbers(name), strict=True)
            for view in views
        )
