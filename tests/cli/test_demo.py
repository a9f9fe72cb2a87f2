import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from synthetic_cache import small_models

from aqa_cache.cache_file.reader import FeatureCache
from aqa_cli import demo

TINY = {"train_dives": 12, "test_dives": 3, "events": 5, "epochs": 1, "batch_size": 9}


@pytest.mark.slow
def test_the_whole_path_from_videos_to_the_report(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "DEFAULT", replace(demo.DEFAULT, **TINY))
    monkeypatch.setattr(demo, "FRAME_SIZE", 32)
    with small_models():
        result = CliRunner().invoke(demo.main, ["--out", str(tmp_path / "demo"), "--threads", "1"])
    assert result.exit_code == 0, result.output
    page = (tmp_path / "demo" / "report.html").read_text()
    assert (
        "random weights" in page
        and "12 dives to train on and 3 to test" in page
        and "at most 1 epochs" in page
    )
    assert sorted(path.name for path in (tmp_path / "demo" / "runs").iterdir()) == sorted(
        [
            "baseline-on-s3d",
            "default",
            "exp1-on-s3d",
            "exp2",
            "exp3",
            "exp4-on-s3d",
            "exp5-on-s3d",
            "exp6-on-s3d",
            "exp7-on-s3d",
            "ridge",
        ]
    )
    (scored,) = json.loads((tmp_path / "demo/scores/scores.json").read_text())["scores"]
    assert scored["sample_id"] == "new-dive" and len(scored["neighbours"]) == 3
    assert not any("learned" in note for note in scored["notes"])
    scored_page = (tmp_path / "demo/scores/index.html").read_text()
    assert "../new-dive.mp4#t=" in scored_page and str(tmp_path / "demo/scores/index.html") in result.output
    with FeatureCache(tmp_path / "demo" / "feats-s3d.h5") as cache:
        assert len(cache) == 15 and cache.lengths[:, 0].tolist() == [6] * 15
        assert cache.spec.preprocessing["resize"] == [37, 49]  # the field of view of 128 x 171 at 112
        assert cache.spec.weights.startswith("random")
    # once more, the short way
    monkeypatch.setattr(demo, "DEFAULT", replace(demo.DEFAULT, backbones={"2": "s3d"}))
    with small_models():
        again = CliRunner().invoke(demo.main, ["--out", str(tmp_path / "demo"), "--pose"])
    assert again.exit_code == 0, again.output
    assert "Pose+DCT+SVR, normalised" in again.output and "joints as the renderer knows" in (
        (tmp_path / "demo" / "report.html").read_text()
    )
    with FeatureCache(tmp_path / "demo" / "feats-pose-dct.h5") as cache:
        assert cache.lengths[:, 0].tolist() == [1] * 15 and cache.dim == 20 * 2 * 50
    other = CliRunner().invoke(demo.main, ["--out", str(tmp_path / "demo"), "--seed", "1"])
    assert other.exit_code == 2 and other.stderr.startswith("1/5") and "Error: " in other.stderr


def test_an_output_that_is_something_else(tmp_path):
    (tmp_path / "afile").write_text("")
    result = CliRunner().invoke(demo.main, ["--out", str(tmp_path / "afile")])
    assert result.exit_code == 2 and "afile: cannot be made as a folder (File exists)" in result.stderr


def test_full_is_the_papers_table():
    assert (demo.FULL.train_dives, demo.FULL.test_dives, demo.FULL.epochs, demo.FULL.batch_size) == (
        140,
        50,
        100,
        16,
    )
    assert demo.FULL.backbones == {
        "baseline": "c3d",
        "1": "c3d",
        "2": "s3d",
        "3": "s3d",
        "4": "c3d",
        "5": "c3d",
        "6": "c3d",
        "7": "c3d",
        "ridge": "c3d",
    }


def test_weights_are_given_once_per_backbone(tmp_path):
    import torch

    from aqa_cache.backbones.c3d import C3D
    from aqa_cache.errors import WeightsError
    from aqa_cache.weights.resolving import choose_for

    path = tmp_path / "c3d.pth"
    torch.save(C3D().state_dict(), path)
    assert choose_for("c3d", ("s3d-kinetics400", str(path))) == str(path)
    assert choose_for("s3d", (str(path), "s3d-kinetics400")) == "s3d-kinetics400"
    assert choose_for("s3d", ("random",)) == "random"
    assert choose_for("s3d", ("published",)) is None
    with pytest.raises(
        WeightsError, match="none of the weights .* is for s3d; choose s3d-kinetics400, random, or a path"
    ):
        choose_for("s3d", (str(path),))
