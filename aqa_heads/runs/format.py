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
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from aqa_cache.annotations import SPLITS
from aqa_cache.disk.atomic import replacing
from aqa_cache.disk.csv_file import write_rows
from aqa_cache.disk.plain_json import with_none
from aqa_cache.short_repr import cut

from ..captions.vocabulary import Vocabulary
from ..errors import RunError, TrainingError
from .prediction_rows import NUMBERS, PredictionRows
from .record import FINITE, Whole, number_in, read_json, read_table, whole_in
from .schema import CONFIG, EPOCH, FROM_ZERO, MODEL, SUMMARY, VOCABULARY
from .sums import sums_of
from .weights_file import read_weights, said_with, sizes_in, write_weights

if TYPE_CHECKING:
    from aqa_cache.cache_file.reader import FeatureCache

    from ..networks.architecture import Architecture
    from ..networks.model import AqaModel

_T = TypeVar("_T")

# Of what `write_run` writes; runs of before there was a number have format 1.
RUN_FORMAT = 2
# Ends the label of a run whose test samples are, in part, training samples too.
LEAKED = ", LEAKED TEST"
# Without these a run is not finished; the others depend on its tasks, or are read when they are needed.
RUN_FILES = ("config.json", "metrics.csv", "predictions.csv", "summary.json")
# What lies there before `write_run`: of end-to-end training, and of what scoring compares with.
OTHER_FILES = ("backbone.safetensors", "training_samples.safetensors")

_PREDICTIONS = ("sample_id", "split", "group", "final_score", "predicted_score")
_LARGEST_TABLE = 2**28  # bytes of a table that is read whole


@dataclass(frozen=True)
class Epoch:
    """One row of `metrics.csv`; None or NaN where a task is off, nothing is defined, or the protocol does not
    look.

    Args:
        train_loss: train_score_loss + train_class_loss + 0.01 * train_caption_loss, as they were while
            training. A part that is no longer trained counts with its last loss.
        train_score_loss: mean over the samples that have a score.
        train_class_loss: likewise per class column, summed over the columns.
        train_caption_loss: in nats per caption; per_token: per word, `<eos>` included. val_spearman,
        val_relative_l2, val_class_accuracy (mean over the columns), val_caption_loss_per_token: on the
            validation samples after the epoch (protocol honest).
        test_spearman, test_relative_l2: on the test samples after the epoch (protocol paper).
        seconds: of training and evaluating.
    """

    epoch: int
    train_loss: float | None
    train_score_loss: float | None
    train_class_loss: float | None
    train_caption_loss: float | None
    train_caption_loss_per_token: float | None
    val_spearman: float | None
    val_relative_l2: float | None
    val_class_accuracy: float | None
    val_caption_loss_per_token: float | None
    test_spearman: float | None
    test_relative_l2: float | None
    seconds: float


@dataclass(frozen=True)
class HeldOut:
    """One row of `out_of_fold.csv`.

    Args:
        fold: number of the part that was held out, from 1 on.
        true, predicted: scores in points; predicted by a model that did not learn from the sample.
        chose_epoch: whether the sample took part in the choice of that model's epoch or penalty.
        group: of the sample, in the role by which was held out (`validation` in `config.json`); None where it
            names none.
        spread: a standard deviation of `predicted`, in points, where that model's score head has one.
    """

    sample_id: str
    fold: int
    true: float
    predicted: float
    chose_epoch: bool
    group: str | None = None
    spread: float | None = None


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
            return _model_of(architecture, self.folder / "model.safetensors").eval()
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(self._another_model(error)) from None

    def load_weights(self, model: "AqaModel") -> None:
        """Put the trained weights into `model`, one by one: a second copy of all may not fit in memory.

        Raises:
            RunError: they are damaged, or those of another model; some may have been put there.
        """
        path = self.folder / "model.safetensors"
        try:
            _check_sizes(model, sizes_in(path))
            read_weights(path, model.state_dict())
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
        _read(folder / "metrics.csv", _read_epochs),
        _read(folder / "predictions.csv", _read_predictions),
        _read(folder / "summary.json", lambda path: read_json(path, SUMMARY)),
        vocabulary,
        _read(held_out, _read_held_out) if held_out.exists() else (),
    )


def read_model(path: str | Path) -> tuple["AqaModel", Vocabulary | None]:
    """The model of a `model.safetensors` and its vocabulary, from this file alone; on the CPU, in evaluation
    mode.

    Raises:
        RunError: there is no such file, it is damaged, or no model of this program.
        TrainingError: its encoder or score head is not known here.
    """
    from ..networks.architecture import Architecture

    path = Path(path)
    try:
        said = _said_of(path)
        vocabulary = Vocabulary(said["vocabulary"]) if said.get("vocabulary") else None
        if said.get("architecture") is None:  # files of before it was saved with them
            architecture = Architecture.from_record(said["config"], len(vocabulary or ()))
        else:
            architecture = Architecture(**said["architecture"])
        return _model_of(architecture, path).eval(), vocabulary
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path}: is not the model of a run, or damaged ({type(error).__name__}: {error}); name the"
            " model.safetensors of a run folder, or train the run again"
        ) from None


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
    _write_table(
        folder / "metrics.csv", [field.name for field in fields(Epoch)], [astuple(epoch) for epoch in epochs]
    )
    for name, columns in tables.items():
        _write_table(folder / name, list(columns), zip(*columns.values(), strict=True))
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


def _said_of(path: Path) -> dict[str, Any]:
    """What a model's file says of itself, of a format that this program reads."""
    try:
        said = said_with(path, MODEL)
    except ValueError:
        with contextlib.suppress(ValueError):  # a newer one may be of another kind
            newer = said_with(path, {"config": {"run_format": CONFIG["run_format"]}})
            check_format(path, newer.get("config") or {})
        raise
    check_format(path, said.get("config") or {})
    return said


def _model_of(architecture: "Architecture", path: Path) -> "AqaModel":
    """The model with the weights of the file.

    Raises:
        ValueError, RuntimeError: these are not its weights. Whatever size it says it has, it is not made.
    """
    import torch

    from ..networks.model import AqaModel

    sizes = sizes_in(path)
    with torch.device("meta"):  # without memory
        _check_sizes(AqaModel(architecture), sizes)
    model = AqaModel(architecture)
    _check_sizes(model, sizes)
    read_weights(path, model.state_dict())
    return model


def _check_sizes(model: "AqaModel", sizes: Mapping[str, Sequence[int]]) -> None:
    """Raise a ValueError where the weights of a file are not those of `model`."""
    model.fit_buffers(
        sizes
    )  # what a score head keeps of training samples is as large as there are such samples
    mine = {name: list(weight.shape) for name, weight in model.state_dict().items()}
    if sizes.keys() != mine.keys():
        different = sorted(sizes.keys() ^ mine.keys())
        raise ValueError(f"{len(different)} weights are in only one of them, such as {different[0]}")
    for name, size in mine.items():
        if list(sizes[name]) != size:
            raise ValueError(f"{name} is {tuple(sizes[name])}, expected {tuple(size)}")


def _to_json(record: Any) -> str:
    text = json.dumps(with_none(record), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # Names on a disk that are not UTF-8 have halves of surrogate pairs: an escape says the same.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with replacing(path) as temporary:
        write_rows(temporary, [header, *([with_none(value) for value in row] for row in rows)])


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
    return config


def _read_vocabulary(path: Path) -> Vocabulary:
    return Vocabulary(read_json(path, VOCABULARY))


def _read_epochs(path: Path) -> list[Epoch]:
    epochs: list[Epoch] = []
    for number, row in read_table(
        path, [field.name for field in fields(Epoch)], _LARGEST_TABLE, others=False
    ):
        epoch = whole_in(row, "epoch", number, Whole(1, 2**31))
        if epoch != number:
            raise ValueError(f"row {number}: epoch is {epoch}, expected {number}: each once, in their order")
        cells: dict[str, Any] = {
            name: number_in(row, name, number, EPOCH.get(name, FINITE)) for name in row if name != "epoch"
        }
        epochs.append(Epoch(epoch, **cells))
    return epochs


def _read_predictions(path: Path) -> PredictionRows:
    rows, seen = PredictionRows(), set[str]()
    for number, row in read_table(path, _PREDICTIONS, _LARGEST_TABLE):
        _check_once(row["sample_id"], number, seen)
        if row["split"] not in SPLITS:
            raise ValueError(
                f"row {number}: split is {reprlib.repr(row['split'])}, expected one of {', '.join(SPLITS)}"
            )
        numbers = {
            name: number_in(row, name, number, FROM_ZERO if name == "spread" else FINITE)
            for name in NUMBERS
            if name in row
        }
        rows.append({**row, **numbers})
    return rows


def _read_held_out(path: Path) -> list[HeldOut]:
    rows, seen = list[HeldOut](), set[str]()
    needed = [field.name for field in fields(HeldOut) if field.default is MISSING]
    for number, row in read_table(path, needed, _LARGEST_TABLE):
        _check_once(row["sample_id"], number, seen)
        fold, chose = (
            whole_in(row, "fold", number, Whole(1, 2**31)),
            whole_in(row, "chose_epoch", number, Whole(0, 1)),
        )
        true, predicted = (number_in(row, name, number) for name in ("true", "predicted"))
        if true is None or predicted is None:
            raise ValueError(f"row {number}: true or predicted is empty, expected a number")
        group, spread = row.get("group") or None, None
        if "spread" in row:
            spread = number_in(row, "spread", number, FROM_ZERO)
        rows.append(HeldOut(row["sample_id"], fold, true, predicted, bool(chose), group, spread))
    return rows


def _check_once(name: str, number: int, seen: set[str]) -> None:
    """Whether a sample_id is none of those that were `seen`; then it is one of them."""
    if not name or name in seen:
        what = "there twice" if name else "empty"
        raise ValueError(f"row {number}: sample_id {reprlib.repr(name)} is {what}, expected each once")
    seen.add(name)
