"""Packed models that are added, and training that needs none."""

import asyncio
import os
import zipfile

import numpy as np
import pytest
from made_runs import make_run
from numbered_video import write_numbered_video
from synthetic_cache import write_synthetic_cache

from aqa_cache.errors import AqaError
from aqa_heads import TrainingConfig, train
from aqa_heads.evaluation.calibration import Calibration
from aqa_heads.scoring.packing import pack

pytest.importorskip("starlette")
pytestmark = pytest.mark.extra

from aqa_cli.app import models  # noqa: E402
from aqa_cli.app.arrivals import Arrivals, Limits  # noqa: E402
from aqa_cli.app.folder import Folder  # noqa: E402
from aqa_cli.app.learning import learn  # noqa: E402
from aqa_cli.app.model_uploads import ModelUploads  # noqa: E402
from aqa_cli.app.models import Models  # noqa: E402
from aqa_cli.app.refused import Refused  # noqa: E402


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """A packed ridge regression."""
    folder = tmp_path_factory.mktemp("packed")
    feats = write_synthetic_cache(folder / "feats.h5", train=16)
    train(TrainingConfig(feats, "ridge", out=folder, name="run", device="cpu", meteor=False, threads=1))
    pack(folder / "run", folder / "model.zip")
    return folder / "model.zip"


@pytest.fixture
def folder(tmp_path):
    made = Folder(tmp_path / "app")
    made.make()
    return made


def take(folder, name, content, **limits):
    async def pieces():
        yield content

    uploads = ModelUploads(folder, Arrivals(folder, Limits(**limits)), Models([folder.runs]))
    return asyncio.run(uploads.take(name, len(content), pieces()))


def all_files(folder):
    return sorted(str(path.relative_to(folder.root)) for path in folder.root.rglob("*") if path.is_file())


def test_a_packed_model_stands_among_the_others_as_it_was(folder, archive):
    content = archive.read_bytes()
    first, second = take(folder, "../../dive it.ZIP", content), take(folder, "dive_it.zip", content)
    assert [(m.label, m.problem) for m in (first, second)] == [("dive_it.zip", ""), ("dive_it_2.zip", "")]
    assert {m.id for m in Models([folder.runs]).usable()} == {first.id, second.id}
    assert all_files(folder) == ["runs/dive_it.zip", "runs/dive_it_2.zip"]
    assert (folder.runs / "dive_it.zip").read_bytes() == content


def _with(archive, target, name):
    """The archive with a further file in it."""
    target.write_bytes(archive.read_bytes())
    with zipfile.ZipFile(target, "a") as further:
        further.writestr(name, b"{}")
    return target.read_bytes()


def _flipped(content):
    """One byte of the weights is another."""
    damaged = bytearray(content)
    damaged[content.index(b".safetensors") + 200] ^= 255
    return bytes(damaged)


@pytest.mark.parametrize(
    ("name", "change", "status", "message"),
    [
        (
            "model.zip",
            lambda a, t: a.read_bytes()[:-30],
            422,
            "model.zip: is no zip archive .* or not all of",
        ),
        ("model.zip", lambda a, t: _flipped(a.read_bytes()), 422, "model.zip: is damaged"),
        ("model.zip", lambda a, t: b"PK nothing", 422, "model.zip: is no zip archive"),
        ("model.zip", lambda a, t: b"", 400, "is empty"),
        ("model.zip", lambda a, t: _with(a, t, "runs/run/code.py"), 422, "code.py"),
        ("model.zip", lambda a, t: _with(a, t, "../out.json"), 422, "out.json"),
        ("model.tar", lambda a, t: a.read_bytes(), 415, "is no packed model by its name"),
    ],
)
def test_what_is_no_whole_model_is_one_message_and_leaves_nothing(
    folder, archive, tmp_path, name, change, status, message
):
    with pytest.raises(Refused, match=message) as raised:
        take(folder, name, change(archive, tmp_path / "changed.zip"))
    assert raised.value.status == status and str(folder.root) not in str(raised.value)
    assert all_files(folder) == [] and sorted(os.listdir(tmp_path)) in (["app"], ["app", "changed.zip"])


def test_the_default_model_is_the_first_to_be_chosen(tmp_path):
    for name in ("ridge", "default"):
        make_run(tmp_path / "runs" / name, name)
    first, second = Models([tmp_path / "runs"]).usable()
    assert first.default and not second.default and "Ridge" in second.label


def test_models_are_bounded_in_size_and_number(folder, archive):
    content = archive.read_bytes()
    with pytest.raises(Refused, match="too large"):
        take(folder, "model.zip", content, bytes=len(content) - 1)
    with pytest.raises(Refused, match="there are 0 packed models, and no more are taken"):
        take(folder, "model.zip", content, models=0)
    assert all_files(folder) == []


def test_without_any_model_one_is_trained_on_features_of_the_default_backbone(folder, default_weights, said):
    rows = ["sample_id,video,final_score"]
    for number in range(3):
        write_numbered_video(folder.videos / f"v{number}.mp4", 18 + number)
        rows.append(f"v{number},v{number}.mp4,{50 + number}")
    (folder.videos / "annotations.csv").write_text("\n".join(rows) + "\n")
    learn(folder, {"name": "own-1", "model": []}, lambda line, share=None: None, lambda _: None)
    from aqa_cache.cache_file.reader import FeatureCache

    with FeatureCache(folder.root / "features-s3d.h5") as cache:
        # As aqa-extract without an option: what is left over of a video has a clip of its own.
        assert cache.spec.clip_rule["last_clip"] == "from-end"
        assert cache["v0"].features.shape == (2, 1024)
    (model,) = Models([folder.runs]).usable()
    assert "own-1" in model.label and not any("random" in note for note in model.notes)
    assert any("downloading" in line.lower() for line in said), said


def test_a_model_that_brought_its_backbone_is_trained_on_without_it_elsewhere(
    folder, trained, three, tmp_path
):
    pack(trained / "runs/ridge", folder.runs / "model.zip", with_backbone=True)
    names = ["one", "two", "three", "gone"]
    for video in three:
        (folder.videos / video.name).write_bytes(video.read_bytes())
    rows = [f"{name},{name}.mp4,{50 + place}" for place, name in enumerate(names)]
    (folder.videos / "annotations.csv").write_text("\n".join(["sample_id,video,final_score", *rows]) + "\n")
    asked = {"name": "own-1", "model": [str(folder.runs / "model.zip")]}
    note = learn(folder, asked, lambda line, share=None: None, lambda _: None)
    assert note.startswith("1 of 4 clips with a score could not be used: gone (gone.mp4): no such video")
    (own,) = (model for model in Models([folder.runs]).usable() if "own-1" in model.label)
    assert own.tested == 3 and any("random weights" in line for line in own.notes)
    for name in names[:2]:
        (folder.videos / f"{name}.mp4").write_bytes(b"")
    with pytest.raises(AqaError, match="3 of 4 clips .*; too few are left to train on"):
        learn(folder, {**asked, "name": "own-2"}, lambda line, share=None: None, lambda _: None)


def test_how_far_a_score_may_be_off_is_not_cut_by_the_scale(monkeypatch):
    wide = Calibration(errors=np.full(40, 60.0), scale=(0.0, 100.0))
    monkeypatch.setattr(models, "calibration_of", lambda runs: wide)
    assert models._within([object()])[0] == 60.0
