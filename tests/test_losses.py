import math
from dataclasses import replace

import pytest
import torch
from synthetic_cache import POSITIONS

from aqa_heads.losses import CAPTION_WEIGHT, caption_loss, multitask_loss, score_loss
from aqa_heads.model import AqaModel, Output
from aqa_heads.targets import NO_CLASS, Split


def test_score_loss_is_mse_plus_l1():
    # Differences 1 and -3: (1 + 9) / 2 + (1 + 3) / 2.
    assert score_loss(torch.tensor([2.0, 1.0]), torch.tensor([1.0, 4.0])).item() == 7.0


def test_caption_loss_is_summed_over_words_and_divided_by_captions():
    logits = torch.tensor([[0.0, 0.0], [math.log(3), 0.0], [0.0, 0.0]])
    # -log p: log 2, log 4/3 and log 2.
    expected = (2 * math.log(2) + math.log(4 / 3)) / 2
    assert caption_loss(logits, torch.tensor([0, 0, 1]), 2).item() == pytest.approx(expected, rel=1e-6)


class Fixed(torch.nn.Module):
    """A model that says the same of every sample."""

    score_scale = 10.0

    def __init__(self):
        super().__init__()
        self.captioner = torch.nn.Module()
        self.captioner.output = torch.nn.Identity()

    def forward(self, features, count, heard):
        batch = len(features)
        position = torch.tensor([[math.log(2), 0.0, 0.0]]).expand(batch, 3)
        spoken = None if heard is None else torch.zeros(*heard.shape, 8)
        return Output(torch.full((batch,), 2.0), {"position": position, "twists": torch.zeros(batch, 2)}, spoken)


def make_split(score, position, twists, captions) -> Split:
    return Split(
        samples=[None] * 3,
        views=[[torch.ones(1, 2)]] * 3,
        score=torch.tensor(score),
        classes={"position": torch.tensor(position), "twists": torch.tensor(twists)},
        captions=[torch.tensor(caption, dtype=torch.int64) for caption in captions],
    )


def test_multitask_loss_worked_by_hand():
    split = make_split([30.0, 10.0, 20.0], [0, 1, 0], [0, 1, 1], [[1, 3, 0], [1, 4, 5, 6, 0], [1, 3, 0]])
    loss = multitask_loss(Fixed(), split.batch([0, 1, 2]))
    assert loss.score.item() == pytest.approx((1 + 1 + 0) / 3 + (1 + 1 + 0) / 3)
    assert loss.classes["position"].item() == pytest.approx((math.log(2) + math.log(4) + math.log(2)) / 3)
    assert loss.classes["twists"].item() == pytest.approx(math.log(2))
    assert loss.caption.item() == pytest.approx((2 + 4 + 2) * math.log(8) / 3)
    parts = loss.score + sum(loss.classes.values()) + 0.01 * loss.caption
    assert loss.total.item() == pytest.approx(parts.item()) and CAPTION_WEIGHT == 0.01


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


@pytest.mark.parametrize("padded_words", [0, 6])
def test_padding_of_captions_changes_neither_loss_nor_gradient(padded_words):
    torch.manual_seed(0)
    model = AqaModel(
        4, tasks=("caption",), classes={"position": POSITIONS}, words=8, score_scale=1.0, rnn="gru", layers=2, attention="none",
        encoder="average", encoder_hidden=1, encoder_layers=1,
    ).eval()  # fmt: skip
    split = make_split([0.0] * 3, [0] * 3, [0] * 3, [[1, 3, 0], [1, 4, 5, 6, 0], [1, 3, 0]])
    split = replace(split, views=[[clips] for clips in torch.randn(3, 2, 4)])
    alone = sum(multitask_loss(model, split.batch([index])).caption for index in range(3)) / 3
    alone.backward()
    expected = model.captioner.rnn2.weight_hh_l0.grad.clone()
    model.zero_grad()
    batch = split.batch([0, 1, 2])
    if padded_words:
        steps = batch.heard.shape[1]
        positions = batch.positions // steps * (steps + padded_words) + batch.positions % steps
        batch = replace(batch, heard=torch.nn.functional.pad(batch.heard, (0, padded_words)), positions=positions)
    together = multitask_loss(model, batch).caption
    together.backward()
    torch.testing.assert_close(together, alone)
    torch.testing.assert_close(model.captioner.rnn2.weight_hh_l0.grad, expected, atol=1e-6, rtol=1e-5)
