"""Small files of every format, read back; and what is none of them."""

import json

import h5py
import numpy as np
import pytest

from aqa_cache.errors import AqaError
from aqa_cache.keypoints.arrays import read_array_file
from aqa_cache.keypoints.detections import read_openpose, read_results
from aqa_cache.keypoints.sources import find_sources
from aqa_cache.keypoints.tracked import read_deeplabcut, read_sleap

POSITIONS = np.random.default_rng(0).uniform(1, 600, (6, 3, 2)).round(3)
CONFIDENCE = np.random.default_rng(1).uniform(0.1, 1, (6, 3)).round(3)
THIRD = np.concatenate([POSITIONS, CONFIDENCE[..., None]], axis=2)
NAMES = ("head", "neck", "pelvis")


def same(track, joints=(), confidence=True):
    np.testing.assert_allclose(track.positions[:, 0], POSITIONS, rtol=1e-6)
    assert track.joints == joints
    if confidence:
        np.testing.assert_allclose(track.confidence[:, 0], CONFIDENCE, rtol=1e-6)


def test_arrays(tmp_path):
    np.save(tmp_path / "a.npy", POSITIONS.astype(np.float32))
    same(read_array_file(tmp_path / "a.npy"), confidence=False)
    np.save(tmp_path / "b.npy", THIRD)
    same(read_array_file(tmp_path / "b.npy", "confidence"))
    assert read_array_file(tmp_path / "b.npy", "depth").positions.shape == (6, 1, 3, 3)
    np.savez(tmp_path / "c.npz", keypoints=POSITIONS, confidence=CONFIDENCE, joints=np.array(NAMES))
    same(read_array_file(tmp_path / "c.npz"), NAMES)
    np.savez_compressed(tmp_path / "d.npz", THIRD)
    same(read_array_file(tmp_path / "d.npz", "confidence"))
    np.save(tmp_path / "e.npy", np.stack([POSITIONS, POSITIONS], axis=1).round())
    assert read_array_file(tmp_path / "e.npy").positions.shape == (6, 2, 3, 2)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"keypoints": THIRD}, "three numbers a joint.*--third confidence or depth"),
        ({"keypoints": POSITIONS[0]}, r"shape \(3, 2\), expected \(frames, joints, 2 or 3\)"),
        ({"keypoints": POSITIONS[:0]}, r"shape \(0, 3, 2\)"),
        ({"keypoints": np.array(NAMES)}, "<U6, expected numbers"),
        ({"keypoints": POSITIONS, "joints": np.array(NAMES[:2])}, "names 2 joints and has 3"),
        ({"keypoints": POSITIONS, "joints": np.array(["a", "a", "b"])}, "expected different names"),
        ({"keypoints": POSITIONS, "joints": np.arange(3)}, "expected a list of names"),
        (
            {"keypoints": POSITIONS, "confidence": CONFIDENCE[:5]},
            "confidence is of 5 frames and 3 joints, its keypoints of 6 and",
        ),
        ({"keypoints": POSITIONS, "confidence": np.array(1.0)}, r"float64 of shape \(\), expected a number"),
        ({"keypoints": POSITIONS, "scores": CONFIDENCE}, "holds scores, expected keypoints"),
        ({"confidence": CONFIDENCE, "joints": np.array(NAMES)}, "holds no keypoints"),
        ({"keypoints": np.array([None])}, "Python objects"),
    ],
)
def test_arrays_that_are_no_keypoints(tmp_path, arrays, said):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(AqaError, match=said):
        read_array_file(tmp_path / "a.npz")


def write_openpose(folder, frames=range(6), people=1):
    folder.mkdir()
    for frame in frames:
        listed = [{"person_id": [-1], "pose_keypoints_2d": THIRD[frame].ravel().tolist()}] * people
        (folder / f"clip_{frame:012d}_keypoints.json").write_text(
            json.dumps({"version": 1.3, "people": listed})
        )


def test_openpose(tmp_path):
    write_openpose(tmp_path / "a")
    (tmp_path / "a" / "clip_000000000003_keypoints.json").write_text('{"people": []}')
    track = read_openpose(tmp_path / "a")
    assert np.isnan(track.positions[3]).all() and not track.open_ended
    np.testing.assert_array_equal(track.positions[[0, 1, 2, 4, 5], 0], POSITIONS[[0, 1, 2, 4, 5]])
    write_openpose(tmp_path / "b", people=2)
    assert read_openpose(tmp_path / "b").positions.shape == (6, 2, 3, 2)
    write_openpose(tmp_path / "c", frames=(0, 1, 3))
    with pytest.raises(AqaError, match="has 3 frames, and none of them is 2"):
        read_openpose(tmp_path / "c")


def test_lists_of_results(tmp_path):
    entries = [
        {"image_id": f"{frame}.jpg", "category_id": 1, "keypoints": THIRD[frame].ravel().tolist(), "score": 2}
        for frame in (4, 0, 2)
    ]
    (tmp_path / "a.json").write_text(json.dumps(entries))
    track = read_results(tmp_path / "a.json")
    assert track.open_ended and len(track) == 5 and np.isnan(track.positions[[1, 3]]).all()
    np.testing.assert_array_equal(track.positions[[0, 2, 4], 0], POSITIONS[[0, 2, 4]])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "is empty, expected a list of objects"),
        ('{"a": 1}', "is dict, expected a list"),
        ("[1]", "its entry 0 lacks image_id"),
        ('[{"image_id": "x.jpg", "keypoints": [1, 2, 3]}]', "'x.jpg', which has no number"),
        ('[{"image_id": 1, "keypoints": [1, 2]}]', "no list of x, y and confidence"),
        ('[{"image_id": 1, "keypoints": [1, 2, "3"]}]', "no list of x, y and confidence"),
        ('[{"image_id": 1, "keypoints": [1, 2, NaN]}]', "cannot be read as JSON.*NaN"),
        ('[{"image_id": -5, "keypoints": [1, 2, 3]}]', "-5, which has no number from 0 up"),
        ('[{"image_id": 1.5, "keypoints": [1, 2, 3]}]', "1.5, which has no number from 0 up"),
        (
            json.dumps([{"image_id": 9999999, "keypoints": [1, 2, 3] * 7}]),
            "asks for 10,000,000 frames of 1 people with 7 joints",
        ),
        ('[{"image_id": 999999999, "keypoints": [1, 2, 3]}]', "frame 999999999, expected numbers below"),
        (
            '[{"image_id": 0, "keypoints": [1, 2, 3]}, {"image_id": 1, "keypoints": [1, 2, 3, 4, 5, 6]}]',
            "people of 1 and of 2 joints",
        ),
        ("[" * 5000, "cannot be read as JSON"),
    ],
)
def test_lists_that_are_no_results(tmp_path, text, said):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(AqaError, match=said):
        read_results(tmp_path / "a.json")


def write_deeplabcut(path, individuals=None):
    people = individuals or ["one"]
    columns = [(who, part, axis) for who in people for part in NAMES for axis in ("x", "y", "likelihood")]
    rows = [["scorer", *["net"] * len(columns)]]
    rows += [["individuals", *(who for who, _, _ in columns)]] if individuals else []
    rows += [["bodyparts", *(part for _, part, _ in columns)], ["coords", *(axis for _, _, axis in columns)]]
    rows += [[frame, *np.tile(THIRD[frame].ravel(), len(people))] for frame in range(6)]
    path.write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n")


def test_deeplabcut(tmp_path):
    write_deeplabcut(tmp_path / "a.csv")
    same(read_deeplabcut(tmp_path / "a.csv"), NAMES)
    write_deeplabcut(tmp_path / "b.csv", ["left", "right"])
    assert read_deeplabcut(tmp_path / "b.csv").positions.shape == (6, 2, 3, 2)
    text = (tmp_path / "a.csv").read_text()
    (tmp_path / "c.csv").write_text(text.replace(str(POSITIONS[2, 1, 0]), ""))
    assert np.isnan(read_deeplabcut(tmp_path / "c.csv").positions[2, 0, 1]).tolist() == [True, False]
    for changed, said in (
        (text.replace(str(POSITIONS[2, 1, 0]), "far"), "frame 2 has 'far', expected a number"),
        (text.replace("coords", "axes"), "has no such rows or no frames"),
        (text.replace("likelihood", "p"), "has the coordinate 'p'"),
        (text + "7,1\n", "its rows do not have 10 cells each"),
        ("sample_id,video\na,b\n", "expected the header rows scorer"),
    ):
        (tmp_path / "d.csv").write_text(changed)
        with pytest.raises(AqaError, match=said):
            read_deeplabcut(tmp_path / "d.csv")


def test_a_few_numbers_do_not_ask_for_more_memory_than_there_is(tmp_path):
    """A table with a person and a joint of its own in each column."""
    count = 9000
    names = (("scorer", "s"), ("individuals", "i{}"), ("bodyparts", "b{}"), ("coords", "x"), ("0", "1"))
    lines = (",".join([name, *(cell.format(n) for n in range(count))]) for name, cell in names)
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(AqaError, match="asks for 1 frames of 9,000 people with 9,000 joints"):
        read_deeplabcut(tmp_path / "a.csv")


def test_a_file_of_sleap_without_a_track_has_nobody(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["tracks"], file["node_names"] = np.empty((0, 2, 3, 6)), np.array([n.encode() for n in NAMES])
    with pytest.raises(AqaError, match="has nobody in any of its 6 frames"):
        read_sleap(tmp_path / "a.h5").person(None)


def test_sleap(tmp_path):
    names = np.array([name.encode() for name in NAMES])
    with h5py.File(tmp_path / "matlab.h5", "w") as file:
        file["tracks"] = np.stack([POSITIONS.transpose(2, 1, 0)])
        file["point_scores"] = CONFIDENCE.T[None]
        file["node_names"] = names
    same(read_sleap(tmp_path / "matlab.h5"), NAMES)
    with h5py.File(tmp_path / "standard.h5", "w") as file:
        file["tracks"], file["point_scores"] = POSITIONS[:, None], CONFIDENCE[:, None]
        file["node_names"] = names
    same(read_sleap(tmp_path / "standard.h5"), NAMES)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["tracks"], file["node_names"] = POSITIONS[None, None], names[:2]
    with pytest.raises(AqaError, match=r"its tracks have the shape \(1, 1, 6, 3, 2\)|four axes"):
        read_sleap(tmp_path / "other.h5")
    with h5py.File(tmp_path / "table.h5", "w") as file:
        file["df_with_missing/table"] = POSITIONS
    with pytest.raises(AqaError, match="of DeepLabCut give the .csv"):
        read_sleap(tmp_path / "table.h5")
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["node_names"], file["tracks"] = names, h5py.ExternalLink("matlab.h5", "tracks")
    with pytest.raises(AqaError, match="tracks is a link"):
        read_sleap(tmp_path / "link.h5")
    (tmp_path / "text.h5").write_text("no")
    with pytest.raises(AqaError, match="cannot be read"):
        read_sleap(tmp_path / "text.h5")


def test_every_format_is_found_by_the_name_of_its_sample_or_video(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "poses"
    (folder / "sub").mkdir(parents=True)
    np.save(folder / "sub" / "a.npy", POSITIONS)
    np.savez(folder / "b.npz", POSITIONS)
    write_openpose(folder / "c")
    (folder / "d").mkdir()
    (folder / "d" / "alphapose-results.json").write_text('[{"image_id": "0.jpg", "keypoints": [1, 2, 3]}]')
    (folder / "e.json").write_text('[{"image_id": 0, "keypoints": [1, 2, 3]}]')
    write_deeplabcut(folder / "fDLC_resnet50_divesMay1shuffle1_1000.csv")
    (folder / "annotations.csv").write_text("sample_id,video\n")
    with h5py.File(folder / "g.analysis.h5", "w") as file:
        file["tracks"] = np.stack([POSITIONS.transpose(2, 1, 0)])
        file["node_names"] = np.array([name.encode() for name in NAMES])
    for given in (folder, folder.relative_to(tmp_path)):
        found = find_sources(given)
        assert sorted(found) == ["b", "c", "d", "e", "f", "g", "sub/a"]
        assert all(source.read().positions.ndim == 4 for (source,) in found.values())
    (tmp_path / "empty").mkdir()
    for place, said in (("empty", "holds no keypoints; expected NAME.npy"), ("none", "is no folder")):
        with pytest.raises(AqaError, match=said):
            find_sources(tmp_path / place)
