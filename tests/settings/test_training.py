import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from aqa_heads.errors import TrainingError
from aqa_heads.settings.fine_tuning import FineTuning
from aqa_heads.settings.training import LITERAL, TrainingConfig


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
    config = TrainingConfig("feats.h5", **options)
    assert (config.run_name(backbone), config.run_label(backbone)) == (name, label)


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
    config = TrainingConfig("tuned.h5", **options)
    assert (config.run_name("s3d", tuned_in), config.run_label("s3d", tuned_in)) == (name, label)
    assert config.run_folder("s3d", tuned_in) == Path("runs") / name


def test_seed_and_fold_of_the_fine_tuning_are_not_taken_for_those_of_the_heads():
    names = {
        TrainingConfig("tuned.h5", "2", seed=seed, folds=2 if fold else None, fold=fold).run_name(
            "s3d", tuned_in
        )
        for seed in (0, 1)
        for fold in (None, "1/2")
        for tuned_in in ("exp2", "exp2-seed1", "exp2-fold-1-2", "exp2-fold-1-2-seed1")
    }
    assert len(names) == 16


@pytest.mark.parametrize(
    "options, message",
    [
        ({"experiment": "8"}, "experiment is '8', expected one of baseline, 1"),
        ({"rnn": "rnn"}, "rnn is 'rnn', expected one of gru, lstm"),
        ({"attention": "multi"}, "attention is 'multi', expected one of none, linear, additive, dot"),
        ({"encoder": "mean"}, "encoder is 'mean', expected one of average, lstm, gru"),
        ({"views": "flip"}, "views is 'flip', expected one of all, plain"),
        ({"layers": 0}, "layers is 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"batch_size": -1}, "batch_size is -1"),
        ({"threads": 0}, "threads is 0"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"score_scale": 0.0}, "score_scale is 0.0"),
        ({"threads": 1025}, "threads is 1025, expected a whole number from 1 to 1024"),
        ({"batch_size": 10**30}, "batch_size is 10+, expected a whole number from 1 to 2147483647"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**63}, "seed is 9223372036854775808, expected a whole number from 0 to"),
        ({"protocol": "kind"}, "protocol is 'kind', expected one of honest, paper"),
        ({"difficulty": "divide"}, "difficulty is 'divide', expected one of ignore, multiply"),
        ({"dropout": 1.0}, "dropout is 1.0, expected a number from 0 to below 1"),
        ({"validation": 1.0}, "validation is 1.0, expected a share between 0 and 1"),
        ({"patience": 0}, "patience is 0"),
        ({"beam": 0}, "beam is 0"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0, expected 0 or"),
        ({"checkpoint_seconds": float("inf")}, "checkpoint_seconds is inf"),
        ({"folds": "1"}, "folds is 1, expected a whole number from 2 on, or official"),
        ({"folds": "five"}, "folds is 'five', expected a whole number from 2 on, or official"),
        ({"fold": "1/5"}, "fold is '1/5', but folds are not asked for"),
        ({"pretrain_epochs": 5}, "pretrain_epochs is 5, but the encoder is average; only lstm and gru"),
        ({"experiment": "ridge", "tasks": ("caption",)}, "Ridge can only be trained for score"),
        ({"resume": True, "overwrite": True}, "overwrite and resume are both asked for"),
        ({"tasks": ()}, "no task was asked for"),
        ({"tasks": ("score", "scores")}, "unknown task 'scores'"),
    ],
)
def test_a_value_out_of_range_is_named(options, message):
    with pytest.raises(TrainingError, match=message):
        TrainingConfig("feats.h5", **options)


@pytest.mark.parametrize("name", LITERAL)
def test_each_literal_setting_can_be_given_otherwise(name):
    plain = TrainingConfig("", "4", literal=True)
    assert {key: getattr(plain, key) for key in LITERAL} == LITERAL
    other = not LITERAL[name] if isinstance(LITERAL[name], bool) else LITERAL[name] / 2 + 1e-3
    other = 5 if name == "batch_size" else other
    changed = TrainingConfig("", "4", literal=True, **{name: other})
    assert {key: getattr(changed, key) for key in LITERAL} == LITERAL | {name: other}


def test_literal_widths_are_the_originals():
    seven = TrainingConfig("", "7", literal=True)
    assert (seven.encoder_hidden, seven.encoder_layers) == (8192, 2)
    assert TrainingConfig("", "7", literal=True, encoder_hidden=512).encoder_hidden == 512
    for name in ("2", "3"):
        literal = TrainingConfig("", name, literal=True)
        assert (
            literal.projection("s3d"),
            literal.projection("c3d"),
            TrainingConfig("", name).projection("s3d"),
        ) == (
            8192,
            None,
            None,
        )
    assert TrainingConfig("", "1", literal=True).projection("s3d") is None


def test_a_config_can_be_turned_into_another_rows():
    """Nothing that was filled in for the average encoder, which has no size, goes along."""
    turned = replace(TrainingConfig("feats.h5"), experiment="7")
    assert turned == TrainingConfig("feats.h5", "7", residual=False)


def test_what_is_asked_is_plain_json():
    for options in (
        {},
        {"experiment": "7", "literal": True},
        {"vocabulary": Path("vocab.json"), "folds": "3", "fold": "1/3"},
    ):
        asked = TrainingConfig("feats.h5", **options).asked()
        assert json.loads(json.dumps(asked)) == asked and asked["experiment"] == options.get(
            "experiment", "baseline"
        )
    assert asked["folds"] == 3 and asked["vocabulary"] == "vocab.json"


def test_package_and_settings_import_without_the_heavy_libraries():
    code = (
        "import sys, aqa_heads, aqa_heads.runs.format; aqa_heads.TrainingConfig, aqa_heads.EXPERIMENTS,"
        " aqa_heads.read_run;print([name for name in ('torch', 'scipy', 'numpy', 'h5py', 'av', 'torchvision')"
        " if name in sys.modules])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_every_export_exists():
    import aqa_heads

    for name in aqa_heads.__all__:
        assert getattr(aqa_heads, name).__name__ == name if name != "EXPERIMENTS" else aqa_heads.EXPERIMENTS
    with pytest.raises(AttributeError, match="nothing"):
        aqa_heads.nothing  # noqa: B018
