"""Score heads by their names."""

from importlib import import_module

from ...settings.experiments import KNOWN_SCORE_HEADS, SCORE_HEADS
from .seam import ScoreHead


def score_head_class(name: str) -> type[ScoreHead]:
    """A score head by its name, one of `SCORE_HEADS` or one that is known in this process.

    Raises:
        TrainingError: it is neither.
    """
    if name in SCORE_HEADS:
        return getattr(import_module(f".{name}", __package__), SCORE_HEADS[name])
    return KNOWN_SCORE_HEADS.find(name)
