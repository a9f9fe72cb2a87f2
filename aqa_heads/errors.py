"""Errors of training and of run folders that are the user's to mend: one message, no traceback."""

from aqa_cache.errors import AqaError


class TrainingError(AqaError):
    """The settings or the cached samples cannot be trained with."""


class DivergedError(TrainingError):
    """A loss, weight or prediction is no longer finite; with the same settings it will happen again."""


class RunError(AqaError):
    """A run folder is in the way, incomplete, or damaged."""
