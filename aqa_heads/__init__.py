"""Clip features to scores, classes and captions: encoders, captioner, heads, training, evaluation, report.

Importing this package is cheap: torch and scipy are imported by what needs them, when it is first used.
"""

import importlib

_EXPORTS = {
    "EXPERIMENTS": "experiments",
    "Experiment": "experiments",
    "TrainingConfig": "configuration",
    "train": "training",
    "FineTuning": "fine_tuning",
    "fine_tune": "end_to_end.training",
    "Run": "runs",
    "read_run": "runs",
    "predict": "predictions",
    "AqaModel": "model",
    "Vocabulary": "vocabulary",
}
__all__ = list(_EXPORTS)


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
