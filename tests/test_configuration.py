import subprocess
import sys

import pytest

from aqa_heads.configuration import TrainingConfig
from aqa_heads.errors import TrainingError


@pytest.mark.parametrize(
    "options, backbone, name, label",
    [
        ({}, "c3d", "baseline", "Baseline"),
        ({"experiment": "7"}, "s3d", "exp7-on-s3d", "Exp 7 (on S3D features)"),
        ({"experiment": "2"}, "c3d", "exp2-on-c3d", "Exp 2 (on C3D features)"),
        ({"experiment": "2"}, "S3D", "exp2", "Exp 2"),
        ({"experiment": "3"}, "my/I3D net", "exp3-on-my-i3d-net", "Exp 3 (on MY/I3D NET features)"),
        ({"experiment": "7", "encoder": "average"}, "c3d", "exp7-encoder-average", "Exp 7 (encoder average)"),
        ({"experiment": "7", "encoder": "lstm", "rnn": "gru", "layers": 2}, "c3d", "exp7", "Exp 7"),
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
    "options, message",
    [
        ({"experiment": "8"}, "experiment is '8', expected one of baseline, 1"),
        ({"rnn": "rnn"}, "rnn is 'rnn', expected one of gru, lstm"),
        ({"attention": "dot"}, "attention is 'dot'"),
        ({"encoder": "gru"}, "encoder is 'gru'"),
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
        ({"tasks": ()}, "no task was asked for"),
        ({"tasks": ("score", "scores")}, "unknown task 'scores'"),
    ],
)
def test_a_value_out_of_range_is_named(options, message):
    with pytest.raises(TrainingError, match=message):
        TrainingConfig("feats.h5", **options)


def test_package_and_settings_import_without_the_heavy_libraries():
    code = (
        "import sys, aqa_heads, aqa_heads.runs; aqa_heads.TrainingConfig, aqa_heads.EXPERIMENTS, aqa_heads.read_run;"
        "print([name for name in ('torch', 'scipy', 'numpy', 'h5py', 'av', 'torchvision') if name in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_every_export_exists():
    import aqa_heads

    for name in aqa_heads.__all__:
        assert getattr(aqa_heads, name).__name__ == name if name != "EXPERIMENTS" else aqa_heads.EXPERIMENTS
    with pytest.raises(AttributeError, match="nothing"):
        aqa_heads.nothing  # noqa: B018
