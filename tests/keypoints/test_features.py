import math

import numpy as np
import pytest

from aqa_cache.errors import AqaError
from aqa_cache.keypoints.features import clip_row, dct_row, torso_length
from aqa_cache.keypoints.skeletons import Anchors

# Head, shoulders (neck) and hips.
ANCHORS = Anchors(0, (1,), (2,))


def plain_dct(series):
    """The definition, one coefficient after the other."""
    n = len(series)
    found = []
    for k in range(n):
        scale = math.sqrt((1 if k == 0 else 2) / n)
        found.append(
            scale * sum(x * math.cos(math.pi * (2 * i + 1) * k / (2 * n)) for i, x in enumerate(series))
        )
    return found


def test_dct_row_is_the_definition_by_hand():
    # Two frames: the knee is at (1, 0) and (3, 0) from the head, so its coefficients are 4/√2 and -2/√2.
    positions = np.array([[[5.0, 5.0], [6.0, 5.0]], [[7.0, 1.0], [10.0, 1.0]]])
    row = dct_row(positions, Anchors(0, (1,), (1,))).reshape(2, 2, 50)
    np.testing.assert_allclose(row[1, 0, :2], [4 / math.sqrt(2), 2 / math.sqrt(2)], rtol=1e-6)
    assert (row[1, 0, 2:] == 0).all() and (row[1, 1] == 0).all() and (row[0] == 0).all()


@pytest.mark.parametrize(("frames", "pieces"), [(7, 1), (63, 1), (130, 2), (61, 3)])
def test_dct_rows_of_any_length(frames, pieces):
    positions = np.random.default_rng(0).normal(size=(frames, 3, 2)) * 100
    row = dct_row(positions, ANCHORS, pieces).reshape(pieces, 3, 2, 50)
    about = positions - positions[:, :1]
    for number, piece in enumerate(np.array_split(about, pieces)):
        for joint in range(3):
            for axis in range(2):
                expected = np.abs(plain_dct(piece[:, joint, axis]))[:50]
                np.testing.assert_allclose(row[number, joint, axis, : len(expected)], expected, atol=2e-4)
                assert (row[number, joint, axis, len(expected) :] == 0).all()


def test_dct_rows_know_nothing_of_the_place():
    positions = np.random.default_rng(0).normal(size=(80, 3, 2))
    walk = np.random.default_rng(1).normal(size=(80, 1, 2)) * 50
    np.testing.assert_allclose(
        dct_row(positions + walk, ANCHORS), dct_row(positions, ANCHORS), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(AqaError, match="80 frames, too few for 81 pieces; give a smaller --pieces"):
        dct_row(positions, ANCHORS, 81)


def test_clip_rows_by_hand():
    # A body of torso length 2 that moves right by 4 a frame, while its head goes up by 2.
    frames = [[[0.0, 4.0 + 2 * t], [0.0, 2.0], [0.0, 0.0]] for t in range(3)]
    positions = np.array(frames) + np.array([[[4.0 * t, 0.0]] for t in range(3)])
    row = clip_row(positions, ANCHORS, 2.0)
    assert row.shape == (2 * 2 * (2 * 3 + 1),)
    means, spreads = row[:14], row[14:]
    np.testing.assert_allclose(means[:6], [0, 3, 0, 1, 0, 0])  # where: head, neck, hips
    np.testing.assert_allclose(means[6:12], [0, 1, 0, 0, 0, 0])  # how fast about the hips
    np.testing.assert_allclose(means[12:], [2, 0])  # how fast the hips
    np.testing.assert_allclose(spreads[:2], [0, math.sqrt(2 / 3)], rtol=1e-6)
    assert (spreads[2:] == 0).all()


@pytest.mark.parametrize("axes", [2, 3])
def test_clip_rows_are_the_same_at_any_size_and_place(axes):
    positions = np.random.default_rng(0).normal(size=(16, 3, axes)) + np.arange(3)[None, :, None] * 9
    row = clip_row(positions, ANCHORS, torso_length(positions, ANCHORS))
    other = positions * 7 + 100
    np.testing.assert_allclose(clip_row(other, ANCHORS, torso_length(other, ANCHORS)), row, atol=1e-5)
    assert row.shape == (2 * axes * 7,)


def test_a_torso_without_length_is_refused():
    with pytest.raises(AqaError, match="torso is 0 long"):
        torso_length(np.zeros((5, 3, 2)), ANCHORS)
