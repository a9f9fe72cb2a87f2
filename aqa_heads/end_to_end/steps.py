"""A step of end-to-end training, as `training.fitting` takes it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..data.batches import Batch
from ..data.training_data import TrainingData
from ..runs.folder import BEST, Work
from ..settings.resolved import ResolvedConfig
from ..training.best_weights import BestWeights
from ..training.losses import Loss
from ..training.part import Part
from ..training.steps import Steps, seed_of
from .backbone_features import BackboneFeatures
from .fine_tuner import FineTuner
from .frame_views import FrameViews

# Beside the seeds of the parts of a model on cached features (`training.steps`).
_STEP = 3


class EndToEndSteps(Steps):
    """Backbone and model, trained as one part; every sample is seen in its frames.

    Args:
        data: with the features of the backbone as it starts.
        frames: of the training samples.
        work: where best weights that are too large for memory are kept.
    """

    one_by_one = True

    def __init__(
        self,
        tuner: FineTuner,
        features: BackboneFeatures,
        data: TrainingData,
        frames: FrameViews,
        config: ResolvedConfig,
        work: Work,
    ):
        self.tuner, self._features, self._seed = tuner, features, config.seed
        self.model, self.modules, self.processes = tuner.model, tuner.modules, tuner.processes
        self.shared = [tuner.backbone, tuner.model]
        self.train = replace(data.train, views=frames)
        best = BestWeights(work.path / BEST.format(tuner.part_name))
        part = Part(tuner.part_name, tuner.modules, tuner.optimisers, best)
        self.starts_trained = config.fine_tuning.warm_start is not None
        if self.starts_trained:
            part.why_start = "these are the warm start's weights, training the backbone improved nothing"
        self.parts = [part]

    def begin_epoch(self, part: Part, epoch: int) -> None:
        """Nothing: each step brings everything random with it."""

    def take(
        self, part: Part, chosen: Sequence[int], views: Sequence[int], epoch: int, step: int
    ) -> tuple[Loss, Batch]:
        return self.tuner.step(self.train, chosen, views, seed_of(self._seed, epoch, _STEP, step))

    def evaluated(self, data: TrainingData, names: Sequence[str]) -> TrainingData:
        return self._features.with_features(data, names)

    def state(self) -> dict[str, Any]:
        return self.tuner.state()

    def restore(self, state: Mapping[str, Any]) -> None:
        self.tuner.restore(state)
