"""Laws of where a report says its numbers come from."""

import pytest
from made_runs import leave_out_drawing, make_end_to_end, make_run, report


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    leave_out_drawing(monkeypatch)


def test_views_stand_among_the_features_and_settings_and_are_plain_where_none_are_named(tmp_path):
    features = {"backbone": "c3d", "path": "f.h5", "fingerprint": "ab" * 32}
    plain = make_run(tmp_path / "baseline", config={"features": features})
    all_views = make_run(
        tmp_path / "exp1", "1", config={"features": features | {"views": ["plain", "flip"]}, "views": "all"}
    )
    text = report(tmp_path, plain, all_views).text
    assert "Views plain Features of Exp 1" in text
    assert "Views plain; flip Training" in text and "views all" in text


@pytest.mark.parametrize(
    ("device", "label"), [("cpu", "peak memory of the whole process so far"), ("cuda:1", "peak memory")]
)
def test_peak_memory_says_whose_it_is(tmp_path, device, label):
    page = report(tmp_path, make_run(tmp_path / "baseline", config={"device": device}))
    assert f"{label} 700 MiB" in page.text


def test_what_the_runs_of_a_row_have_in_common_stands_once_and_the_rest_side_by_side(tmp_path):
    runs = [make_run(tmp_path / str(seed), seed=seed, config={"lr": 1e-4}) for seed in (0, 1)]
    text = report(tmp_path, *runs).text
    assert "seed 0 · 1 " in text and "lr 0.0001 " in text and "0.0001 ·" not in text


def test_notes_name_the_rows_and_seeds_they_are_of(tmp_path):
    runs = [
        make_run(
            tmp_path / f"{name}{seed}",
            name,
            seed=seed,
            config={"notes": [f"drawn with seed {seed}", "always"]},
        )
        for name in ("baseline", "1")
        for seed in (0, 1)
    ]
    text = report(tmp_path, *runs).text
    assert "always drawn with seed 1 seed 1 of Baseline and Exp 1 Configuration" in text


def test_notes_that_only_the_fold_tells_apart_are_said_once(tmp_path):
    runs = [
        make_run(
            tmp_path / f"f{k}",
            fold=f"{k}/3",
            first=10 * k,
            n=10,
            config={"notes": [f"fold {k}/3, of whole groups: {8 + (k > 1)} samples are tested"]},
        )
        for k in (1, 2, 3)
    ]
    text = report(tmp_path, *runs).text
    assert "the fold, of whole groups: 8 samples are tested fold 1/3 " in text
    assert text.count("9 samples are tested") == 1 and "9 samples are tested fold 2/3; fold 3/3" in text


def test_random_weights_are_named_once(tmp_path):
    features = {"backbone": "c3d", "path": "f.h5", "weights": "random (seed 0)", "weights_random": True}
    text = report(tmp_path, make_run(tmp_path / "baseline", config={"features": features})).text
    assert "Weights random weights (seed 0) " in text and "(random)" not in text


def test_a_backbone_that_was_trained_is_said_to_come_from_where_it_started_and_how_it_went_on(tmp_path):
    page = report(tmp_path, make_run(tmp_path / "baseline"), make_end_to_end(tmp_path / "tuned"))
    head, tuned = page.text.split("Backbone trained end to end in Baseline end to end")
    assert "Features of Baseline Backbone C3D" in head and "Weights sports1m" in head
    assert (
        "Started from sports1m, cdcdcdcdcdcd Frozen layers conv1, conv2 Trained 27,429,000 of 27,655,936"
        " parameters Learning rate 1e-05" in " ".join(tuned.split()).replace(" ,", ",")
    )
    for needed in (
        "Augmentation flip,jitter=3",
        "Batch norm frozen",
        "Precision fp16",
        "Clips at a time 2",
        "Processes 2",
        "Heads taken from runs/baseline",
        "fine-tuning videos /data/videos",
        "fine-tuning freeze until conv3a",
    ):
        assert needed in tuned
    assert "Views" not in tuned.split("Training of")[0]
    alone = report(
        tmp_path, make_end_to_end(tmp_path / "whole", tuning={"frozen_layers": [], "warm_start": None})
    )
    assert "Frozen layers none" in alone.text and "Heads taken from" not in alone.text
    assert (
        "Features"
        not in alone.text.split("Where the numbers come from")[1].split("Configuration of every row")[0]
    )
