import json
from dataclasses import MISSING, fields, replace
from pathlib import Path

import pytest

from aqa_heads.settings.experiments import SCORE_HEAD_OPTIONS
from aqa_heads.settings.fine_tuning import FineTuning
from aqa_heads.settings.resolved import LITERAL, ResolvedConfig
from aqa_heads.settings.training import TrainingConfig


@pytest.mark.parametrize("name", LITERAL)
def test_each_literal_setting_can_be_given_otherwise(name):
    plain = TrainingConfig("", "4", literal=True).resolve()
    assert {key: getattr(plain, key) for key in LITERAL} == LITERAL
    other = not LITERAL[name] if isinstance(LITERAL[name], bool) else LITERAL[name] / 2 + 1e-3
    other = 5 if name == "batch_size" else other
    changed = TrainingConfig("", "4", literal=True, **{name: other}).resolve()
    assert {key: getattr(changed, key) for key in LITERAL} == LITERAL | {name: other}


def test_literal_widths_are_the_originals():
    seven = TrainingConfig("", "7", literal=True).resolve()
    assert (seven.encoder_hidden, seven.encoder_layers) == (8192, 2)
    assert TrainingConfig("", "7", literal=True, encoder_hidden=512).resolve().encoder_hidden == 512
    for name in ("2", "3"):
        literal = TrainingConfig("", name, literal=True).resolve()
        assert (
            literal.projection("s3d"),
            literal.projection("c3d"),
            TrainingConfig("", name).resolve().projection("s3d"),
        ) == (
            8192,
            None,
            None,
        )
    assert TrainingConfig("", "1", literal=True).resolve().projection("s3d") is None


# A value for every field that may be given, and another config that has it.
VALUES = {
    "features": "other.h5",
    "experiment": "7",
    "literal": True,
    "rnn": "lstm",
    "layers": 4,
    "attention": "dot",
    "residual": True,
    "encoder": "attention",
    "encoder_hidden": 64,
    "encoder_layers": 3,
    "max_clips": 100,
    "score_head": "regression",
    "readout": None,
    "panel_rule": None,
    "pair_by": None,
    "loss": "torch.nn.functional:l1_loss",
    "loss_weight": None,
    "pretrain_epochs": 0,
    "tasks": ("score",),
    "difficulty": "multiply",
    "protocol": "paper",
    "validation": 0.3,
    "validate_on": "known-groups",
    "refit": False,
    "validation_folds": 0,
    "patience": 3,
    "folds": "5",
    "fold": None,
    "epochs": 7,
    "batch_size": 5,
    "lr": 1e-3,
    "score_range": (0, 100),
    "caption_lr": 1e-3,
    "weight_decay": 0.5,
    "dropout": 0.5,
    "ridge_start": False,
    "seed": 3,
    "device": "cpu",
    "threads": 2,
    "score_scale": 9.0,
    "centre": False,
    "standardise": False,
    "views": "all",
    "vocabulary": "vocab.json",
    "beam": 2,
    "meteor": False,
    "withhold_test": True,
    "choice": {"candidates": []},
    "allow_leak": True,
    "out": "elsewhere",
    "name": "mine",
    "varied": ("lr",),
    "overwrite": True,
    "resume": False,
    "checkpoint_seconds": 1.0,
    "fine_tuning": FineTuning("videos"),
}
STARTS = (
    {"experiment": "baseline"},
    {"experiment": "7"},
    {"experiment": "4", "literal": True},
    {"experiment": "7", "literal": True, "encoder_layers": 1},
    {"encoder": "lstm", "tasks": ("score", "caption")},
)


@pytest.mark.parametrize("name", [field.name for field in fields(TrainingConfig)])
@pytest.mark.parametrize("start", STARTS, ids=str)
def test_replacing_a_value_gives_what_the_constructor_gives(start, name):
    """Whatever was filled in for the config that it is taken from does not go along."""
    given = {"features": "feats.h5"} | start
    replaced = replace(TrainingConfig(**given), **{name: VALUES[name]})
    made = TrainingConfig(**given | {name: VALUES[name]})
    assert replaced == made and replaced.resolve() == made.resolve()
    back = {name: start.get(name, _default(name))}
    assert replace(replaced, **back).resolve() == TrainingConfig(**given).resolve()


def _default(name):
    field = next(field for field in fields(TrainingConfig) if field.name == name)
    return "feats.h5" if field.default is MISSING else field.default


def test_both_kinds_of_config_have_the_same_fields():
    asked, resolved = ([field.name for field in fields(kind)] for kind in (TrainingConfig, ResolvedConfig))
    assert resolved == ["asked", *asked]


def test_a_resolved_config_has_every_value():
    resolved = TrainingConfig("feats.h5", "7").resolve()
    may_be_none = {"folds", "fold", "threads", "score_scale", "vocabulary", "fine_tuning", "name"} | {
        "loss",
        "loss_weight",
        "validate_on",
        "max_clips",
        "choice",
        *SCORE_HEAD_OPTIONS,
        "score_range",
    }
    lacking = {field.name for field in fields(resolved) if getattr(resolved, field.name) is None}
    assert lacking <= may_be_none


def test_what_decides_is_plain_json():
    for options in (
        {},
        {"experiment": "7", "literal": True},
        {"vocabulary": Path("vocab.json"), "folds": "3", "fold": "1/3"},
    ):
        asked = TrainingConfig("feats.h5", **{"experiment": "baseline", **options}).resolve().deciding()
        assert json.loads(json.dumps(asked)) == asked and asked["experiment"] == options.get(
            "experiment", "baseline"
        )
    assert asked["folds"] == 3 and asked["vocabulary"] == "vocab.json"


@pytest.mark.parametrize(("head", "lr"), [(None, 1e-4), ("regression", 1e-4), ("gaussian", 1e-3)])
def test_a_score_head_other_than_regression_learns_faster(head, lr):
    assert TrainingConfig("", score_head=head).resolve().lr == lr
    assert TrainingConfig("", score_head=head, lr=0.01).resolve().lr == 0.01
