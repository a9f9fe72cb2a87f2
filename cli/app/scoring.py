"""The job that scores a video."""

import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from aqa_cache.annotations import Sample
from aqa_cache.errors import AqaError

from .folder import Folder


def write_score(folder: Folder, asked: dict, say: Callable[[str], None], progress: Callable) -> None:
    """Score the sample that was asked for into `scores/ID`, which appears when it is whole.

    Args:
        asked: `id`, `model` (paths of its runs, or of its archive), `label` of it, `sample` (fields of
            `Sample`).

    Raises:
        AqaError: it cannot be scored.
    """
    target = folder.scores / asked["id"]
    if target.is_dir():
        return  # the server was killed after that
    from aqa_heads.scoring.page.writing import write_pages
    from aqa_heads.scoring.scorer import Scorer
    from aqa_heads.scoring.writing import write_scores

    judges = (math.nan if mark is None else mark for mark in asked["sample"]["judges"])
    sample = Sample(**{**asked["sample"], "judges": tuple(judges)})
    say("loading the model")
    model = asked["model"]
    with Scorer(model[0] if len(model) == 1 else model) as scorer:
        table = scorer.videos(folder.videos, [sample], progress)
    if table.failures:
        raise AqaError(table.failures[0][1])
    hidden = target.with_name(f".{target.name}.unfinished")
    shutil.rmtree(hidden, ignore_errors=True)
    write_scores(table, hidden, [asked["label"]])
    write_pages(table, hidden)
    os.rename(hidden, target)


def score_files(folder: Folder, id: str) -> dict[str, Path]:
    """The files of a score, by the names that an address may have."""
    place = folder.scores / id
    if not place.is_dir():
        return {}
    return {path.name: path for path in place.iterdir() if path.is_file() and not path.is_symlink()}
