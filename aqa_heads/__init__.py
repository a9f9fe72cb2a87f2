"""Clip features to scores, classes and captions: networks, training, evaluation, report.

Importing this package is cheap: torch and scipy are imported by what needs them, when it is first used.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what `__getattr__` imports
    from .captions.vocabulary import Vocabulary
    from .end_to_end.run import fine_tune
    from .evaluation.predictions import predict
    from .networks.architecture import Architecture
    from .networks.encoders.seam import Encoder
    from .networks.model import AqaModel
    from .networks.score_heads.seam import Distribution, Encoded, Known, ScoreHead, ScorePrediction
    from .report.writing import write_report
    from .runs.format import Run, read_model, read_run
    from .scoring.results import Score
    from .scoring.table import score, score_table
    from .settings.experiments import (
        EXPERIMENTS,
        KNOWN_ENCODERS,
        KNOWN_LOSSES,
        KNOWN_SCORE_HEADS,
        Experiment,
    )
    from .settings.fine_tuning import FineTuning
    from .settings.training import TrainingConfig
    from .table import train_table
    from .training.run import train

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
    "read_model": "runs.format",
    "AqaModel": "networks.model",
    "Architecture": "networks.architecture",
    "Encoder": "networks.encoders.seam",
    "Encoded": "networks.score_heads.seam",
    "Known": "networks.score_heads.seam",
    "ScoreHead": "networks.score_heads.seam",
    "ScorePrediction": "networks.score_heads.seam",
    "Distribution": "networks.score_heads.seam",
    "KNOWN_ENCODERS": "settings.experiments",
    "KNOWN_SCORE_HEADS": "settings.experiments",
    "KNOWN_LOSSES": "settings.experiments",
    "Vocabulary": "captions.vocabulary",
    "write_report": "report.writing",
    "score": "scoring.table",
    "score_table": "scoring.table",
    "Score": "scoring.results",
}
__all__ = [
    "EXPERIMENTS",
    "Experiment",
    "TrainingConfig",
    "train",
    "train_table",
    "FineTuning",
    "fine_tune",
    "Run",
    "read_run",
    "predict",
    "read_model",
    "AqaModel",
    "Architecture",
    "Encoder",
    "Encoded",
    "Known",
    "ScoreHead",
    "ScorePrediction",
    "Distribution",
    "KNOWN_ENCODERS",
    "KNOWN_SCORE_HEADS",
    "KNOWN_LOSSES",
    "Vocabulary",
    "write_report",
    "score",
    "score_table",
    "Score",
]


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
