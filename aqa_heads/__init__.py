"""Clip features to scores, classes and captions: networks, training, evaluation, report.

Importing this package is cheap: torch and scipy are imported by what needs them, when it is first used.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what `__getattr__` imports
    from .captions.vocabulary import Vocabulary
    from .end_to_end.run import fine_tune
    from .evaluation.audit import Audit, audit
    from .evaluation.predictions import Predictions, predict
    from .networks.architecture import Architecture
    from .networks.encoders.seam import Encoder
    from .networks.model import AqaModel
    from .networks.score_heads.seam import Distribution, Encoded, Known, ScoreHead, ScorePrediction
    from .predicting import predict_cache
    from .report.writing import write_report
    from .runs.format import Run, read_run
    from .runs.model_file import read_model
    from .runs.prediction_rows import PredictionRows
    from .runs.tables import Epoch
    from .scoring.results import Score, ScoreTable
    from .scoring.table import score, score_table
    from .settings.experiments import EXPERIMENTS, KNOWN_ENCODERS, KNOWN_LOSSES, KNOWN_SCORE_HEADS, Experiment
    from .settings.fine_tuning import FineTuning
    from .settings.training import TrainingConfig
    from .table import train_table
    from .training.run import train

_EXPORTS = {
    "AqaModel": "networks.model",
    "Architecture": "networks.architecture",
    "Audit": "evaluation.audit",
    "Distribution": "networks.score_heads.seam",
    "EXPERIMENTS": "settings.experiments",
    "Encoded": "networks.score_heads.seam",
    "Encoder": "networks.encoders.seam",
    "Epoch": "runs.tables",
    "Experiment": "settings.experiments",
    "FineTuning": "settings.fine_tuning",
    "KNOWN_ENCODERS": "settings.experiments",
    "KNOWN_LOSSES": "settings.experiments",
    "KNOWN_SCORE_HEADS": "settings.experiments",
    "Known": "networks.score_heads.seam",
    "PredictionRows": "runs.prediction_rows",
    "Predictions": "evaluation.predictions",
    "Run": "runs.format",
    "Score": "scoring.results",
    "ScoreHead": "networks.score_heads.seam",
    "ScorePrediction": "networks.score_heads.seam",
    "ScoreTable": "scoring.results",
    "TrainingConfig": "settings.training",
    "Vocabulary": "captions.vocabulary",
    "audit": "evaluation.audit",
    "fine_tune": "end_to_end.run",
    "predict": "evaluation.predictions",
    "predict_cache": "predicting",
    "read_model": "runs.model_file",
    "read_run": "runs.format",
    "score": "scoring.table",
    "score_table": "scoring.table",
    "train": "training.run",
    "train_table": "table",
    "write_report": "report.writing",
}
__all__ = [
    "AqaModel",
    "Architecture",
    "Audit",
    "Distribution",
    "EXPERIMENTS",
    "Encoded",
    "Encoder",
    "Epoch",
    "Experiment",
    "FineTuning",
    "KNOWN_ENCODERS",
    "KNOWN_LOSSES",
    "KNOWN_SCORE_HEADS",
    "Known",
    "PredictionRows",
    "Predictions",
    "Run",
    "Score",
    "ScoreHead",
    "ScorePrediction",
    "ScoreTable",
    "TrainingConfig",
    "Vocabulary",
    "audit",
    "fine_tune",
    "predict",
    "predict_cache",
    "read_model",
    "read_run",
    "score",
    "score_table",
    "train",
    "train_table",
    "write_report",
]


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
