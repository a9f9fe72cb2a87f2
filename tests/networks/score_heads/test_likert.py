"""GDLT's grades."""

import torch
from head_inputs import encoded, known, prepared, scores

from aqa_heads.networks.score_heads.likert import LikertHead


def test_one_linear_read_out_a_grade_is_four_separate_ones():
    head, clips = prepared(LikertHead, scores(5), parts=4), encoded(5, parts=4)
    with torch.no_grad():
        diagonal = torch.stack([head.linear(clips.parts[:, k])[:, k] for k in range(4)], 1)
        grades = diagonal.sigmoid()
        expected = (grades * torch.tensor([0, 1 / 3, 2 / 3, 1])).sum(1) / grades.sum(1)
        torch.testing.assert_close(head(clips), expected)


def test_scores_of_training_lie_inside_of_what_it_can_say():
    points = scores(12)
    head = prepared(LikertHead, points, parts=4)
    said = head.predict(encoded(12, parts=4), known(12))
    assert ((head.low < said.points) & (said.points < head.high)).all() and said.spread is None
    span = points.max() - points.min()
    torch.testing.assert_close(head.low.float(), points.min() - 0.1 * span)
    torch.testing.assert_close(head.high.float(), points.max() + 0.1 * span)
    same = prepared(LikertHead, torch.tensor([7.0, 7.0]), parts=4)
    assert same.low < 7 < same.high


def test_the_loss_is_the_squared_error_in_units_of_the_scale():
    points = scores(5)
    head, clips, given = prepared(LikertHead, points, parts=4), encoded(5, parts=4), known(5)
    wrong = (head.predict(clips, given).points - points) / (head.high - head.low)
    torch.testing.assert_close(head.loss(clips, given, points).double(), wrong.square(), rtol=1e-4, atol=1e-8)
