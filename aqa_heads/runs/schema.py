"""What the JSON files of a run hold, as `record.check` takes it; other names may stand beside these."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import RunError
from .record import FINITE, Needed, Number, Text, Whole

# Of what `write_run` writes; runs of before there was a number have format 1.
RUN_FORMAT = 2

NAME, COUNT, RHO, SHARE, FROM_ZERO = Text(1000), Whole(), Number(-1, 1), Number(0, 1), Number(0)
_NAMES, _NUMBERS = [Needed(NAME)], {...: FINITE}
# No other name may stand there: what has it is unpacked, or looked up by it.
_CLOSED = {...: None}


def _all_of(record: dict[str, Any]) -> dict[str, Any]:
    """A record in which every value is needed, and no other name may stand."""
    return {name: Needed(kind) for name, kind in record.items()} | _CLOSED


_WIDTH, _DEPTH = Whole(1, 2**31), Whole(1, 1000)
_MADE_OF = {
    "tasks": _NAMES,
    "classes": {...: Needed(_NAMES)},
    "score_scale": FINITE,
    "score_centre": FINITE,
    "rnn": NAME,
    "layers": _DEPTH,
    "attention": NAME,
    "residual": bool,
    "encoder": NAME,
    "encoder_hidden": _WIDTH,
    "encoder_layers": _DEPTH,
    "projection": _WIDTH,
    "dropout": SHARE,
    "head": NAME,
    "fc6": _WIDTH,
    "direct": bool,
    "score_head": NAME,
    "score_options": {
        **dict.fromkeys(("readout", "panel_rule", "pair_by"), NAME),
        "columns": [Needed(Whole(0, 1000))],
        "names": _NAMES,
        ...: object,
    },
}
# Of the features, all that makes them again.
_SPEC = {
    **{name: Needed(NAME) for name in ("backbone", "layer", "weights", "weights_sha256")},
    "dim": Needed(_WIDTH),
    "preprocessing": Needed({...: object}),
    "clip_rule": Needed({...: object}),
    **_CLOSED,
}
_ARCHITECTURE = {**_MADE_OF, "dim": _WIDTH, "words": Whole(0, 2**31), **_CLOSED}

CONFIG: dict[Any, Any] = {
    **_MADE_OF,
    **dict.fromkeys(("experiment", "name", "protocol", "device", "views", "difficulty", "fold"), NAME),
    "run_format": Whole(1, 2**31),
    "files": {...: Needed(Text(64))},
    "label": Text(5000),
    "literal": bool,
    "refit": bool,
    "without_neighbours": bool,
    "seed": Whole(0, 2**63),
    "leaked": COUNT,
    "threads": COUNT,
    "notes": [Needed(str)],
    "versions": {...: NAME},
    "identity": {...: object},
    "parts": {...: NAME},
    "call": NAME,
    "score_range": [Needed(FINITE)],
    "validation": {
        "share": SHARE,
        "whole_groups": bool,
        "role": NAME,
        "groups": _NAMES,
        "samples": COUNT,
        "folds": COUNT,
    },
    "table1": {"backbone": NAME, "rnn": NAME, "layers": COUNT, "attention": NAME, "encoder": NAME},
    "features": {
        **dict.fromkeys(("backbone", "weights", "fingerprint"), NAME),
        "path": Text(5000),
        "dim": _WIDTH,
        "weights_random": bool,
        "samples": COUNT,
        "views": _NAMES,
        "tuned": {"started_from": NAME, "origin": NAME, "trained_on": COUNT, "chosen_on": COUNT},
        **dict.fromkeys(("spec", "meaning"), _SPEC),  # `meaning` until November 2026
        "numerics": {...: object},
        "dtype": NAME,
        "frame_rate": FROM_ZERO,
    },
    "fine_tuning": {
        **dict.fromkeys(("started_from", "started_sha256", "origin"), NAME),
        "frozen_layers": _NAMES,
        "parameters": FROM_ZERO,
        "trained_parameters": FROM_ZERO,
    },
}

_METRICS = {"spearman": RHO, "kendall": RHO, "pearson": RHO, "relative_l2": FROM_ZERO, "mae": FROM_ZERO}
_FLOORS = {...: {**_METRICS, "n": COUNT, "n_unseen": COUNT}}
_CEILING = {
    "spearman": RHO,
    "lowest": RHO,
    "highest": RHO,
    "n": COUNT,
    "judges": COUNT,
    "times_difficulty": bool,
}
_SIDES = ("train", "val", "test")
_AUDIT = {
    "samples": Needed(_all_of(dict.fromkeys((*_SIDES, "unused"), COUNT))),
    "leaks": Needed(
        [
            Needed(
                _all_of(dict.fromkeys(("sample_id", "split", "other", "other_split", "video", "why"), NAME))
                | {"frames": COUNT}
            )
        ]
    ),
    "shared_groups": Needed(
        dict.fromkeys(
            ("train, test", "train, val", "val, test"), _all_of({"groups": _NAMES, "samples": COUNT})
        )
        | _CLOSED
    ),
    "groups": Needed(_all_of(dict.fromkeys(_SIDES, COUNT))),
    "neighbours": {"n": COUNT, "of": COUNT, "smallest": FROM_ZERO, "median": FROM_ZERO},
    "floors": Needed(_FLOORS),
    "ceiling": _CEILING,
    "score_rules": Needed(
        [
            Needed(
                _all_of(
                    {
                        "judges": COUNT,
                        "rule": NAME,
                        "n": COUNT,
                        "holds": COUNT,
                        "applies": bool,
                        "contradicting": _NAMES,
                    }
                )
            )
        ]
    ),
    "spoken_scores": _all_of({"n": COUNT, "stated": COUNT, "by_chance": FROM_ZERO, "examples": _NAMES}),
    "missing": Needed({...: Needed({...: Needed(COUNT)})}),
    "tuned_validation": _NAMES,
    **_CLOSED,
}

SUMMARY: dict[Any, Any] = {
    **_METRICS,
    **dict.fromkeys(("train_loss", "unigram_loss", "caption_loss_per_token"), FINITE),
    **dict.fromkeys(("parameters", "peak_memory_bytes"), FROM_ZERO),
    **dict.fromkeys(("n_train", "n_val", "n_test", "epochs"), COUNT),
    "interval": [RHO],
    "intervals": {...: [FINITE]},
    "class_intervals": {...: [SHARE]},
    "seconds": {...: FROM_ZERO},
    "class_accuracy": {...: SHARE},
    "majority_accuracy": {...: SHARE},
    "floors": _FLOORS,
    "per_group": {...: {**_METRICS, "n": COUNT}},
    "captions": {**_NUMBERS, "notes": [Needed(str)]},
    "chosen": {...: {"epoch": COUNT, "metric": NAME, "value": FINITE}},
    "ceiling": _CEILING,
    "uncertainty": {"n": COUNT, "crps": FINITE, "coverage_90": SHARE, "width_90": FINITE},
    "best_test_spearman": {"spearman": RHO, "epoch": COUNT, "note": NAME},
    "audit": _AUDIT,
    "taken_over": {...: Needed(NAME)},
    "notes": [Needed(str)],
}

# What training_samples.safetensors says of the samples.
SAMPLES = [
    Needed(
        {
            "sample_id": Needed(Text()),
            "video": Needed(Text()),
            "frames": [FINITE],
            "final_score": FINITE,
            "judges": [FINITE],
            "caption": Text(),
            "difficulty": FINITE,
            "stamp": _all_of({"size": Whole(), "mtime_ns": Whole(-(2**63), 2**63), "sha256": Text(64)}),
        }
    )
]

# What its metadata says; files of before have the samples there.
TRAINING_SAMPLES = {"samples": SAMPLES, "every": Needed(Whole(1, 2**31))}

# What the metadata of model.safetensors says.
MODEL: dict[Any, Any] = {"config": CONFIG, "vocabulary": _NAMES, "architecture": _ARCHITECTURE}

VOCABULARY = _NAMES

# How far an unfinished run is (`folder.Work.tell`).
PROGRESS = {"epoch": COUNT, "epochs": COUNT, "val_spearman": RHO}

# Columns of metrics.csv that are not any finite number.
EPOCH = {
    "val_spearman": RHO,
    "test_spearman": RHO,
    "val_relative_l2": FROM_ZERO,
    "test_relative_l2": FROM_ZERO,
    "val_class_accuracy": SHARE,
    "seconds": FROM_ZERO,
}


def check_format(path: Path, config: Mapping[str, Any]) -> None:
    """Whether a run, or a model, is of a format that this program reads.

    Raises:
        RunError: it is newer.
    """
    number = config.get("run_format") or 1
    if number > RUN_FORMAT:
        raise RunError(
            f"{path}: has run format {number}, this program reads up to {RUN_FORMAT}; upgrade aqa-cache"
        )
