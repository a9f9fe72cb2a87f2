import numpy as np
import pytest

from aqa_cache.errors import AqaError
from aqa_cache.keypoints.track import Track, fill_gaps

NAN = float("nan")


def test_gaps_are_filled_on_a_straight_line_and_held_at_the_ends():
    series = [NAN, 1.0, NAN, NAN, 7.0, NAN]
    positions = np.stack([np.array(series), np.array(series) * 10], axis=1)[:, None]
    whole = np.zeros((6, 1, 2))
    filled, share = fill_gaps(np.concatenate([positions, whole], axis=1), ["hip", "knee"])
    np.testing.assert_array_equal(filled[:, 0, 0], [1, 1, 3, 5, 7, 7])
    np.testing.assert_array_equal(filled[:, 0, 1], [10, 10, 30, 50, 70, 70])
    np.testing.assert_array_equal(filled[:, 1], whole[:, 0])
    assert share == pytest.approx(4 / 12)


def test_a_joint_of_which_one_number_lacks_was_not_found():
    positions = np.array([[[0.0, 0.0]], [[5.0, NAN]], [[2.0, 4.0]]])
    filled, share = fill_gaps(positions, ["hip"])
    np.testing.assert_array_equal(filled[1, 0], [1, 2])
    assert share == pytest.approx(1 / 3)


def test_what_was_never_found_is_said():
    positions = np.zeros((4, 2, 2))
    positions[:, 1] = NAN
    with pytest.raises(AqaError, match="knee found in none of its 4 frames; leave .*--only"):
        fill_gaps(positions, ["hip", "knee"])
    with pytest.raises(AqaError, match="nobody in any of its 4 frames"):
        fill_gaps(np.full((4, 2, 2), NAN), ["hip", "knee"])


def crowd():
    """Two people in frame 1: a small sure one, a large doubtful one; the order changes."""
    small, large = np.array([[1.0, 1], [2, 2]]), np.array([[10.0, 10], [90, 90]])
    nobody = np.full((2, 2), NAN)
    positions = np.stack([[small, nobody], [large, small], [nobody, small]])
    confidence = np.array([[[0.9, 0.9], [NAN, NAN]], [[0.2, 0.3], [0.8, 0.9]], [[NAN, NAN], [0.9, 0.1]]])
    return Track(positions, (), confidence), small, large


def test_of_several_people_one_is_taken_as_asked():
    track, small, large = crowd()
    np.testing.assert_array_equal(track.person("surest"), [small, small, small])
    np.testing.assert_array_equal(track.person("largest"), [small, large, small])
    with pytest.raises(
        AqaError, match="frame 1 has 2 people, as have 0 more; give --person surest or largest"
    ):
        track.person(None)
    with pytest.raises(AqaError, match="no confidence; give --person largest"):
        Track(track.positions).person("surest")


def test_doubtful_joints_were_not_found():
    track = crowd()[0]
    sure = track.without_doubtful(0.5)
    assert np.isnan(sure.positions[1, 0]).all() and np.isnan(sure.positions[2, 1, 1]).all()
    np.testing.assert_array_equal(sure.person(None)[1], track.positions[1, 1])
    zero = Track(np.ones((1, 1, 2, 2)), (), np.array([[[0.0, 0.1]]])).without_doubtful(0.0)
    assert np.isnan(zero.positions[0, 0, 0]).all() and zero.positions[0, 0, 1, 0] == 1
