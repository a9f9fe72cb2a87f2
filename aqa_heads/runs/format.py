"""The run folder: everything a training run leaves behind.

- `config.json`: what was asked for, what was used, on which features, with which versions.
- `metrics.csv`: one row per epoch.
- `predictions.csv`: one row per training, validation and test sample, scores in points. It has a column
  `spread`, a standard deviation in points, where the score head has one.
- `summary.json`: the results, beside the floors and the audit. `peak_memory_bytes` is on a GPU that of the
  run's tensors, on the CPU that of the whole process so far, earlier runs in it included.
- `out_of_fold.csv`: scores that models predicted which did not learn from the sample, where there are any.
- `contributions.csv`: the encoder's weight of every clip, where it has such weights; `caption_attention.csv`:
  the captioner's weight of every clip at every word of the test captions, likewise.
- `vocabulary.json`: the words by number, where captions were trained.
- `training_samples.safetensors`: what the encoder gives for the training samples, and which they are; see
  `training_samples`.
- `MODEL_CARD.md`: the same for people.
- `model.safetensors`: the weights that are reported; its metadata holds config, vocabulary and architecture
  too, as JSON under `run`, so that the file alone is a model (`read_model`).

`config.json` says which format this is (`run_format`; without it, the first), and the SHA-256 of the other
files but the card (`files`).

A folder appears under its name when all of them are written, never before.
"""

import contextlib
import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from aqa_cache.disk.atomic import replacing
from aqa_cache.disk.plain_json import with_none
from aqa_cache.short_repr import cut

from ..captions.vocabulary import Vocabulary
from ..errors import RunError, TrainingError
from .model_file import fill, model_of
from .prediction_rows import PredictionRows
from .record import read_json
from .schema import CONFIG, RUN_FORMAT, SUMMARY, VOCABULARY, check_format
from .sums import sums_of
from .tables import Epoch, HeldOut, read_epochs, read_held_out, read_predictions, write_table
from .weights_file import write_weights

if TYPE_CHECKING:
    from aqa_cache.cache_file.reader import FeatureCache

    from ..networks.model import AqaModel

_T = TypeVar("_T")

_DIFFICULTIES = "ignore", "multiply"  # as `--difficulty` takes them
# Ends the label of a run whose test samples are, in part, training samples too.
LEAKED = ", LEAKED TEST"
# Without these a run is not finished; the others depend on its tasks, or are read when they are needed.
RUN_FILES = ("config.json", "metrics.csv", "predictions.csv", "summary.json")
# What lies there before `write_run`: of end-to-end training, and of what scoring compares with.
OTHER_FILES = ("backbone.safetensors", "training_samples.safetensors")


@dataclass(frozen=True)
class Run:
    """A finished run, read back.

    Args:
        folder: where it lies.
        config, summary: as written; undefined numbers are None.
        predictions: a row of `predictions.csv` per sample, its scores as numbers.
        vocabulary: None if no captions were trained.
        out_of_fold: scores of held-out samples; empty where there are none, as in runs of before they were
            written.
    """

    folder: Path
    config: dict[str, Any]
    epochs: list[Epoch]
    predictions: PredictionRows
    summary: dict[str, Any]
    vocabulary: Vocabulary | None
    out_of_fold: Sequence[HeldOut] = ()

    def __repr__(self) -> str:
        spearman = self.summary.get("spearman")
        found = "" if spearman is None else f", Spearman {spearman:.3f}"
        return cut(f"<Run {self.folder}: {len(self.epochs)} epochs, {len(self.predictions)} samples{found}>")

    def predict(self, cache: "FeatureCache | str | Path", *, device: str = "cpu") -> PredictionRows:
        """What the model predicts of the samples of a cache; see `aqa_heads.predict_cache`.

        Raises:
            RunError: the features were made in another way than the run's.
        """
        from ..predicting import predict_cache

        return predict_cache(self, cache, device=device)

    def load_model(self) -> "AqaModel":
        """The trained model, on the CPU, in evaluation mode.

        Raises:
            RunError: the weights are damaged or do not fit the config.
            TrainingError: its encoder or score head is not known here: nothing is imported because a file
                names it.
        """
        from ..networks.architecture import Architecture

        if "caption" in (self.config.get("tasks") or ()) and self.vocabulary is None:
            raise RunError(
                f"{self.folder}: vocabulary.json is missing, which its captions need; train the run again"
            )
        try:
            architecture = Architecture.from_record(self.config, len(self.vocabulary or ()))
            return model_of(architecture, self.folder / "model.safetensors").eval()
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(self._another_model(error)) from None

    def load_weights(self, model: "AqaModel") -> None:
        """Put the trained weights into `model`, one by one: a second copy of all may not fit in memory.

        Raises:
            RunError: they are damaged, or those of another model; some may have been put there.
        """
        try:
            fill(model, self.folder / "model.safetensors")
        except ValueError as error:
            raise RunError(self._another_model(error)) from None

    def _another_model(self, error: Exception) -> str:
        return (
            f"{self.folder / 'model.safetensors'}: is not the model of its config.json, or damaged ({error});"
            " train the run again"
        )


def read_run(folder: str | Path) -> Run:
    """Read a run folder; the weights are left until `Run.load_model`.

    Raises:
        RunError: the folder is no finished run, or a file in it is damaged.
    """
    if not str(folder).strip():
        raise RunError("the name of the run folder is empty; name a folder that aqa-train wrote")
    folder = Path(folder)
    try:
        has = {name: (folder / name).exists() for name in ("summary.json", "vocabulary.json")}
    except OSError as error:  # unreadable, or a name that is too long
        raise RunError(
            f"{folder}: cannot be read ({error.strerror}); name a folder that aqa-train wrote"
        ) from None
    if not has["summary.json"]:
        raise RunError(
            f"{folder}: is not a run folder (no summary.json in it); name a folder that aqa-train wrote"
        )
    vocabulary = None
    if has["vocabulary.json"]:
        vocabulary = _read(folder / "vocabulary.json", _read_vocabulary)
    held_out = folder / "out_of_fold.csv"
    return Run(
        folder,
        _read(folder / "config.json", _read_config),
        _read(folder / "metrics.csv", read_epochs),
        _read(folder / "predictions.csv", read_predictions),
        _read(folder / "summary.json", lambda path: read_json(path, SUMMARY)),
        vocabulary,
        _read(held_out, read_held_out) if held_out.exists() else (),
    )


def write_run(
    folder: Path,
    config: Mapping[str, Any],
    epochs: Sequence["Epoch"],
    tables: Mapping[str, Mapping[str, Sequence[Any]]],
    summary: Mapping[str, Any],
    vocabulary: Vocabulary | None,
    model: "AqaModel",
) -> None:
    """Write all files of a run into `folder`, that of `folder.new_run_folder`.

    What is there of `OTHER_FILES` already is part of the run, too.

    Args:
        tables: by file name columns of equal length; `predictions.csv` and what else there is.

    Numbers that are None or not finite become empty cells, in JSON null.
    """
    config = {**config, "run_format": RUN_FORMAT}
    _write(folder / "summary.json", _to_json(summary))
    if vocabulary is not None:
        _write(folder / "vocabulary.json", _to_json(vocabulary.words))
    write_table(
        folder / "metrics.csv", [field.name for field in fields(Epoch)], [astuple(epoch) for epoch in epochs]
    )
    for name, columns in tables.items():
        write_table(folder / name, list(columns), zip(*columns.values(), strict=True))
    weights = model.state_dict()
    if any(weight.is_cuda for weight in weights.values()):
        # The weights of an RNN are slices of one block there, which safetensors takes for shared.
        weights = {name: weight.cpu().clone() for name, weight in weights.items()}
    said = {
        "config": config,
        "vocabulary": vocabulary and vocabulary.words,
        "architecture": model.architecture.record(),
    }
    write_weights(folder / "model.safetensors", weights, with_none(said))
    written = ["summary.json", "vocabulary.json", "metrics.csv", *tables, "model.safetensors", *OTHER_FILES]
    _write(folder / "config.json", _to_json({**config, "files": sums_of(folder, written)}))


def _to_json(record: Any) -> str:
    text = json.dumps(with_none(record), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # Names on a disk that are not UTF-8 have halves of surrogate pairs: an escape says the same.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _read(path: Path, reader: Callable[[Path], _T]) -> _T:
    try:
        return reader(path)
    except (OSError, ValueError, csv.Error, TrainingError) as error:
        raise RunError(f"{path}: cannot be read ({error}); train the run again") from None


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = read_json(path, CONFIG)
    except ValueError:
        with contextlib.suppress(ValueError):  # a newer one may be of another kind
            check_format(path.parent, read_json(path, {"run_format": CONFIG["run_format"]}))
        raise
    check_format(path.parent, config)
    if (difficulty := config.get("difficulty")) not in (None, *_DIFFICULTIES):
        raise ValueError(f"difficulty is {difficulty!r:.60}, expected one of {', '.join(_DIFFICULTIES)}")
    return config


def _read_vocabulary(path: Path) -> Vocabulary:
    return Vocabulary(read_json(path, VOCABULARY))
