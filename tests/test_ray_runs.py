"""A sweep on Ray: the same runs as one after the other, each written whole."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from dying_head import DIE_ONCE
from interrupted_runs import files
from synthetic_cache import write_synthetic_cache

from aqa_cli.train import main
from aqa_heads import tracking
from aqa_heads.errors import TrainingError
from aqa_heads.ray_runs import RayRuns
from aqa_heads.table import train_table

pytestmark = pytest.mark.extra
ray = pytest.importorskip("ray")

# Models of the usual size: a process of Ray knows nothing of what a test has changed.
SETTINGS = {"epochs": 2, "batch_size": 4, "device": "cpu", "threads": 1, "meteor": False, "tasks": ("score",)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ray runs on two CPUs by name, as long as these tests do."""
    folder = tmp_path_factory.mktemp("sweep")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.setenv("RAY_memory_monitor_refresh_ms", "0")
        patch.setenv("GIT_DIR", "/nowhere")  # the checkout may change between two runs that are compared
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        patch.setenv(DIE_ONCE, str(folder / "die"))
        settings = {"include_dashboard": False, "log_to_driver": False, "logging_level": "error"}
        ray.init("local", num_cpus=2, object_store_memory=100 << 20, **settings)
        yield folder
        ray.shutdown()


@pytest.fixture(scope="module")
def path(folder):
    return write_synthetic_cache(folder / "feats.h5")


def comparable(folder):
    """A run's files, without what depends on where and when, and on other runs of a call."""
    found = files(folder)
    beside = ("parts", "call")
    found["config.json"] = {k: v for k, v in found["config.json"].items() if k not in beside}
    found["summary.json"] = {k: v for k, v in found["summary.json"].items() if k != "taken_over"}
    return found


def test_a_sweep_is_the_runs_that_one_process_trains(folder, path, said):
    asked = {"experiments": "default,ridge", "lr": [1e-3, 3e-3]}
    here = train_table(path, **asked, **SETTINGS, out=folder / "here")
    said.clear()
    there = train_table(path, **asked, **SETTINGS, out=folder / "there", ray=RayRuns())
    assert [run.folder.name for run in there] == [run.folder.name for run in here] and len(here) == 3
    for one, other in zip(here, there, strict=True):
        assert comparable(one.folder) == comparable(other.folder)
    assert len(said) == 3 and said[-1].endswith("is done, 3 of 3")
    assert sorted(path.name for path in (folder / "there").iterdir() if path.is_dir()) == sorted(
        run.folder.name for run in here
    )
    # Resumed by what is there.
    (folder / "there" / here[0].folder.name / "summary.json").unlink()
    os.rename(folder / "there" / here[0].folder.name, folder / "lost")
    said.clear()
    again = train_table(path, **asked, **SETTINGS, out=folder / "there", resume=True, ray=RayRuns())
    assert sum("is finished already" in line for line in said) == 2
    assert comparable(again[0].folder) == comparable(here[0].folder)


def test_a_run_whose_process_dies_is_trained_again_or_fails_by_name(folder, path, said):
    own = {"experiments": "default", "score_head": "dying_head:DyingHead", **SETTINGS}
    (folder / "die").touch()
    (run,) = train_table(path, **own, out=folder / "dies", ray=RayRuns())
    assert not (folder / "die").exists() and run.summary["spearman"] is not None
    (folder / "die").touch()
    with pytest.raises(TrainingError, match=r"1 of 1 runs failed: .*--resume trains these alone"):
        train_table(path, **own, out=folder / "fails", ray=RayRuns(attempts=1))
    assert "1 process(es) died with it" in said[-1]
    assert not any(path.is_dir() for path in (folder / "fails").glob("*"))


def test_candidates_are_compared_and_trackers_told_as_by_one_process(folder, path, monkeypatch):
    """The whole command; what was not chosen is not tested there either."""
    told, measured = [], {"seconds", "result/peak_memory_bytes"}

    class Kept:
        def __init__(self, name, settings):
            self.row = {"name": name}
            told.append(self.row)

        def numbers(self, numbers, step):
            kept = {(name, step): value for name, value in numbers.items() if name not in measured}
            self.row |= kept

        def close(self, is_whole):
            self.row["whole"] = is_whole

    monkeypatch.setattr(tracking, "_beginner", lambda place: Kept)
    words = ["--features", path, "--exp", "default,ridge", "--choose", "--log", "any", "--device", "cpu"]
    words += ["--tasks", "score", "--epochs", 2, "--batch-size", 4, "--threads", 1, "--no-meteor"]
    shown = []
    for out, more in (("chosen-here", []), ("chosen-there", ["--ray"])):
        result = CliRunner().invoke(main, [str(word) for word in [*words, "--out", folder / out, *more]])
        assert result.exit_code == 0, result.output
        shown.append(result.output)
    here, there = (sorted((folder / out).rglob("summary.json")) for out in ("chosen-here", "chosen-there"))
    assert len(here) == len(there) == 3
    for one, other in zip(here, there, strict=True):
        assert one.relative_to(folder / "chosen-here") == other.relative_to(folder / "chosen-there")
        assert comparable(one.parent) == comparable(other.parent)
    half = len(told) // 2
    assert half == 3 and all(row["whole"] for row in told)
    assert sorted(told[:half], key=str) == sorted(told[half:], key=str)
