"""Laws of `faults.csv`: costs add up to what is lacking, and the frames are those that show the fault."""

import csv
import dataclasses

import numpy as np
import pytest

from aqa_cache.datasets.synthetic_dives import broadcast, render_broadcasts
from aqa_cache.datasets.synthetic_dives.broadcast import plan_broadcasts
from aqa_cache.datasets.synthetic_dives.dive import Dive, Faults, Labels, Looks
from aqa_cache.datasets.synthetic_dives.diver import Motion
from aqa_cache.datasets.synthetic_dives.faults import FAULTS, frames_of_faults, shown_faults
from aqa_cache.datasets.synthetic_dives.judging import expected_mark
from aqa_cache.datasets.synthetic_dives.picture import Scene

TAKE_OFF, RATE = 200, 25
ALL = Faults(rotation_error_deg=20, knee_bend_deg=30, leg_split_deg=20, distance_m=2.2, splash_m=0.9)


@pytest.fixture(scope="module")
def dives():
    plan = plan_broadcasts(train_dives=30, test_dives=10, events=4, seed=3, frame_rate=RATE)
    return [planned for event in plan for planned in event.dives]


def motion_of(code, faults=ALL):
    return Motion(Dive(Labels.from_code(code), faults, Looks()))


def test_what_faults_cost_is_what_the_dive_lacks_of_the_best_score(dives):
    hopeless = dataclasses.replace(
        dives[0], dive=dataclasses.replace(dives[0].dive, faults=Faults(38, 60, 38, 2.9, 1.4))
    )
    for planned in [*dives, hopeless]:
        found = shown_faults(planned, RATE)
        lacking = 3 * planned.sample.difficulty * (9.6 - expected_mark(planned.dive.faults))
        assert sum(fault.points for fault in found) == pytest.approx(lacking, abs=0.03)
        assert [fault.fault for fault in found] == [
            name for name in FAULTS if name in {fault.fault for fault in found}
        ]
        assert all(fault.points >= 0 for fault in found)
        clean = dataclasses.replace(planned, dive=dataclasses.replace(planned.dive, faults=Faults()))
        assert shown_faults(clean, RATE) == []


def test_each_fault_costs_what_the_judges_take_off_for_it_alone(dives):
    for name, fault in zip(FAULTS, dataclasses.fields(Faults), strict=True):
        faults = dataclasses.replace(Faults(), **{fault.name: getattr(ALL, fault.name)})
        planned = dataclasses.replace(dives[0], dive=dataclasses.replace(dives[0].dive, faults=faults))
        (found,) = shown_faults(planned, RATE)
        lost = 3 * planned.sample.difficulty * (expected_mark(Faults()) - expected_mark(faults))
        assert found.fault == name and found.points == pytest.approx(lost, abs=0.005)


@pytest.mark.parametrize("code", ["107B", "205B", "5253B", "626C", "101B"])
def test_rotation_and_distance_show_while_the_body_is_in_the_water(code):
    motion, seen = motion_of(code), frames_of_faults(motion_of(code), TAKE_OFF, RATE)
    assert seen["rotation"] == seen["distance"]
    first, last = seen["rotation"]
    for frame in range(TAKE_OFF, last + 2):
        heights = motion.joints_at((frame - TAKE_OFF) / RATE)[0][:, 2]
        in_water = heights.min() <= 1e-9 and heights.max() > 0
        assert in_water == (first <= frame <= last)


@pytest.mark.parametrize("code", ["107B", "205B", "5253B", "101B"])
def test_knees_and_legs_show_from_take_off_to_the_water(code):
    motion, clean = motion_of(code), motion_of(code, Faults())
    seen = frames_of_faults(motion, TAKE_OFF, RATE)
    assert seen["knees"] == seen["legs"] and seen["knees"][1] + 1 == seen["rotation"][0]
    first, last = ((frame - TAKE_OFF) / RATE for frame in seen["knees"])
    poses = [
        (each._flight_pose(at).split, each._flight_pose(at).knee)
        for each in (motion, clean)
        for at in (first - 1 / RATE, first, last)
    ]
    before, at_first, at_last, *cleanly = poses
    assert before == cleanly[0]
    assert at_first[0] > cleanly[1][0] and at_last[0] > cleanly[2][0]
    assert at_first[1] > cleanly[1][1] and at_last[1] > cleanly[2][1]


def test_the_splash_shows_from_the_touch_until_it_is_gone():
    scene = Scene("Harbour Cup 2015", (160, 90), RATE, 0)
    large, small = motion_of("107B"), motion_of("107B", dataclasses.replace(ALL, splash_m=0.2))
    first, last = frames_of_faults(large, TAKE_OFF, RATE)["splash"]
    for frame in range(first - 8, last + 3):
        drawn = [scene.draw(motion, frame, TAKE_OFF) for motion in (large, small)]
        if not first <= frame <= last:
            assert np.array_equal(*drawn), frame
        elif first + 1 < frame < last - 10:  # it fades
            assert not np.array_equal(*drawn), frame
    assert scene.box(large, last, TAKE_OFF) and not scene.box(large, last + 1, TAKE_OFF)


def test_the_table_lies_beside_the_videos_also_of_an_earlier_render(tmp_path, monkeypatch, dives):
    monkeypatch.setattr(broadcast, "_encode", lambda folder, event, *rest: (folder / event.video).touch())
    render = {"train_dives": 30, "test_dives": 10, "events": 4, "seed": 3, "workers": 1}
    render_broadcasts(tmp_path, **render)
    path = tmp_path / "faults.csv"
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    expected = [dataclasses.asdict(fault) for planned in dives for fault in shown_faults(planned, RATE)]
    assert rows == [{name: str(value) for name, value in row.items()} for row in expected]
    written = path.read_bytes()
    path.unlink()
    render_broadcasts(tmp_path, **render)
    assert path.read_bytes() == written
