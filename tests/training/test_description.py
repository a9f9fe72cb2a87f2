import csv
import json
import subprocess
from dataclasses import replace

import pytest
from synthetic_cache import tuned_on, without, write_synthetic_cache

from aqa_cache.cache_file.reader import FeatureCache
from aqa_heads.captions.vocabulary import Vocabulary, unigram_loss
from aqa_heads.settings.training import TrainingConfig
from aqa_heads.training import description as records
from aqa_heads.training.hashes import annotations_sha256
from aqa_heads.training.run import train

pytestmark = pytest.mark.usefixtures("small")


def run_on(path, **options):
    options = {
        "epochs": 1,
        "tasks": ("score", "classes"),
        "out": path.parent / "runs",
        "device": "cpu",
        "meteor": False,
    } | options
    return train(TrainingConfig(path, **{"experiment": "baseline", **options}))


def hash_of(path):
    with FeatureCache(path) as cache:
        return annotations_sha256(cache)


def test_the_hash_of_the_annotations_is_of_all_of_them_and_of_nothing_else(tmp_path):
    path = tmp_path / "feats.h5"
    plain = hash_of(write_synthetic_cache(path))
    assert plain == hash_of(write_synthetic_cache(path, weights="other", failed=(1,)))
    for change in (
        lambda index, sample: replace(sample, caption="another") if index == 3 else sample,
        lambda index, sample: replace(sample, judges=(float("nan"), 5.0)) if index == 3 else sample,
        lambda index, sample: replace(sample, classes={}) if index == 3 else sample,
        lambda index, sample: replace(sample, split="val") if index == 3 else sample,
        lambda index, sample: replace(sample, extra={"pool": "A"}) if index == 3 else sample,
    ):
        assert hash_of(write_synthetic_cache(path, change=change)) != plain


def test_missing_marks_hash_alike(tmp_path):
    def change(index, sample):
        return replace(sample, judges=(float("nan"), 5.0))

    first, second = (
        hash_of(write_synthetic_cache(tmp_path / name, change=change)) for name in ("a.h5", "b.h5")
    )
    assert first == second


def test_the_summary_has_floors_ceiling_and_audit(tmp_path):
    def change(index, sample):
        return replace(sample, judges=(7.0 + index % 3, 6.5 + index % 2, 8.0))

    run = run_on(write_synthetic_cache(tmp_path / "feats.h5", change=change))
    assert set(run.summary["floors"]) == {
        "training_mean",
        "difficulty",
        "group_mean",
        "difficulty_group_mean",
        "class_mean",
    }
    assert run.summary["floors"]["training_mean"]["n"] == 6 and run.summary["ceiling"]["judges"] == 3
    assert run.summary["audit"]["samples"] == {"train": 9, "val": 3, "test": 6, "unused": 0}
    assert run.config["leaked"] == 0 == len(run.summary["audit"]["leaks"])


def test_the_audit_is_of_the_split_that_was_used(tmp_path):
    path = write_synthetic_cache(tmp_path / "feats.h5", change=without("split"))
    run = run_on(path, folds="3", fold="2/3", protocol="paper")
    used = {"train": run.summary["n_train"], "val": 0, "test": run.summary["n_test"], "unused": 0}
    assert run.summary["audit"]["samples"] == used and sum(used.values()) == 18
    assert run.config["fold"] == "2/3" and {row["split"] for row in run.predictions} == {"train", "test"}


def test_the_unigram_loss_is_of_the_training_captions(tmp_path):
    run = run_on(write_synthetic_cache(tmp_path / "feats.h5"), tasks=("caption",))
    captions = {
        split: [row["caption"] for row in run.predictions if row["split"] == split]
        for split in ("train", "test")
    }
    expected = unigram_loss(captions["train"], captions["test"], Vocabulary.of(captions["train"]))
    assert run.summary["unigram_loss"] == pytest.approx(expected)
    assert run.summary["caption_loss_per_token"] > 0


def test_the_papers_vocabulary_is_used_on_request(tmp_path):
    words = ["<eos>", "<sos>", *"a free pike tuck dive very nice somersault".split()]
    (tmp_path / "vocab.json").write_text(
        json.dumps({"word_to_ix": {word: number for number, word in enumerate(words)}})
    )
    path = write_synthetic_cache(tmp_path / "feats.h5")
    run = run_on(path, tasks=("caption",), vocabulary=tmp_path / "vocab.json")
    assert run.vocabulary.words == [*words, "<unk>"] and run.config["vocabulary"] == str(
        tmp_path / "vocab.json"
    )
    assert any("words of test captions may be among them" in note for note in run.config["notes"])
    run.load_model()


def test_encoders_without_weights_have_no_table_of_them(tmp_path):
    run = run_on(write_synthetic_cache(tmp_path / "feats.h5"), encoder="gru")
    assert (
        not (run.folder / "contributions.csv").exists()
        and not (run.folder / "caption_attention.csv").exists()
    )


@pytest.mark.parametrize("test", [6, 0])
def test_the_weights_of_the_clips_of_every_sample_sum_to_one(tmp_path, test):
    path = write_synthetic_cache(tmp_path / "feats.h5", test=test)
    run = run_on(path, encoder="attention", epochs=3, lr=1e-2)
    with open(run.folder / "contributions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    sums = {}
    for row in rows:
        sums[row["sample_id"]] = sums.get(row["sample_id"], 0) + float(row["weight"])
    assert list(sums) == [row["sample_id"] for row in run.predictions] and len(sums) == 12 + test
    assert all(total == pytest.approx(1, abs=1e-6) for total in sums.values())


def test_the_state_of_the_source_is_known_or_said_to_be_unknown(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(
            ["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *arguments], check=True
        )

    monkeypatch.setattr(records, "__file__", str(tmp_path / "records.py"))
    (tmp_path / "records.py").write_text("")
    assert records._git_state() is None
    git("init", "-q")
    assert records._git_state() is None
    git("add", "records.py")
    git("commit", "-q", "-m", "first")
    state = records._git_state()
    assert len(state["commit"]) == 40 and not state["dirty"]
    (tmp_path / "records.py").write_text("changed")
    assert records._git_state() == state | {"dirty": True}
    # Installed into somebody's repository, it is not that repository's state.
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "records.py").write_text("")
    monkeypatch.setattr(records, "__file__", str(tmp_path / "site" / "records.py"))
    assert records._git_state() is None


def test_without_git_the_state_is_unknown(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert records._git_state() is None


def test_where_the_features_come_from_is_recorded_without_the_samples(tmp_path):
    plain = run_on(write_synthetic_cache(tmp_path / "feats.h5"))
    assert plain.config["features"]["tuned"] is None and not plain.config["features"]["weights_random"]
    tuned = tuned_on(0, 1, 2, chosen=(3,), origin="random (seed 0)")
    run = run_on(write_synthetic_cache(tmp_path / "tuned.h5", weights="exp2", tuned=tuned))
    assert run.config["features"]["tuned"] == {
        "started_from": "random (seed 0)",
        "origin": "random (seed 0)",
        "trained_on": 3,
        "chosen_on": 1,
    }
    assert run.config["features"]["weights_random"]
    assert (
        "the backbone of tuned.h5 was fine-tuned in exp2 on 3 samples, an epoch of it chosen on 1; it began"
        " with random weights (seed 0)" in run.config["notes"]
    )
    assert not any("was made with random weights" in note for note in run.config["notes"])
