import pytest

from aqa_cache.errors import AqaError
from aqa_cache.keypoints.skeletons import SKELETONS, Anchors, anchors_of, named_joints, skeleton_of


def test_known_skeletons_have_the_joints_that_their_names_count():
    counts = {"coco17": 17, "body25": 25, "halpe26": 26, "blazepose33": 33}
    assert {name: len(set(joints)) for name, joints in SKELETONS.items()} == counts
    assert [skeleton_of(count) for count in (17, 25, 26, 33, 18)] == [*counts, None]
    # Places that the estimators' own documents name.
    assert [SKELETONS["coco17"].index(name) for name in ("left_shoulder", "right_hip", "right_ankle")] == [
        5,
        12,
        16,
    ]
    assert [SKELETONS["body25"].index(name) for name in ("neck", "mid_hip", "right_heel")] == [1, 8, 24]
    assert [SKELETONS["halpe26"].index(name) for name in ("head", "hip", "right_heel")] == [17, 19, 25]
    assert [SKELETONS["blazepose33"].index(name) for name in ("left_shoulder", "left_thumb", "left_hip")] == [
        11,
        21,
        23,
    ]


@pytest.mark.parametrize(
    ("skeleton", "expected"),
    [
        ("coco17", Anchors(0, (5, 6), (11, 12))),
        ("body25", Anchors(0, (5, 2), (12, 9))),
        ("halpe26", Anchors(17, (5, 6), (11, 12))),
        ("blazepose33", Anchors(0, (11, 12), (23, 24))),
        ("pelvis,neck,head", Anchors(2, (1,), (0,))),
    ],
)
def test_anchors_are_found_by_their_usual_names(skeleton, expected):
    assert anchors_of(named_joints(skeleton)) == expected


def test_anchors_that_are_named():
    joints = ("cap", "ls", "rs", "belt")
    assert anchors_of(joints, "cap", "ls,rs", "belt") == Anchors(0, (1, 2), (3,))
    with pytest.raises(AqaError, match="the head: expected head or nose.*cap, ls.*--head"):
        anchors_of(joints)
    with pytest.raises(AqaError, match="the hips: expected knee, .*--hips"):
        anchors_of(joints, "cap", "ls,rs", "knee")
    with pytest.raises(AqaError, match="the head: expected ls and rs"):
        anchors_of(joints, "ls,rs", "ls", "belt")


@pytest.mark.parametrize("said", ["a,,b", "a,a", "coco18,"])
def test_lists_of_joints_that_are_none(said):
    with pytest.raises(AqaError, match="one of coco17, body25"):
        named_joints(said)
