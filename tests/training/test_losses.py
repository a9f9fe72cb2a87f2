import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_models import Clips
from synthetic_cache import POSITIONS, small_models

from aqa_heads.data.batches import NO_CLASS, Split
from aqa_heads.networks.architecture import Architecture
from aqa_heads.networks.model import AqaModel
from aqa_heads.networks.score_heads.regression import RegressionHead
from aqa_heads.networks.score_heads.seam import Encoded, Known, Sizes
from aqa_heads.training.losses import (
    CAPTION_WEIGHT,
    assessment_loss,
    captioner_loss,
    multitask_loss,
)


class Says(RegressionHead):
    """A regression head that says the same of every sample, or what it is told."""

    def __init__(self, says, absolute=True):
        super().__init__(Sizes(1, 1, shared=1), scale=10.0, centre=5.0, absolute=absolute)
        self.says = torch.tensor(says)

    def forward(self, encoded):
        return self.says.expand(len(encoded.pooled))


@pytest.mark.parametrize(("absolute", "expected"), [(True, [5.0, 2.0]), (False, [5.0])])
def test_the_regression_loss_is_mse_plus_l1(absolute, expected):
    # Differences 1 and -3: (1 + 9) / 2 and (1 + 3) / 2; of the sample without a score none.
    head = Says([2.0, 9.0, 1.0], absolute)
    known, points = Known(labelled=torch.tensor([0, 2])), torch.tensor([15.0, float("nan"), 45.0])
    terms = head.loss(Encoded(torch.ones(3, 1)), known, points)
    assert [term.mean().item() for term in terms] == expected


class Fixed(torch.nn.Module):
    """A model that says the same of every sample."""

    score_scale, score_centre = 10.0, 5.0
    captioner, has_score, class_names, added_loss = object(), True, {}, None

    def __init__(self, absolute=True):
        super().__init__()
        self.heads = SimpleNamespace(score=Says([1.5], absolute), classify=self.classify)

    def encode(self, features, lengths):
        return Encoded(torch.ones(len(lengths), 1))

    def classify(self, encoded):
        position = torch.tensor([[math.log(2), 0.0, 0.0]]).expand(len(encoded.pooled), 3)
        return {"position": position, "twists": torch.zeros(len(encoded.pooled), 2)}

    def caption_loss(self, features, lengths, inputs, targets, positions):
        assert len(targets) == len(positions)
        return len(targets) * torch.tensor(8.0).log()


def make_split(score, position, twists, captions) -> Split:
    return Split(
        samples=[None] * 3,
        views=Clips([torch.ones(1, 2)] * 3),
        score=torch.tensor(score),
        factor=np.ones(3),
        classes={"position": torch.tensor(position), "twists": torch.tensor(twists)},
        captions=[torch.tensor(caption, dtype=torch.int64) for caption in captions],
    )


def test_multitask_loss_worked_by_hand():
    # Targets (30 - 5) / 10, (10 - 5) / 10, (20 - 5) / 10 against 1.5.
    split = make_split([30.0, 10.0, 20.0], [0, 1, 0], [0, 1, 1], [[1, 3, 0], [1, 4, 5, 6, 0], [1, 3, 0]])
    batch = split.batch([0, 1, 2])
    loss = multitask_loss(Fixed(), batch)
    assert loss.score.item() == pytest.approx((1 + 1 + 0) / 3 + (1 + 1 + 0) / 3)
    assert loss.classes["position"].item() == pytest.approx((math.log(2) + math.log(4) + math.log(2)) / 3)
    assert loss.classes["twists"].item() == pytest.approx(math.log(2))
    assert loss.caption.item() == pytest.approx((2 + 4 + 2) * math.log(8) / 3)
    parts = loss.score + sum(loss.classes.values()) + 0.01 * loss.caption
    assert loss.total.item() == pytest.approx(parts.item()) and CAPTION_WEIGHT == 0.01
    assert assessment_loss(Fixed(absolute=False), batch).score.item() == pytest.approx(2 / 3)


def test_the_parts_are_the_whole():
    split = make_split([30.0, 10.0, 20.0], [0, 1, 0], [0, 1, 1], [[1, 3, 0], [1, 4, 5, 6, 0], [1, 3, 0]])
    batch = split.batch([0, 1, 2])
    whole, assessed, spoken = (
        loss(Fixed(), batch) for loss in (multitask_loss, assessment_loss, captioner_loss)
    )
    assert assessed.caption is None and spoken.score is None and spoken.classes == {}
    assert whole.total.item() == pytest.approx((assessed.total + spoken.total).item())
    silent = Fixed()
    silent.captioner = None
    assert captioner_loss(silent, batch).total is None
    silent.heads = None
    assert assessment_loss(silent, batch).total is None


def test_a_sample_without_a_label_contributes_nothing_to_its_task():
    nan = float("nan")
    split = make_split([30.0, nan, nan], [NO_CLASS, 1, NO_CLASS], [NO_CLASS] * 3, [[], [1, 4, 0], []])
    loss = multitask_loss(Fixed(), split.batch([0, 1, 2]))
    assert loss.score.item() == 2.0
    assert loss.classes["position"].item() == pytest.approx(math.log(4)) and "twists" not in loss.classes
    assert loss.caption.item() == pytest.approx(2 * math.log(8))


def test_a_task_without_any_label_in_the_batch_is_no_part_of_it():
    split = make_split([30.0, 1.0, 1.0], [NO_CLASS] * 3, [NO_CLASS] * 3, [[], [], []])
    loss = multitask_loss(Fixed(), split.batch([0]))
    assert loss.caption is None and loss.classes == {} and loss.total.item() == 2.0
    split = make_split([float("nan")] * 3, [NO_CLASS] * 3, [NO_CLASS] * 3, [[], [], [1, 3, 0]])
    assert assessment_loss(Fixed(), split.batch([0, 1])).total is None


@pytest.mark.parametrize("padded_words", [0, 6])
def test_padding_of_captions_changes_neither_loss_nor_gradient(padded_words):
    torch.manual_seed(0)
    with small_models():
        model = AqaModel(Architecture(4, tasks=("caption",), classes={"position": POSITIONS}, words=8)).eval()
    split = make_split([0.0] * 3, [0] * 3, [0] * 3, [[1, 3, 0], [1, 4, 5, 6, 0], [1, 3, 0]])
    split = replace(split, views=Clips(torch.randn(3, 2, 4)))
    alone = sum(multitask_loss(model, split.batch([index])).caption for index in range(3)) / 3
    alone.backward()
    expected = {name: weight.grad.clone() for name, weight in model.captioner.named_parameters()}
    model.zero_grad()
    batch = split.batch([0, 1, 2])
    if padded_words:
        steps = batch.inputs.shape[1]
        positions = batch.positions // steps * (steps + padded_words) + batch.positions % steps
        batch = replace(
            batch, inputs=torch.nn.functional.pad(batch.inputs, (0, padded_words)), positions=positions
        )
    together = multitask_loss(model, batch).caption
    together.backward()
    torch.testing.assert_close(together, alone)
    for name, weight in model.captioner.named_parameters():
        torch.testing.assert_close(weight.grad, expected[name], atol=1e-6, rtol=1e-5)
