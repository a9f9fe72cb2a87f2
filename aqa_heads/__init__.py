"""Clip features to scores, classes and captions: encoders, captioner, heads, training, evaluation, report.

Importing this package is cheap: torch and scipy are imported by what needs them, when it is first used.
"""

import importlib

_EXPORTS = {
    "EXPERIMENTS": "settings.experiments",
    "Experiment": "settings.experiments",
    "TrainingConfig": "settings.training",
    "train": "training.run",
    "train_table": "table",
    "FineTuning": "settings.fine_tuning",
    "fine_tune": "end_to_end.run",
    "Run": "runs.format",
    "read_run": "runs.format",
    "predict": "evaluation.predictions",
    "AqaModel": "networks.model",
    "Vocabulary": "captions.vocabulary",
    "write_report": "report.writing",
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
