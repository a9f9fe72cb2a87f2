"""A packed model scores as its run does, and says what it contains of people."""

import hashlib
import json
import zipfile

import pytest
from click.testing import CliRunner
from synthetic_cache import small_models, write_synthetic_cache

from aqa_cache.errors import AqaError
from aqa_cli.data import data
from aqa_heads import TrainingConfig, score_table, train
from aqa_heads.scoring.intervals import calibration_for
from aqa_heads.scoring.packed import RECORD, read_record, unpacked
from aqa_heads.scoring.packing import pack
from aqa_heads.scoring.trained import read_trained

SUMMARY = "runs/run/summary.json"
SMALL = {"epochs": 1, "device": "cpu", "meteor": False, "threads": 1}


pytestmark = pytest.mark.usefixtures("small")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run with captions, two seeds of a row, and a run whose score head keeps training samples."""
    folder = tmp_path_factory.mktemp("packing")
    feats = write_synthetic_cache(folder / "feats.h5", train=24)
    with small_models():
        train(TrainingConfig(feats, "baseline", out=folder, name="run", validation=0.5, **SMALL))
        for seed in (0, 1):
            train(TrainingConfig(feats, "ridge", seed=seed, out=folder / "seeds", **SMALL))
        heads = {"score_head": "core", "tasks": ("score",)}
        train(TrainingConfig(feats, "baseline", out=folder, name="core", **heads, **SMALL))
    return folder


def scores(run, folder, level=0.5):
    return score_table(run, features=folder / "feats.h5", level=level).scores


def everything_in(path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return b"".join(archive.read(name) for name in archive.namelist())


@pytest.mark.parametrize("run", ["run", "seeds", "core"])
def test_a_packed_model_scores_as_its_run(folder, tmp_path, run):
    holds = pack(folder / run, tmp_path / "model.zip")
    assert scores(tmp_path / "model.zip", folder) == scores(folder / run, folder)
    assert "training samples: id, video's name" in holds[0]
    assert read_record(tmp_path / "model.zip")["holds"] == list(holds)


@pytest.mark.parametrize("run", ["run", "seeds"])
def test_without_neighbours_it_scores_the_same_and_names_nobody(folder, tmp_path, run, said):
    pack(folder / run, tmp_path / "model.zip", without_neighbours=True)
    assert "neighbours" in said[0] and "core head" in said[0]
    found, whole = scores(tmp_path / "model.zip", folder), scores(folder / run, folder)
    assert [one.points for one in found] == [one.points for one in whole]
    with unpacked(tmp_path / "model.zip") as packed:
        mine, theirs = (calibration_for(read_trained(place)) for place in (packed.folder, folder / run))
        for group in (None, "a new one"):
            assert mine.interval(50.0, None, group, 0.5) == theirs.interval(50.0, None, group, 0.5)
    assert [one.classes for one in found] == [one.classes for one in whole]
    assert whole[0].neighbours and not any(one.neighbours for one in found)
    notes = score_table(tmp_path / "model.zip", features=folder / "feats.h5").notes
    assert any("packed without its training samples" in note for note in notes)
    content = everything_in(tmp_path / "model.zip")
    named = [f"s{index:02d}".encode() for index in range(30)] + [b"dive very", b"v0.mp4", b"feats.h5"]
    named += [f'"g{index}"'.encode() for index in range(4)] + [f",g{index}\n".encode() for index in range(4)]
    assert not [name for name in named if name in content]
    assert [name for name in named if name in everything_in_folder(folder / run)]


def everything_in_folder(folder) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_what_keeps_training_samples_cannot_be_packed_without_them(folder, tmp_path):
    with pytest.raises(AqaError, match="its score head keeps training samples"):
        pack(folder / "core", tmp_path / "model.zip", without_neighbours=True)
    assert not (tmp_path / "model.zip").exists()


@pytest.mark.parametrize(
    ("run", "output", "message"),
    [
        ("run", "model.tar", "ends in .zip"),
        ("run/model.safetensors", "model.zip", "is a model file alone"),
        ("none", "model.zip", "not finished runs"),
        ("run", "no/model.zip", "does not exist"),
    ],
)
def test_a_mistake_is_one_message(folder, tmp_path, run, output, message):
    result = CliRunner().invoke(data, ["pack", str(folder / run), str(tmp_path / output)])
    assert result.exit_code == 2 and message in result.stderr and "Traceback" not in result.output


def test_the_command_lists_what_is_in_it(folder, tmp_path):
    result = CliRunner().invoke(data, ["pack", str(folder / "run"), str(tmp_path / "m.zip")])
    assert result.exit_code == 0 and "24 training samples" not in result.stderr
    assert "training samples" in result.stdout and "aqa-score m.zip VIDEO" in result.stdout


def rewritten(source, target, change):
    """An archive with other files: `change` gets them by name."""
    with zipfile.ZipFile(source) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda files: files.pop(RECORD), "expected a model that aqa-data pack wrote"),
        (lambda files: files.update({RECORD: b"{"}), "cannot be read"),
        (lambda files: files.update({RECORD: b'{"aqa_model": 9, "runs": ["run"]}'}), "upgrade"),
        (lambda files: files.update({RECORD: b'{"aqa_model": 1, "runs": ["../x"]}'}), "names a run"),
        (lambda files: files.update({RECORD: b'{"aqa_model": 1, "runs": []}'}), "names no run"),
        (lambda files: files.update({"runs/run/checkpoint.pt": b"x"}), "none of a model"),
        (lambda files: files.update({"runs/run/head.py": b"x"}), "none of a model"),
        (lambda files: files.update({"backbone.safetensors": b"x"}), "differ on the backbone"),
        (lambda files: files.update({SUMMARY: files[SUMMARY] + b"\n"}), "is not the file that"),
    ],
)
def test_a_changed_archive_is_refused(folder, tmp_path, change, message):
    pack(folder / "run", tmp_path / "model.zip")
    rewritten(tmp_path / "model.zip", tmp_path / "bad.zip", change)
    with pytest.raises(AqaError, match=message):
        scores(tmp_path / "bad.zip", folder)


def test_what_is_damaged_is_named_as_it_stands_in_the_archive(folder, tmp_path):
    pack(folder / "run", tmp_path / "model.zip")

    def damage(files):
        config = json.loads(files["runs/run/config.json"])
        files["runs/run/model.safetensors"] = b"short"
        config["files"]["model.safetensors"] = hashlib.sha256(b"short").hexdigest()
        files["runs/run/config.json"] = json.dumps(config).encode()

    bad = rewritten(tmp_path / "model.zip", tmp_path / "bad.zip", damage)
    with pytest.raises(AqaError) as raised:
        scores(bad, folder)
    said = str(raised.value)
    assert said.startswith(f"{bad}: runs/run/model.safetensors: is not the model of its config.json")
    assert said.endswith("copy it again, or pack it again") and "aqa-model-" not in said


def test_a_head_that_the_file_names_is_not_imported(folder, tmp_path, own_code):
    own_code("evil", "raise SystemExit('imported')")
    pack(folder / "run", tmp_path / "model.zip")

    def name_it(files):
        config = json.loads(files["runs/run/config.json"])
        config["score_head"] = "evil:Head"
        files["runs/run/config.json"] = json.dumps(config).encode()

    rewritten(tmp_path / "model.zip", tmp_path / "evil.zip", name_it)
    with pytest.raises(AqaError, match="evil"):
        scores(tmp_path / "evil.zip", folder)
