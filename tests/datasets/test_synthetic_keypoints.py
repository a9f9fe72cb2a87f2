"""The joints of the synthetic divers are where the divers are drawn."""

import numpy as np
import pytest

from aqa_cache.datasets.synthetic_dives import write_keypoints
from aqa_cache.datasets.synthetic_dives.broadcast import draw_frames, plan_broadcasts
from aqa_cache.datasets.synthetic_dives.keypoints import JOINTS, keypoints_of
from aqa_cache.datasets.synthetic_dives.picture import Camera, Scene, camera_rng
from aqa_cache.errors import AqaError
from aqa_cache.keypoints.arrays import read_array_file
from aqa_cache.keypoints.skeletons import anchors_of

PLAN = {"train_dives": 1, "test_dives": 0, "events": 1, "seed": 3}


def test_joints_lie_in_the_drawn_body():
    (broadcast,) = plan_broadcasts(**PLAN, frame_rate=25)
    (planned,) = broadcast.dives
    scene = Scene(broadcast.name, (320, 180), 25, 3)
    keypoints = keypoints_of(planned, Camera((320, 180), camera_rng(3)), 25)
    assert keypoints.shape == (planned.sample.end_frame - planned.sample.start_frame, len(JOINTS), 2)
    looked = 0
    for frame, picture in enumerate(draw_frames(broadcast, scene)):
        row = frame - planned.sample.start_frame
        # Until the water: there splash covers what is left of the body.
        if not 0 <= row < planned.take_off_frame - planned.sample.start_frame + 15:
            continue
        changed = (picture != scene.background(frame)).any(axis=2)
        for x, y in keypoints[row]:
            column, line = int(x), int(y)
            assert changed[line - 1 : line + 2, column - 1 : column + 2].any(), (frame, x, y)
            looked += 1
    assert looked > 500


def test_what_is_under_water_is_not_seen():
    (broadcast,) = plan_broadcasts(**PLAN, frame_rate=25)
    camera = Camera((640, 360), camera_rng(3))
    keypoints = keypoints_of(broadcast.dives[0], camera, 25)
    seen = np.isfinite(keypoints).all(axis=2)
    assert seen[: len(seen) // 3].all() and not seen[-20:].any()
    assert (keypoints[..., 1][seen] <= camera.water_y).all()
    assert (keypoints[..., 0][seen] > 0).all() and (keypoints[..., 0][seen] < 640).all()


def test_files_are_named_after_the_samples_and_name_the_joints(tmp_path):
    arguments = PLAN | {"train_dives": 3}
    paths = write_keypoints(tmp_path / "a", **arguments)
    assert [path.name for path in paths] == ["01_0001.npz", "01_0002.npz", "01_0003.npz"]
    track = read_array_file(paths[0])
    assert track.joints == JOINTS
    anchors = anchors_of(JOINTS)
    names = [JOINTS[place] for place in (anchors.head, *anchors.shoulders, *anchors.hips)]
    assert names == ["head", "left_shoulder", "right_shoulder", "left_hip", "right_hip"]
    write_keypoints(tmp_path / "b", **arguments)
    assert all((tmp_path / "b" / path.name).read_bytes() == path.read_bytes() for path in paths)
    noisy = read_array_file(write_keypoints(tmp_path / "c", **arguments, noise_px=3.0)[0])
    off = noisy.positions - track.positions
    assert np.nanstd(off) == pytest.approx(3, rel=0.1)
    np.testing.assert_array_equal(np.isnan(noisy.positions), np.isnan(track.positions))
    with pytest.raises(AqaError, match="frame_rate is 60"):
        write_keypoints(tmp_path / "d", **arguments, frame_rate=60)
    with pytest.raises(AqaError, match="noise_px is -1"):
        write_keypoints(tmp_path / "d", **arguments, noise_px=-1)
