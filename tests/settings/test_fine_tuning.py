import pytest

from aqa_cache.clips.views import PLAIN, View
from aqa_heads import FineTuning, TrainingConfig
from aqa_heads.errors import TrainingError


def test_views_are_what_augment_draws_from():
    assert FineTuning("videos", augment="none").views == (PLAIN,)
    assert FineTuning("videos", augment="flip").views == (PLAIN, View(flip=True))
    assert len(FineTuning("videos").views) == 14 and FineTuning("videos").views[0] == PLAIN


@pytest.mark.parametrize(
    "augment, said",
    [
        ("rotate", "augment: unknown view 'rotate' in 'rotate'; expected .*, or none"),
        ("jitter=99", "augment: jitter is 99 frames, it must be 1 to 16, or none"),
        ("flip,none", "augment: unknown view 'none'"),
    ],
)
def test_another_augmentation_is_one_message(augment, said):
    with pytest.raises(TrainingError, match=said):
        FineTuning("videos", augment=augment)


def test_a_warm_start_and_a_pretrained_encoder_exclude_each_other():
    options = {"encoder": "lstm", "pretrain_epochs": 2}
    TrainingConfig("feats.h5", fine_tuning=FineTuning("videos"), **options)
    with pytest.raises(TrainingError, match="pretrain_epochs and warm_start are both asked for"):
        TrainingConfig("feats.h5", fine_tuning=FineTuning("videos", warm_start="runs/a"), **options)
