"""What a run reads, as it is planned."""

from aqa_cache.cache_file.reader import FeatureCache
from aqa_heads.data.training_data import TrainingData, read_training_data
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training.plan import Planner


def planned_data(cache: FeatureCache, config: TrainingConfig) -> TrainingData:
    plan = Planner(cache).plan(config)
    return read_training_data(cache, plan.config, plan.division)
