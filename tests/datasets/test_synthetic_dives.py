"""Laws of the synthetic dives: what is labelled is what is drawn, and scores reach the picture only through
faults.
"""

import csv
import dataclasses
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from at_once import at_once

from aqa_cache.annotations import read_annotations
from aqa_cache.datasets.synthetic_dives import broadcast, diver, render_broadcasts
from aqa_cache.datasets.synthetic_dives.broadcast import draw_frames, plan_broadcasts
from aqa_cache.datasets.synthetic_dives.dive import (
    PROGRAMME,
    ROTATION_TYPES,
    SOMERSAULTS,
    TWISTS,
    Dive,
    Faults,
    Labels,
    Looks,
    draw_faults,
    draw_labels,
)
from aqa_cache.datasets.synthetic_dives.diver import Motion, body_points, centre_of_mass
from aqa_cache.datasets.synthetic_dives.judging import (
    commentate,
    draw_panel,
    expected_mark,
    final_score,
    give_marks,
)
from aqa_cache.datasets.synthetic_dives.picture import Scene
from aqa_cache.errors import AqaError, MissingDependency

FULL_SIZE = {"train_dives": 1, "test_dives": 0, "events": 1, "seed": 5}
SMALL = {"train_dives": 4, "test_dives": 2, "events": 3, "seed": 5}
TINY = {**SMALL, "size": (160, 90)}
CODES = (
    "101B",
    "107B",
    "109C",
    "205C",
    "305B",
    "405C",
    "5253B",
    "5337D",
    "5132D",
    "614B",
    "626C",
    "632C",
    "104C",
)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dives") / "demo"
    calls = []
    table = render_broadcasts(
        folder, workers=1, progress=lambda done, total: calls.append((done, total)), **TINY
    )
    assert table == folder / "annotations.csv"
    assert calls == [(done, 6) for done in range(7)]
    return folder


@pytest.fixture(scope="module")
def scene():
    return Scene("Harbour Cup 2015", (640, 360), 25, 0)


@pytest.fixture(scope="module")
def plan():
    return plan_broadcasts(train_dives=140, test_dives=50, events=6, seed=1, frame_rate=25)


def make(code="205B", faults=None, **looks):
    return Motion(Dive(Labels.from_code(code), faults or Faults(), Looks(**looks)))


def draw_some(scene, motion):
    return np.stack([scene.draw(motion, 200 + k, 200) for k in (6, 16, 24, 28, 31, 34, 38, 42)])


# The render


def test_same_seed_gives_the_same_files_whatever_the_workers(rendered, tmp_path):
    calls = []
    render_broadcasts(tmp_path, workers=2, progress=lambda done, total: calls.append((done, total)), **TINY)
    for path in rendered.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name
    assert sorted(os.listdir(tmp_path)) == sorted(os.listdir(rendered))
    assert calls[0] == (0, 6) and calls[-1] == (6, 6) and calls == sorted(calls)


def test_same_seed_gives_the_same_frames_and_another_seed_others():
    def first_frames(seed):
        event = plan_broadcasts(**{**SMALL, "seed": seed}, frame_rate=25)[0]
        frames = draw_frames(event, Scene(event.name, (160, 90), 25, seed))
        return np.stack([next(frames) for _ in range(100)])

    assert np.array_equal(first_frames(5), first_frames(5))
    assert not np.array_equal(first_frames(5), first_frames(6))


def test_videos_are_h264_with_the_planned_frames(tmp_path):
    av = pytest.importorskip("av")
    event = plan_broadcasts(**FULL_SIZE, frame_rate=25)[0]
    scene = Scene(event.name, (640, 360), 25, FULL_SIZE["seed"])
    render_broadcasts(tmp_path, workers=1, **FULL_SIZE)
    with av.open(str(tmp_path / event.video)) as container:
        stream = container.streams.video[0]
        assert (stream.average_rate, stream.codec_context.name) == (25, "h264")
        assert (stream.width, stream.height) == (640, 360)
        drawn = draw_frames(event, scene)
        for frame, picture in zip(container.decode(stream), drawn, strict=True):
            difference = np.abs(frame.to_ndarray(format="rgb24").astype(np.int16) - picture)
            assert difference.mean() < 4, frame.pts


def count_frames(path):
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_windows_lie_in_the_video_apart_from_each_other(rendered, plan):
    for samples, frames in (
        (
            read_annotations(rendered / "annotations.csv"),
            {path.name: count_frames(path) for path in rendered.glob("*.mp4")},
        ),
        ([p.sample for event in plan for p in event.dives], {event.video: event.frames for event in plan}),
    ):
        last = {}
        for sample in samples:
            assert sample.end_frame - 103 - 3 >= last.get(sample.video, 0), sample.sample_id
            last[sample.video] = sample.end_frame + 3
            assert last[sample.video] <= frames[sample.video]
            assert 85 <= sample.end_frame - sample.start_frame <= 115


@pytest.mark.parametrize("frame_rate", [20, 25, 30])
def test_flight_and_splash_lie_in_the_used_frames_of_the_window(frame_rate):
    for event in plan_broadcasts(train_dives=30, test_dives=10, events=4, seed=3, frame_rate=frame_rate):
        before = 0
        for planned in event.dives:
            end, flight = planned.sample.end_frame, Motion(planned.dive).contact_s
            assert end - 103 - 3 >= before
            assert end - 103 < planned.take_off_frame
            assert planned.take_off_frame + (flight + diver.SPLASH_S) * frame_rate <= end - 7
            # Nothing of a dive is seen in the window of the one before it.
            assert planned.take_off_frame - diver.APPROACH_S * frame_rate >= before
            before = end + 3


def test_the_diver_stays_in_the_centre_crop(plan):
    # 112 of (171, 128) pixels, scaled up to 640x360.
    left, right, top, bottom = 29.5 / 171 * 640, 141.5 / 171 * 640, 8 / 128 * 360, 120 / 128 * 360
    for event in plan:
        scene = Scene(event.name, (640, 360), 25, 1)
        for planned in event.dives[::3]:
            motion = Motion(planned.dive)
            for seconds in np.arange(-0.75, motion.contact_s, 0.1):
                joints = motion.joints_at(seconds)[0]
                xs, ys = scene.tip_x + joints[:, 0] * scene.scale, scene.water_y - joints[:, 2] * scene.scale
                assert left < xs.min() and xs.max() < right, planned.sample.sample_id
                assert top < ys.min() and ys.max() < bottom, planned.sample.sample_id


def test_splits_are_whole_events(rendered, plan):
    for samples in (
        read_annotations(rendered / "annotations.csv"),
        [p.sample for event in plan for p in event.dives],
    ):
        splits = {}
        for sample in samples:
            splits.setdefault(sample.group, set()).add(sample.split)
        assert all(len(values) == 1 for values in splits.values())
    assert len({planned.sample.group for event in plan for planned in event.dives}) == 6
    splits = [planned.sample.split for event in plan for planned in event.dives]
    assert (splits.count("train"), splits.count("test")) == (140, 50)


@pytest.mark.parametrize(
    ("train", "test", "events", "test_events"),
    [(24, 12, 6, 2), (4, 2, 3, 1), (1, 10, 6, 5), (10, 1, 6, 1), (3, 0, 3, 0), (0, 2, 1, 1), (1, 1, 2, 1)],
)
def test_every_dive_is_placed_and_no_event_is_empty(train, test, events, test_events):
    plan = plan_broadcasts(train_dives=train, test_dives=test, events=events, seed=0, frame_rate=25)
    splits = [event.dives[0].sample.split for event in plan]
    assert splits == ["train"] * (events - test_events) + ["test"] * test_events
    assert sum(len(event.dives) for event in plan) == train + test


# Scores


def test_final_score_is_difficulty_times_the_middle_three_marks(rendered):
    with open(rendered / "annotations.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    for row in rows:
        marks = [float(row[f"judge_{number}"]) for number in range(1, 8)]
        assert all(0 <= mark <= 10 and mark * 2 == int(mark * 2) for mark in marks)
        for _ in range(2):
            marks.remove(max(marks))
            marks.remove(min(marks))
        assert float(row["final_score"]) == pytest.approx(float(row["difficulty"]) * sum(marks), abs=0.005)


def test_marks_spread_as_in_competitions():
    rng = np.random.default_rng(0)
    marks = np.array([give_marks(draw_faults(rng), draw_panel(rng), rng) for _ in range(2000)])
    assert (marks * 2 == np.round(marks * 2)).all() and marks.min() >= 0 and marks.max() <= 10
    execution = np.median(marks, axis=1)
    assert 6.3 < execution.mean() < 7.7 and 1.2 < execution.std() < 1.9
    assert np.percentile(execution, 1) < 3.5 and np.percentile(execution, 99) >= 9
    # Judges differ, but they saw the same dive.
    correlation = np.corrcoef(marks.T)[np.triu_indices(7, 1)].mean()
    assert 0.85 < correlation < 0.98


WORSE = {
    "over_rotated": Faults(rotation_error_deg=15),
    "under_rotated": Faults(rotation_error_deg=-15),
    "knees": Faults(knee_bend_deg=25),
    "legs": Faults(leg_split_deg=20),
    "near": Faults(distance_m=0.9),
    "far": Faults(distance_m=2.0),
    "splash": Faults(splash_m=0.6),
}
STILL_WORSE = {
    "over_rotated": Faults(rotation_error_deg=30),
    "under_rotated": Faults(rotation_error_deg=-30),
    "knees": Faults(knee_bend_deg=50),
    "legs": Faults(leg_split_deg=35),
    "near": Faults(distance_m=0.75),
    "far": Faults(distance_m=2.6),
    "splash": Faults(splash_m=1.2),
}


@pytest.mark.parametrize("fault", WORSE)
@pytest.mark.parametrize("code", ["205B", "107C", "5235D"])
def test_each_fault_is_seen_and_costs_points(scene, code, fault):
    assert expected_mark(Faults()) > expected_mark(WORSE[fault]) > expected_mark(STILL_WORSE[fault])
    good, bad, worse = (
        draw_some(scene, make(code, faults)).astype(int)
        for faults in (Faults(), WORSE[fault], STILL_WORSE[fault])
    )
    for picture, other in ((good, bad), (bad, worse)):
        changed = (np.abs(picture - other).max(axis=-1) > 40).sum()
        assert changed > 200, changed


def test_marks_and_split_do_not_reach_the_picture():
    event = plan_broadcasts(**SMALL, frame_rate=25)[0]
    first = event.dives[0]
    sample = dataclasses.replace(
        first.sample, judges=(0.0,) * 7, final_score=0.0, difficulty=1.5, split="test", caption=""
    )
    other = dataclasses.replace(event, dives=(dataclasses.replace(first, sample=sample), *event.dives[1:]))
    scene = Scene(event.name, (320, 180), 25, 5)
    for picture, same in zip(draw_frames(event, scene), draw_frames(other, scene), strict=True):
        assert np.array_equal(picture, same)


def test_faults_are_drawn_apart_from_labels_and_looks(monkeypatch):
    before = plan_broadcasts(**SMALL, frame_rate=25)
    monkeypatch.setattr(broadcast, "draw_faults", lambda rng: Faults())
    after = plan_broadcasts(**SMALL, frame_rate=25)
    for event, perfect in zip(before, after, strict=True):
        for planned, other in zip(event.dives, perfect.dives, strict=True):
            assert planned.dive.labels == other.dive.labels and planned.dive.looks == other.dive.looks
            assert planned.dive.faults != other.dive.faults
            assert planned.sample.end_frame == other.sample.end_frame


def test_outside_its_box_a_dive_leaves_the_background_alone(scene):
    dives = [
        make("107C"),
        make("5253B", Faults(30, 20, 10, 2.0, 1.2), spray_seed=4),
        make("626B", height_m=1.6),
    ]
    for frame in range(153, 270, 5):
        for motion in dives:
            picture, background = scene.draw(motion, frame, 200), scene.background(frame)
            outside = np.ones(picture.shape[:2], dtype=bool)
            box = scene.box(motion, frame, 200)
            if box:
                outside[box[1] : box[3], box[0] : box[2]] = False
            assert np.array_equal(picture[outside], background[outside])
            # The body and the splash are small beside the picture, so that this says something.
            assert outside.mean() > 0.85


def test_the_background_moves_with_time_and_is_one_for_all_events_of_a_render(scene):
    assert not np.array_equal(scene.background(0), scene.background(5))
    assert np.array_equal(scene.background(3), scene.background(3 + 25))
    other_event, other_render = (
        Scene("Island Open 2019", (640, 360), 25, 0),
        Scene("Harbour Cup 2015", (640, 360), 25, 1),
    )
    assert not np.array_equal(scene.background(0), other_render.background(0))
    differing = np.argwhere((scene.background(0) != other_event.background(0)).any(axis=2))
    assert len(differing)  # the name, in a corner that MTL-AQA's crop does not see
    rows, columns = differing[:, 0], differing[:, 1]
    assert (
        columns.max() < (640 - 640 * 112 / 171) / 2
        or rows.max() < (360 - 360 * 112 / 128) / 2
        or rows.min() > 360 - (360 - 360 * 112 / 128) / 2
    )


# Motion


@pytest.mark.parametrize("code", CODES)
def test_flight_is_ballistic(code):
    motion, step = make(code, Faults(12, 20, 10, 1.9, 0.5)), 0.04
    times = np.arange(0, motion.contact_s, step)
    centres = np.array([centre_of_mass(motion.joints_at(t)[0]) for t in times])
    acceleration = np.diff(centres, 2, axis=0)[:, [0, 2]] / step**2
    assert acceleration == pytest.approx(np.broadcast_to([0, -9.81], acceleration.shape), abs=1e-6)


@pytest.mark.parametrize("error", [0, 25, -25])
@pytest.mark.parametrize("code", CODES)
def test_the_body_turns_as_labelled(code, error):
    labels, motion = Labels.from_code(code), make(code, Faults(rotation_error_deg=error))
    times = np.linspace(0, motion.contact_s, 200)
    angles, twists = np.array([motion.joints_at(t)[1:] for t in times]).T
    handstand = 180 if labels.armstand else 0
    turned = motion.turns_clockwise * (angles - handstand)
    # It leaves the platform leaning, and turns one way only.
    assert abs(turned[0]) < 15 and (np.diff(turned) > 0).all()
    assert turned[-1] == pytest.approx(360 * labels.somersaults + error)
    assert abs(twists[-1] - twists[0]) == pytest.approx(360 * labels.twists)
    # The head meets the water first or the feet do, at the angle of the fault.
    joints = motion.joints_at(motion.contact_s)[0]
    body = joints[diver.NECK] - joints[diver.PELVIS]
    assert (body[2] < 0) == labels.head_first
    assert joints[:, 2].min() == pytest.approx(0, abs=1e-6)
    assert np.degrees(np.arcsin(abs(body[0]) / np.hypot(body[0], body[2]))) == pytest.approx(
        abs(error), abs=1e-6
    )


@pytest.mark.parametrize(
    ("code", "chest_to_water", "clockwise"),
    [("105C", True, 1), ("205C", False, 1), ("305C", True, -1), ("405C", False, -1)],
)
def test_direction_of_facing_and_turning(code, chest_to_water, clockwise):
    motion = make(code)
    joints = motion.joints_at(-0.8)[0]
    toes = joints[[diver.TOE_L, diver.TOE_R], 0] - joints[[diver.ANKLE_L, diver.ANKLE_R], 0]
    assert (toes > 0).all() == chest_to_water
    assert motion.turns_clockwise == clockwise


def test_the_body_moves_without_a_jump():
    for code in CODES:
        motion = make(code)
        path = np.array([motion.joints_at(t)[0] for t in np.arange(-1.8, motion.contact_s + 0.3, 0.005)])
        assert np.linalg.norm(np.diff(path, axis=0), axis=-1).max() < 0.2, code


def test_limbs_keep_their_length_in_the_plane_of_the_picture():
    straight, tucked = body_points(diver.REACH, 1.7), body_points(diver.TUCK, 1.7)
    for start, end, _ in diver.SEGMENTS:
        lengths = [np.hypot(*(points[end] - points[start])[[0, 2]]) for points in (straight, tucked)]
        assert lengths[0] == pytest.approx(lengths[1])
    assert diver.inertia(body_points(diver.TUCK, 1.7)) < diver.inertia(body_points(diver.PIKE, 1.7))
    assert diver.inertia(body_points(diver.PIKE, 1.7)) < 0.5 * diver.inertia(straight)


def test_splash_reaches_the_height_of_the_fault(scene):
    for splash_m in (0.3, 0.8, 1.3):
        motion = make("107C", Faults(splash_m=splash_m))
        rows = []
        for frame in range(200 + int(25 * motion.contact_s) + 10, 260):
            changed = (scene.draw(motion, frame, 200) != scene.background(frame)).any(axis=(1, 2))
            rows += list(np.flatnonzero(changed)[:1])
        assert (scene.water_y - min(rows)) / scene.scale == pytest.approx(splash_m, abs=0.12)


# Labels and captions


def test_programme_is_plausible():
    dives = [Labels.from_code(code) for code in PROGRAMME]
    assert len(set(dives)) == len(dives)
    for code, labels in zip(PROGRAMME, dives, strict=True):
        assert labels.classes["somersaults"] in SOMERSAULTS and labels.classes["twists"] in TWISTS
        assert labels.rotation_type in ROTATION_TYPES
        assert (labels.position != "free") or labels.twists > 0, code
        assert labels.rotation_type != "inward" or (labels.twists <= 1 and not labels.armstand), code
        assert 1.3 <= labels.difficulty <= 4.1, code
    rng = np.random.default_rng(0)
    drawn = [draw_labels(rng) for _ in range(500)]
    assert np.mean([labels.head_first for labels in drawn]) > 0.95
    assert {labels.position for labels in drawn} == {"free", "pike", "tuck"}


def test_difficulty_grows_with_what_is_harder():
    def difficulty(**changes):
        return dataclasses.replace(Labels("tuck", False, "forward", 2.5, 0), **changes).difficulty

    plain = difficulty()
    assert plain == 2.4
    for change in (
        {"somersaults": 3.0},
        {"twists": 0.5},
        {"position": "pike"},
        {"armstand": True},
        {"rotation_type": "back"},
        {"rotation_type": "inward"},
        {"rotation_type": "reverse"},
    ):
        assert difficulty(**change) > plain, change


def test_captions_name_the_dive_and_its_faults_and_no_numbers():
    rng = np.random.default_rng(0)
    for _ in range(1000):
        labels, faults = draw_labels(rng), draw_faults(rng)
        caption = commentate(labels, faults, rng)
        assert 15 <= len(caption.split()) <= 35, caption
        assert re.fullmatch(r"[a-z ]+", caption), caption
        assert f"in the {labels.position} position" in caption and f" {labels.rotation_type} " in caption
        assert ("armstand" in caption) == labels.armstand and (" twist" in caption) == (labels.twists > 0)
        assert ("vertical" in caption or "rotated" in caption or "straight" in caption) and (
            "splash" in caption or "rip" in caption or "water" in caption
        )
    caption = commentate(Labels.from_code("5253B"), Faults(-30, 0, 0, 1.4, 1.2), rng)
    assert "back two and a half somersaults with one and a half twists in the pike position" in caption
    assert "short of vertical" in caption or "under rotated" in caption


def test_final_score_by_hand():
    # Without the two best and the two worst: 7.0 + 7.5 + 8.0 = 22.5; times 3.2.
    assert final_score((6.5, 9.0, 7.0, 8.0, 7.5, 8.5, 5.0), 3.2) == 72.0


# The folder


def test_a_finished_render_is_left_as_it_is(rendered, monkeypatch):
    before = {path.name: path.stat().st_mtime_ns for path in rendered.iterdir()}
    monkeypatch.setattr(broadcast, "_encode", None)
    assert render_broadcasts(rendered, workers=1, **TINY) == rendered / "annotations.csv"
    assert {path.name: path.stat().st_mtime_ns for path in rendered.iterdir()} == before


def test_an_interrupted_render_leaves_no_half_video_and_is_taken_up(tmp_path, rendered):
    class StoppedError(Exception):
        pass

    def stop(done, total):
        if done == 3:  # the second of the second event's two dives is not yet encoded
            raise StoppedError

    with pytest.raises(StoppedError):
        render_broadcasts(tmp_path, workers=1, progress=stop, **TINY)
    assert sorted(os.listdir(tmp_path)) == ["01.mp4", "render.unfinished.json"]
    calls = []
    render_broadcasts(tmp_path, workers=1, progress=lambda done, total: calls.append(done), **TINY)
    assert calls == [2, 3, 4, 5, 6]
    for path in rendered.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name
    assert len(os.listdir(tmp_path)) == len(os.listdir(rendered))


def test_of_several_that_render_into_one_folder_one_renders_and_the_others_wait(tmp_path, monkeypatch):
    encoded = []

    def encode(folder, event, *_):
        encoded.append(event.video)
        (folder / event.video).touch()

    monkeypatch.setattr(broadcast, "_encode", encode)
    at_once(*[lambda: render_broadcasts(tmp_path, workers=1, **TINY)] * 4)
    assert sorted(encoded) == sorted(path.name for path in tmp_path.glob("*.mp4"))
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_folder_of_something_else_is_refused(tmp_path, rendered):
    (tmp_path / "holiday.mp4").write_bytes(b"")
    with pytest.raises(AqaError, match=r"holiday\.mp4"):
        render_broadcasts(tmp_path, **TINY)
    with pytest.raises(AqaError, match="seed 5, now 6"):
        render_broadcasts(rendered, **{**TINY, "seed": 6})
    with pytest.raises(AqaError, match="cannot be made"):
        render_broadcasts(tmp_path / "holiday.mp4", **TINY)
    assert os.listdir(tmp_path) == ["holiday.mp4"]


def test_a_render_of_an_older_renderer_is_refused(tmp_path):
    (tmp_path / "render.json").write_text(json.dumps({"renderer_version": 0}))
    with pytest.raises(AqaError, match="renderer_version 0, now"):
        render_broadcasts(tmp_path, **TINY)
    (tmp_path / "render.json").write_text("{")
    with pytest.raises(AqaError, match="cannot be read"):
        render_broadcasts(tmp_path, **TINY)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"train_dives": -1}, "train_dives"),
        ({"train_dives": 0, "test_dives": 0}, "at least one dive"),
        ({"events": 1}, "whole events"),
        ({"events": 100}, "one per dive"),
        ({"size": (641, 360)}, "even"),
        ({"size": (360, 640)}, "width"),
        ({"frame_rate": 50}, "frame_rate"),
        ({"workers": 0}, "workers"),
    ],
)
def test_arguments_out_of_range_are_named(tmp_path, wrong, message):
    with pytest.raises(AqaError, match=message):
        render_broadcasts(tmp_path / "new", **{**TINY, **wrong})
    assert not (tmp_path / "new").exists()


def test_pyav_is_needed_only_to_encode(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingDependency, match="av is needed for rendering the demo videos"):
        render_broadcasts(tmp_path / "new", **TINY)
    assert not (tmp_path / "new").exists()
    code = "import sys; sys.modules['av'] = None; import aqa_cache.datasets.synthetic_dives"
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
