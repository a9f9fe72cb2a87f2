import re

import pytest

from aqa_heads.settings.fine_tuning import FineTuning
from aqa_heads.settings.naming import fold_folder, full_label, run_label, run_name
from aqa_heads.settings.training import TrainingConfig


@pytest.mark.parametrize(
    "options, backbone, name, label",
    [
        ({}, "c3d", "baseline", "Baseline"),
        ({"experiment": "7"}, "s3d", "exp7-on-s3d", "Exp 7 (encoder 1024 wide, on S3D features)"),
        ({"experiment": "2"}, "c3d", "exp2-on-c3d", "Exp 2 (on C3D features)"),
        ({"experiment": "2"}, "S3D", "exp2", "Exp 2"),
        ({"experiment": "3"}, "my/I3D net", "exp3-on-my-i3d-net", "Exp 3 (on MY/I3D NET features)"),
        ({"experiment": "7", "encoder": "average"}, "c3d", "exp7-encoder-average", "Exp 7 (encoder average)"),
        (
            {"experiment": "7", "encoder": "lstm", "rnn": "gru", "layers": 2},
            "c3d",
            "exp7",
            "Exp 7 (encoder 1024 wide)",
        ),
        ({"experiment": "4"}, "c3d", "exp4", "Exp 4 (residual)"),
        ({"experiment": "5"}, "c3d", "exp5", "Exp 5 (residual)"),
        ({"experiment": "4", "residual": False}, "c3d", "exp4-no-residual", "Exp 4 (no residual)"),
        ({"residual": True}, "c3d", "baseline-residual", "Baseline (residual)"),
        *(
            ({"experiment": name, "literal": True}, backbone, f"exp{name}-literal", f"Exp {name} (literal)")
            for name, backbone in (
                ("1", "c3d"),
                ("2", "s3d"),
                ("3", "s3d"),
                ("4", "c3d"),
                ("5", "c3d"),
                ("7", "c3d"),
            )
        ),
        (
            {"experiment": "4", "literal": True, "residual": True},
            "c3d",
            "exp4-literal-residual",
            "Exp 4 (literal, residual)",
        ),
        (
            {"experiment": "7", "literal": True, "encoder_hidden": 512},
            "c3d",
            "exp7-literal-encoder-hidden-512",
            "Exp 7 (literal, encoder hidden 512)",
        ),
        (
            {"literal": True, "standardise": True},
            "c3d",
            "baseline-literal-standardise",
            "Baseline (literal, standardised)",
        ),
        ({"protocol": "paper"}, "c3d", "baseline-protocol-paper", "Baseline (paper protocol)"),
        (
            {"difficulty": "multiply"},
            "c3d",
            "baseline-difficulty-multiply",
            "Baseline (execution × difficulty)",
        ),
        ({"folds": "5", "fold": "2/5", "seed": 1}, "c3d", "baseline-fold-2-5-seed1", "Baseline"),
        ({"experiment": "ridge"}, "s3d", "ridge", "Ridge"),
        ({"experiment": "c3d-svr"}, "s3d", "c3d-svr-on-s3d", "C3D-SVR (on S3D features)"),
        ({"experiment": "c3d-lstm"}, "c3d", "c3d-lstm", "C3D-LSTM"),
        ({"experiment": "pose-dct-svr"}, "pose-dct", "pose-dct-svr", "Pose+DCT+SVR"),
        (
            {"experiment": "pose-dct-svr", "standardise": True},
            "pose-dct",
            "pose-dct-svr-standardise",
            "Pose+DCT+SVR (standardised)",
        ),
        (
            {"experiment": "pose-dct-svr-normalised"},
            "pose-dct-torso",
            "pose-dct-svr-normalised",
            "Pose+DCT+SVR, normalised",
        ),
        ({"layers": 4, "rnn": "lstm"}, "c3d", "baseline-rnn-lstm-layers-4", "Baseline (rnn lstm, layers 4)"),
        (
            {"experiment": "1", "tasks": ("caption", "score")},
            "c3d",
            "exp1-tasks-score-caption",
            "Exp 1 (score and caption only)",
        ),
        ({"standardise": False}, "c3d", "baseline-no-standardise", "Baseline (not standardised)"),
        ({"views": "plain"}, "c3d", "baseline-plain-view", "Baseline (plain view)"),
        ({"encoder_hidden": 8, "encoder_layers": 3}, "c3d", "baseline", "Baseline"),
        (
            {"experiment": "7", "encoder_hidden": 8, "encoder_layers": 3},
            "c3d",
            "exp7-encoder-hidden-8-encoder-layers-3",
            "Exp 7 (encoder hidden 8, encoder layers 3)",
        ),
        ({"experiment": "1", "seed": 3}, "c3d", "exp1-seed3", "Exp 1"),
    ],
)
def test_everything_that_differs_from_the_row_shows_in_the_name(options, backbone, name, label):
    config = TrainingConfig("feats.h5", **{"experiment": "baseline", **options}).resolve()
    assert (run_name(config, backbone), run_label(config, backbone)) == (name, label)


@pytest.mark.parametrize(
    "options, tuned_in, name, label",
    [
        (
            {"experiment": "2"},
            "exp2-end-to-end",
            "exp2-on-exp2-end-to-end",
            "Exp 2 (on S3D features tuned in exp2-end-to-end)",
        ),
        ({"seed": 1}, "X 1", "baseline-on-x-1-seed1", "Baseline (on S3D features tuned in X 1)"),
        (
            {"fine_tuning": FineTuning("v")},
            "x",
            "baseline-end-to-end-on-x",
            "Baseline (end to end, on S3D features tuned in x)",
        ),
        (
            {"experiment": "2", "fine_tuning": FineTuning("v", weights="runs/y")},
            "x",
            "exp2-end-to-end-weights-y",
            "Exp 2 (end to end, from y)",
        ),
    ],
)
def test_the_run_that_fine_tuned_the_features_shows_in_the_name(options, tuned_in, name, label):
    config = TrainingConfig("tuned.h5", **{"experiment": "baseline", **options}).resolve()
    assert (run_name(config, "s3d", tuned_in), run_label(config, "s3d", tuned_in)) == (name, label)


def test_seed_and_fold_of_the_fine_tuning_are_not_taken_for_those_of_the_heads():
    names = {
        run_name(
            TrainingConfig("tuned.h5", "2", seed=seed, folds=2 if fold else None, fold=fold).resolve(),
            "s3d",
            tuned_in,
        )
        for seed in (0, 1)
        for fold in (None, "1/2")
        for tuned_in in ("exp2", "exp2-seed1", "exp2-fold-1-2", "exp2-fold-1-2-seed1")
    }
    assert len(names) == 16


def test_the_full_label_names_fold_and_seed():
    config = TrainingConfig("feats.h5", "1", folds=2, fold="1/2", seed=3).resolve()
    assert full_label(config, "c3d") == "Exp 1, fold 1/2, seed 3"


@pytest.mark.parametrize(
    "names",
    [
        ["北京", "上海", "广州"],
        ["é", "ê", "e\u0301", "e"],
        ["Fold", "fold", "FOLD"],
        ["a b", "a-b", "a/b", " a b "],
        ["", "unnamed", "-", "."],
        ["\udc80", "\udc81"],
    ],
)
def test_folds_whose_names_fall_together_have_folders_of_their_own(names):
    folders = [fold_folder(name, [*names, "Fold 1", "2/5"]) for name in names]
    assert len(set(folders)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9._-]+", folder) for folder in folders)
    # Whatever their order, and however many times they are named.
    assert folders == [fold_folder(name, ["2/5", *names[::-1], *names, "Fold 1"]) for name in names]
    # Of those that do not, nothing changes.
    assert fold_folder("Fold 1", [*names, "Fold 1"]) == "fold-1"
    assert [fold_folder(name, []) for name in ("2/5", "Fold 1", "北京")] == ["2-5", "fold-1", "unnamed"]


def test_what_a_sweep_varies_shows_where_it_is_not_the_default():
    def named(**options):
        config = TrainingConfig(
            "feats.h5", "baseline", varied=("lr", "epochs", "encoder"), **options
        ).resolve()
        return run_name(config, "c3d"), run_label(config, "c3d")

    assert named(lr=1e-4) == ("baseline", "Baseline")
    assert named(lr=3e-4, epochs=30, encoder="attention") == (
        "baseline-encoder-attention-lr-0.0003-epochs-30",
        "Baseline (encoder attention, lr 0.0003, epochs 30)",
    )
    plain = TrainingConfig("feats.h5", "baseline", lr=3e-4, epochs=30).resolve()
    assert run_name(plain, "c3d") == "baseline"


def test_a_name_of_ones_own_takes_the_place_of_all_but_fold_and_seed():
    config = TrainingConfig(
        "feats.h5", "7", name="My run", literal=True, seed=2, folds=3, fold="1/3"
    ).resolve()
    assert run_name(config, "s3d") == "my-run-fold-1-3-seed2"
    assert full_label(config, "s3d") == "My run, fold 1/3, seed 2"
