"""Models small enough to be tried in every variant, and clips for them."""

import torch
from synthetic_cache import small_models

from aqa_heads.networks.architecture import Architecture
from aqa_heads.networks.model import AqaModel
from aqa_heads.settings.experiments import TASKS
from aqa_heads.settings.training import TrainingConfig

DIM, WORDS = 6, 9
CLASSES = {"position": ["free", "pike", "tuck"], "type": ["a", "b"]}


class Clips(list):
    """Clip features of samples that have one view."""

    def read(self, index, view):
        assert view == 0
        return self[index]


def make(experiment: str, tasks=TASKS, *, projection=None, direct=False, **options) -> AqaModel:
    torch.manual_seed(0)
    config = TrainingConfig("", experiment, **options).resolve()
    with small_models():
        return AqaModel(
            Architecture(
                DIM,
                tasks=tasks,
                classes=CLASSES,
                words=WORDS,
                score_scale=17.0,
                encoder_hidden=16,
                encoder_layers=2,
                residual=config.residual,
                projection=projection,
                direct=direct,
                **config.columns,
            )
        ).eval()
