"""The runs that score: one, several that are averaged, or a model file alone."""

import glob
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aqa_cache.annotations import CLASS_PREFIX

from ..captions.vocabulary import Vocabulary
from ..errors import RunError
from ..report.families import read_families
from ..report.results import find_runs
from ..runs.format import Run, read_run
from ..runs.model_file import read_model
from ..runs.schema import MODEL
from ..runs.sums import check_sums
from ..runs.training_samples import TrainingSample, TrainingSamples, read_training_samples
from ..runs.weights_file import said_with

if TYPE_CHECKING:
    from ..networks.model import AqaModel


@dataclass(frozen=True, eq=False)
class Trained:
    """A model and what is known of how it was trained.

    Args:
        path: the run folder, or the model file.
        config: of the run.
        run: None of a model file alone.
        samples: what the run keeps of its training samples; None where it keeps nothing.
    """

    path: Path
    config: dict[str, Any]
    model: "AqaModel"
    vocabulary: Vocabulary | None
    run: Run | None = None
    samples: TrainingSamples | None = None

    @property
    def name(self) -> str:
        return self.path.resolve().name

    @property
    def tuned_itself(self) -> bool:
        """Whether it trained its backbone, too."""
        return bool(self.config.get("fine_tuning"))

    @property
    def multiplies(self) -> bool:
        """Whether its score head's answers are multiplied by the difficulty."""
        return self.config.get("difficulty") == "multiply"

    @property
    def needs(self) -> list[str]:
        """What it has to know of a sample: `difficulty`, or a class column."""
        found = {"difficulty"} if self.multiplies and self.model.has_score else set()
        if self.model.has_score:
            head = self.model.heads.score
            found |= {"difficulty"} & head.needs
            found |= {head.key} if "key" in head.needs else set()
        return sorted(found)

    @property
    def reads_difficulty(self) -> bool:
        """Whether its scores depend on the difficulty."""
        return "difficulty" in self.needs or (
            self.model.has_score and "difficulty" in self.model.heads.score.reads
        )

    @cached_property
    def learned(self) -> Sequence[TrainingSample]:
        """The samples that it learned from, as far as they are known."""
        return self.samples.samples if self.samples else ()

    @cached_property
    def lengths(self) -> list[float]:
        """Frames of the samples that it learned from, where they are known."""
        return [one.frames[1] - one.frames[0] for one in self.learned if one.frames is not None]

    @cached_property
    def class_counts(self) -> dict[str, Counter[str]] | None:
        """By class column how many training samples are of each class; None where that is not known."""
        of_samples = {sample.sample_id for sample in self.learned}
        splits = ("train", "val") if self.config.get("refit") else ("train",)
        rows = [
            row
            for row in (self.run.predictions if self.run else ())
            if (row["sample_id"] in of_samples if of_samples else row["split"] in splits)
        ]
        if not rows:
            return None
        columns = [column for column in rows[0] if column.startswith(CLASS_PREFIX)]
        return {
            column.removeprefix(CLASS_PREFIX): Counter(str(row[column]) for row in rows if row[column])
            for column in columns
        }


def learned_by(runs: Sequence[Trained]) -> dict[str, TrainingSample]:
    """The samples that any of the runs learned from, by sample_id."""
    return {sample.sample_id: sample for run in runs for sample in run.learned}


def read_trained(runs: str | Path | Sequence[str | Path]) -> list[Trained]:
    """What a name stands for: a run folder, a folder of run folders that differ only in seed or fold, a
    pattern of such (`runs/exp7*`), a model file; or several run folders.

    Raises:
        RunError: none of these; runs of different rows; a file of a run was changed, or is damaged; or a run
            of a newer format.
    """
    names = [runs] if isinstance(runs, str | Path) else list(runs)
    if len(names) == 1 and Path(names[0]).is_file():
        return [_model_file(Path(names[0]))]
    folders = find_runs([path for name in names for path in _matching(name)])
    families = read_families(folders)
    if len(families) > 1:
        rows = "\n  ".join(
            f"{family.label}: {', '.join(str(result.path) for result in family.results)}"
            for family in families[:20]
        )
        raise RunError(
            f"{', '.join(map(str, names))}: holds {len(families)} rows, whose scores are not averaged:\n "
            f" {rows}\nName one run folder; or several that differ only in seed or fold as a quoted pattern,"
            f" such as '{families[-1].first.path}*'."
        )
    found = [_run_folder(result.path) for result in families[0].results]
    fingerprints = {trained.config.get("features", {}).get("fingerprint") for trained in found}
    if len(fingerprints) > 1:
        raise RunError(
            f"{', '.join(map(str, names))}: its runs were trained on features that were made differently;"
            " name one run folder"
        )
    return found


def _matching(name: str | Path) -> list[Path]:
    """The folders of a pattern; the name itself where it is none."""
    if Path(name).exists() or not glob.has_magic(str(name)):
        return [Path(name)]
    found = [Path(path) for path in sorted(glob.glob(str(name))) if Path(path).is_dir()]
    if not found:
        raise RunError(f"{name}: no folder matches this pattern; name a run folder")
    return found


def _run_folder(folder: Path) -> Trained:
    run = read_run(folder)
    check_sums(folder, run.config.get("files"))
    return Trained(folder, run.config, run.load_model(), run.vocabulary, run, read_training_samples(folder))


def _model_file(path: Path) -> Trained:
    model, vocabulary = read_model(path)
    try:
        config = said_with(path, MODEL).get("config") or {}
    except ValueError as error:
        raise RunError(f"{path}: cannot be read ({error}); name a run folder") from None
    return Trained(path, config, model, vocabulary)
