"""How sure a score is, and when it is not to be trusted."""

import csv
import json
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.torch import load_file
from scipy.stats import betabinom
from synthetic_cache import small_models, write_synthetic_cache

from aqa_cache.annotations import Sample
from aqa_cache.cache_file.reader import FeatureCache
from aqa_cache.cache_file.writer import write_cache
from aqa_cache.errors import AqaError
from aqa_cli.score import main
from aqa_heads import TrainingConfig, score_table, train
from aqa_heads.errors import RunError
from aqa_heads.evaluation.calibration import interval_of
from aqa_heads.evaluation.conformal import rank
from aqa_heads.runs.format import read_run
from aqa_heads.runs.schema import TRAINING_SAMPLES
from aqa_heads.runs.training_samples import read_training_samples, write_training_samples
from aqa_heads.runs.weights_file import said_with, write_weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Forty samples of twenty groups to train on, and the default training on them."""
    folder = tmp_path_factory.mktemp("trust")
    own_group = {"change": lambda index, sample: replace(sample, group=f"g{index // 2}")}
    path = write_synthetic_cache(folder / "feats.h5", train=40, test=6, **own_group)
    settings = {"epochs": 1, "tasks": ("score",), "device": "cpu", "threads": 1, "validation_folds": 5}
    with small_models():
        train(TrainingConfig(path, "default", out=folder / "runs", name="made", **settings))
    return folder


pytestmark = pytest.mark.usefixtures("small")


def test_the_interval_is_that_of_the_runs_held_out_samples(folder):
    run = read_run(folder / "runs" / "made")
    scores = score_table(folder / "runs", features=folder / "feats.h5", level=0.8).scores
    for one in scores:
        interval, note = interval_of(run, one.points, level=0.8)
        assert (one.interval, one.interval_note) == (interval, note)
        assert one.interval[0] < one.points < one.interval[1] and "80 %, with 20 groups" in note
    wider = score_table(folder / "runs", features=folder / "feats.h5", level=0.9).scores
    assert all(one.interval[0] <= other.interval[0] for one, other in zip(wider, scores))
    with pytest.raises(Exception, match="--level is 90, expected a share"):
        score_table(folder / "runs", features=folder / "feats.h5", level=90)


def test_new_samples_are_covered_as_is_promised(tmp_path):
    """Through the real path: default training with refit, out_of_fold.csv, aqa-score, its table."""
    noise = np.random.default_rng(7).normal(scale=6, size=340)

    def noisy(index, sample):
        return replace(sample, group=None, final_score=sample.final_score + noise[index])

    path = write_synthetic_cache(tmp_path / "feats.h5", train=40, test=300, change=noisy)
    settings = {"epochs": 1, "tasks": ("score",), "device": "cpu", "validation_folds": 5}
    run = train(TrainingConfig(path, "default", out=tmp_path, name="made", **settings))
    assert run.config["refit"] and len(run.out_of_fold) == 40
    words = [run.folder, "--features", path, "-o", tmp_path / "scores"]
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exit_code == 0, result.output
    with open(tmp_path / "scores/scores.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["sample_id"][1:]) >= 40]
    low, high, true, points = (
        np.array([float(row[name]) for row in rows])
        for name in ("interval_low", "interval_high", "final_score", "points")
    )
    hits, k = int(((low <= true) & (true <= high)).sum()), rank(40, 0.9)
    least, most = betabinom.ppf([1e-3, 1 - 1e-3], 300, k, 41 - k)
    assert len(rows) == 300 and least <= hits <= most
    assert (high - low).mean() < 8 * np.abs(true - points).mean()  # not by being wide


def test_classes_are_calibrated_apart_where_they_have_enough(folder, tmp_path):
    def classes(index, sample):
        return replace(sample, group=None, classes={"event": ("beam", "vault", "bars")[index % 7 % 3]})

    path = write_synthetic_cache(tmp_path / "feats.h5", train=40, test=6, change=classes)
    settings = {"epochs": 1, "tasks": ("score", "classes"), "device": "cpu", "validation_folds": 5}
    run = train(TrainingConfig(path, "default", out=tmp_path, name="made", **settings))
    event = {row["sample_id"]: row["class_event"] for row in run.predictions}
    count = Counter(event[row.sample_id] for row in run.out_of_fold)
    for one in score_table(run.folder, features=path, calibrate_by="event").scores:
        name = event[one.sample_id]
        expected = interval_of(run, one.points, group=name, by="class_event")
        assert (one.interval, one.interval_note) == expected
        assert f"with {count[name]} calibration samples" in one.interval_note
        assert f"all of class_event {name}" in one.interval_note
    assert min(count.values()) >= 9 and len(set(count.values())) > 1
    pooled = score_table(run.folder, features=path).scores
    assert all("with 40 calibration samples" in one.interval_note for one in pooled)
    with pytest.raises(AqaError, match="--calibrate-by is 'no', expected a column that the run has: .*event"):
        score_table(run.folder, features=path, calibrate_by="no")


def test_a_model_file_alone_has_no_interval(folder):
    found = score_table(folder / "runs/made/model.safetensors", features=folder / "feats.h5").scores[0]
    assert found.interval is None and "name the run folder" in found.interval_note


def test_what_is_unlike_the_training_samples_is_said(folder, tmp_path):
    """Fifty times as large; of the training samples themselves, of which one in twenty may be."""
    with FeatureCache(folder / "feats.h5") as cache:
        far = [
            replace(one, views=[replace(view, features=50 * view.features) for view in one.views])
            for one in cache.records()[-6:]
        ]
        write_cache(tmp_path / "far.h5", far, cache.spec, dtype="float32")
    run = folder / "runs" / "made"
    for one in score_table(run, features=tmp_path / "far.h5").scores:
        assert one.share_as_far == pytest.approx(1 / 41)
        assert [flag.name for flag in one.flags] == ["unlike"]
        assert any("outside those of training" in note for note in one.notes)
    near = score_table(run, features=folder / "feats.h5").scores
    assert sum(any(flag.name == "unlike" for flag in one.flags) for one in near) <= 3


def test_a_damaged_table_of_training_samples_is_one_message(folder, tmp_path):
    path = tmp_path / "training_samples.safetensors"
    content = bytearray((folder / "runs/made" / path.name).read_bytes())
    content[-3] ^= 64
    for wrong in (bytes(content), content[:-9], b"", b"x" * 100):
        path.write_bytes(wrong)
        with pytest.raises(
            RunError, match="training_samples.safetensors: cannot be read .*train the run again"
        ):
            read_training_samples(tmp_path)
    path.unlink()
    assert read_training_samples(tmp_path) is None


def test_training_samples_that_stand_in_the_metadata_are_read_too(folder, tmp_path):
    path = tmp_path / "training_samples.safetensors"
    shutil.copy(folder / "runs/made" / path.name, path)
    before = read_training_samples(tmp_path)
    tensors, said = load_file(path), said_with(path, TRAINING_SAMPLES)
    samples = json.loads(tensors.pop("samples").numpy().tobytes())
    assert [one["sample_id"] for one in samples] == [one.sample_id for one in before.samples]
    write_weights(path, tensors, {"samples": samples, "every": said["every"]})
    after = read_training_samples(tmp_path)
    assert after.samples == before.samples and after.every == before.every
    np.testing.assert_array_equal(after.encoded, before.encoded)


def test_more_training_samples_than_are_written_are_not_read(folder, tmp_path, monkeypatch):
    path = tmp_path / "training_samples.safetensors"
    shutil.copy(folder / "runs/made" / path.name, path)
    for name in ("_LARGEST", "_LARGEST_TEXT"):
        with monkeypatch.context() as patch:
            patch.setattr(f"aqa_heads.runs.training_samples.{name}", 100)
            with pytest.raises(RunError, match="cannot be read .*expected at most.*train the run again"):
                read_training_samples(tmp_path)


def test_too_many_training_samples_are_thinned_out_evenly(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("aqa_heads.runs.training_samples._LARGEST", 100)
    samples = [Sample(f"s{place}", "v.mp4") for place in range(30)]
    encoded = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    write_training_samples(tmp_path, samples, {"s1": (3, 50), "s2": (0, np.inf)}, encoded)
    found = read_training_samples(tmp_path)
    assert found.every == 3 and len(found.encoded) == 10 and len(found.samples) == 30
    np.testing.assert_allclose(found.encoded * found.length[:, None], encoded[::3], atol=1e-2)
    assert [one.frames for one in found.samples[:3]] == [None, (3, 50), None]


def test_a_run_without_a_score_gives_what_it_has(folder, tmp_path):
    run = train(
        TrainingConfig(
            folder / "feats.h5",
            "baseline",
            tasks=("caption",),
            epochs=1,
            device="cpu",
            meteor=False,
            out=tmp_path,
        )
    )
    one = score_table(run.folder, features=folder / "feats.h5").scores[0]
    assert one.points is None and one.contributions is None and not one.neighbours
    assert one.caption is not None and one.interval_note == "no interval: the run has no score task"
