import subprocess
import sys

import pytest

from aqa_heads.errors import TrainingError
from aqa_heads.settings.training import TrainingConfig


@pytest.mark.parametrize(
    "options, message",
    [
        ({"experiment": "8"}, "experiment is '8', expected one of baseline, 1"),
        ({"rnn": "rnn"}, "rnn is 'rnn', expected one of gru, lstm"),
        ({"attention": "multi"}, "attention is 'multi', expected one of none, linear, additive, dot"),
        ({"encoder": "mean"}, "encoder is 'mean', expected one of average, lstm, gru"),
        ({"views": "flip"}, "views is 'flip', expected one of all, plain"),
        ({"layers": 0}, "layers is 0"),
        ({"layers": 1.5}, "layers is 1.5, expected a whole number"),
        ({"epochs": "3"}, "epochs is 3, expected a whole number"),
        ({"batch_size": True}, "batch_size is True, expected a whole number"),
        ({"seed": 1.5}, "seed is 1.5, expected a whole number"),
        ({"patience": None}, "patience is None, expected a value"),
        ({"experiment": None}, "experiment is None, expected a value"),
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
        ({"pretrain_epochs": 5}, "pretrain_epochs is 5, but the encoder is statistics; only lstm and gru"),
        ({"experiment": "ridge", "tasks": ("caption",)}, "Ridge can only be trained for score"),
        ({"resume": True, "overwrite": True}, "overwrite and resume are both asked for"),
        ({"tasks": ()}, "no task was asked for"),
        ({"tasks": ("score", "scores")}, "unknown task 'scores'"),
    ],
)
def test_a_value_out_of_range_is_named(options, message):
    with pytest.raises(TrainingError, match=message):
        TrainingConfig("feats.h5", **options)


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
        value = getattr(aqa_heads, name)
        assert value is not None if name.isupper() else value.__name__ == name
    with pytest.raises(AttributeError, match="nothing"):
        aqa_heads.nothing  # noqa: B018
