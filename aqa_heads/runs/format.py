"""The run folder: everything a training run leaves behind.

- `config.json`: what was asked for, what was used, on which features, with which versions.
- `metrics.csv`: one row per epoch.
- `predictions.csv`: one row per training, validation and test sample, scores in points.
- `summary.json`: the results, beside the floors and the audit. `peak_memory_bytes` is on a GPU that of the
  run's tensors, on the CPU that of the whole process so far, earlier runs in it included.
- `out_of_fold.csv`: scores that models predicted which did not learn from the sample, where there are any.
- `contributions.csv`: the encoder's weight of every clip, where it has such weights; `caption_attention.csv`:
  the captioner's weight of every clip at every word of the test captions, likewise.
- `vocabulary.json`: the words by number, where captions were trained.
- `model.safetensors`: the weights that are reported; its metadata holds config, vocabulary and architecture
  too, as JSON under `run`, so that the file alone is a model (`read_model`).

A folder appears under its name when all of them are written, never before.
"""

import csv
import json
import math
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from aqa_cache.disk.atomic import replacing

from ..captions.vocabulary import Vocabulary
from ..errors import RunError, TrainingError
from .tables import number_in, read_table

if TYPE_CHECKING:
    from ..networks.model import AqaModel

_T = TypeVar("_T")

# Ends the label of a run whose test samples are, in part, training samples too.
LEAKED = ", LEAKED TEST"
# Without these a run is not finished; the others depend on its tasks, or are read when they are needed.
RUN_FILES = ("config.json", "metrics.csv", "predictions.csv", "summary.json")

# What is read from the files: a type, [kind of the items], {name: kind}, or {...: kind} where any name may
# stand.
_NUMBERS = {...: float}
_CONFIG = {
    **dict.fromkeys(("experiment", "label", "protocol", "device", "views", "difficulty", "fold"), str),
    "seed": int,
    "tasks": [str],
    "notes": [str],
    "fine_tuning": {"started_from": str, "started_sha256": str, "frozen_layers": [str], ...: object},
    "table1": {...: object},
    "features": {"backbone": str, "path": str, "fingerprint": str, "views": [str]},
}
_SUMMARY = {
    **dict.fromkeys(
        (
            "spearman",
            "kendall",
            "pearson",
            "relative_l2",
            "mae",
            "train_loss",
            "unigram_loss",
            "caption_loss_per_token",
            "parameters",
            "peak_memory_bytes",
        ),
        float,
    ),
    "interval": [float],
    "seconds": _NUMBERS,
    "class_accuracy": _NUMBERS,
    "majority_accuracy": _NUMBERS,
    "floors": {...: _NUMBERS},
    "per_group": {...: _NUMBERS},
    "captions": {...: object},
    "chosen": {...: {...: object}},
    "ceiling": _NUMBERS,
    "best_test_spearman": {...: object},
    "audit": {...: object},
    "notes": [str],
}
_PREDICTIONS = ("sample_id", "split", "group", "final_score", "predicted_score")
_EXPECTED = {str: "text", int: "a whole number", float: "a number"}


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
    """

    sample_id: str
    fold: int
    true: float
    predicted: float
    chose_epoch: bool


@dataclass(frozen=True)
class Run:
    """A finished run, read back.

    Args:
        folder: where it lies.
        config, summary: as written; undefined numbers are None.
        predictions: per sample the cells of `predictions.csv` as text; '' where there is nothing.
        vocabulary: None if no captions were trained.
        out_of_fold: scores of held-out samples; empty where there are none, as in runs of before they were
            written.
    """

    folder: Path
    config: dict
    epochs: list[Epoch]
    predictions: list[dict[str, str]]
    summary: dict
    vocabulary: Vocabulary | None
    out_of_fold: Sequence[HeldOut] = ()

    def load_model(self) -> "AqaModel":
        """The trained model, on the CPU, in evaluation mode.

        Raises:
            RunError: the weights are damaged or do not fit the config.
            TrainingError: its encoder or score head is not known here: nothing is imported because a file
                names it.
        """
        from ..networks.architecture import Architecture
        from ..networks.model import AqaModel

        if "caption" in (self.config.get("tasks") or ()) and self.vocabulary is None:
            raise RunError(
                f"{self.folder}: vocabulary.json is missing, which its captions need; train the run again"
            )
        try:
            model = AqaModel(Architecture.from_record(self.config, len(self.vocabulary or ())))
        except (RuntimeError, KeyError, TypeError, AttributeError) as error:
            raise RunError(self._another_model(error)) from None
        self.load_weights(model)
        return model.eval()

    def load_weights(self, model: "AqaModel") -> None:
        """Put the trained weights into `model`, one by one: a second copy of all may not fit in memory.

        Raises:
            RunError: they are damaged, or those of another model; some may have been put there.
        """
        from safetensors import SafetensorError

        try:
            _load_weights(model, self.folder / "model.safetensors")
        except (OSError, SafetensorError, ValueError) as error:
            raise RunError(self._another_model(error)) from None

    def _another_model(self, error: Exception) -> str:
        return (
            f"{self.folder / 'model.safetensors'}: is not the model of its config.json ({error}); train the"
            " run again"
        )


def read_run(folder: str | Path) -> Run:
    """Read a run folder; the weights are left until `Run.load_model`.

    Raises:
        RunError: the folder is no finished run, or a file in it is damaged.
    """
    folder = Path(folder)
    if not (folder / "summary.json").is_file():
        raise RunError(
            f"{folder}: is not a run folder (no summary.json in it); name a folder that aqa-train wrote"
        )
    vocabulary = None
    if (folder / "vocabulary.json").exists():
        vocabulary = _read(folder / "vocabulary.json", lambda path: Vocabulary(_read_json(path, [str])))
    held_out = folder / "out_of_fold.csv"
    return Run(
        folder,
        _read(folder / "config.json", lambda path: _read_json(path, _CONFIG)),
        _read(folder / "metrics.csv", _read_epochs),
        _read(folder / "predictions.csv", _read_predictions),
        _read(folder / "summary.json", lambda path: _read_json(path, _SUMMARY)),
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
    from safetensors import SafetensorError, safe_open

    from ..networks.architecture import Architecture
    from ..networks.model import AqaModel

    path = Path(path)
    try:
        with safe_open(path, "pt") as file:
            said = json.loads((file.metadata() or {})["run"])
        vocabulary = Vocabulary(said["vocabulary"]) if said.get("vocabulary") else None
        if said.get("architecture") is None:  # files of before it was saved with them
            architecture = Architecture.from_record(said["config"], len(vocabulary or ()))
        else:
            architecture = Architecture(**said["architecture"])
        model = AqaModel(architecture)
        _load_weights(model, path)
    except (OSError, SafetensorError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path}: is not the model of a run, or damaged ({type(error).__name__}: {error}); name the"
            " model.safetensors of a run folder, or train the run again"
        ) from None
    return model.eval(), vocabulary


def write_run(
    folder: Path,
    config: Mapping,
    epochs: Sequence["Epoch"],
    tables: Mapping[str, Mapping[str, Sequence]],
    summary: Mapping,
    vocabulary: Vocabulary | None,
    model: "AqaModel",
) -> None:
    """Write all files of a run into `folder`, that of `folder.new_run_folder`.

    Args:
        tables: by file name columns of equal length; `predictions.csv` and what else there is.

    Numbers that are None or not finite become empty cells, in JSON null.
    """
    from aqa_cache.disk.tensor_file import write_tensors

    _write(folder / "config.json", _to_json(config))
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
    metadata = {"run": _to_json(said)}
    write_tensors(folder / "model.safetensors", weights, metadata)


def _load_weights(model: "AqaModel", path: Path) -> None:
    """Raises ValueError where the file's weights are not those of `model`."""
    import torch
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        # What a score head keeps of training samples is as large as there are such samples.
        sizes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118
    model.fit_buffers(sizes)
    mine = model.state_dict()
    if sizes.keys() != mine.keys():
        different = sorted(sizes.keys() ^ mine.keys())
        raise ValueError(f"{len(different)} weights are in only one of them, such as {different[0]}")
    with torch.no_grad():
        for name, weight in mine.items():
            # Opened anew for each: pages of the file that were touched count as this process's memory until
            # then.
            with safe_open(path, "pt") as file:
                stored = file.get_tensor(name)
            if stored.shape != weight.shape:
                raise ValueError(f"{name} is {tuple(stored.shape)}, expected {tuple(weight.shape)}")
            weight.copy_(stored)


def _to_json(record) -> str:
    return json.dumps(_defined(record), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _defined(value):
    """`value` with None for every number that is not finite."""
    if isinstance(value, Mapping):
        return {key: _defined(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(["" if (cell := _defined(value)) is None else cell for value in row] for row in rows)


def _read(path: Path, reader: Callable[[Path], _T]) -> _T:
    try:
        return reader(path)
    except (OSError, ValueError, RecursionError, csv.Error, TrainingError) as error:
        raise RunError(f"{path}: cannot be read ({error}); train the run again") from None


def _read_json(path: Path, kind):
    record = json.loads(path.read_text(encoding="utf-8"))
    if record is None:
        raise ValueError("it holds nothing but null")
    _check(record, kind, "its content")
    return record


def _check(value, kind, name: str) -> None:
    """Raise a ValueError where `value` is not of `kind`; null always is."""
    if value is None:
        return
    if isinstance(kind, dict):
        if not isinstance(value, dict):
            raise ValueError(f"{name} is {reprlib.repr(value)}, expected an object")
        for key, item in value.items():
            _check(item, kind.get(key, kind.get(..., object)), key)
    elif isinstance(kind, list):
        if not isinstance(value, list):
            raise ValueError(f"{name} is {reprlib.repr(value)}, expected a list")
        for item in value:
            _check(item, kind[0], f"an item of {name}")
    elif not (_is_number(value) if kind is float else isinstance(value, kind)):
        raise ValueError(f"{name} is {reprlib.repr(value)}, expected {_EXPECTED[kind]}")


def _is_number(value) -> bool:
    """One that a float can hold: JSON's whole numbers have no end."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**1023)


def _read_epochs(path: Path) -> list[Epoch]:
    rows = read_table(path, [field.name for field in fields(Epoch)], others=False)
    epochs = []
    for number, row in enumerate(rows, 1):
        if not row["epoch"].isdecimal() or int(row["epoch"]) > 2**31:
            raise ValueError(f"row {number}: epoch is {reprlib.repr(row['epoch'])}, expected a whole number")
        cells: dict[str, Any] = {name: number_in(row, name, number) for name in row if name != "epoch"}
        epochs.append(Epoch(int(row["epoch"]), **cells))
    return epochs


def _read_predictions(path: Path) -> list[dict[str, str]]:
    rows = read_table(path, _PREDICTIONS)
    for number, row in enumerate(rows, 1):
        for name in ("final_score", "predicted_score"):
            number_in(row, name, number)
    return rows


def _read_held_out(path: Path) -> list[HeldOut]:
    found: dict[str, HeldOut] = {}
    for number, row in enumerate(read_table(path, [field.name for field in fields(HeldOut)]), 1):
        true, predicted = (number_in(row, name, number) for name in ("true", "predicted"))
        if true is None or predicted is None or not math.isfinite(true + predicted):
            raise ValueError(f"row {number}: true or predicted is no finite number")
        if not (
            row["fold"].isdecimal() and 0 < int(row["fold"]) < 2**31 and row["chose_epoch"] in ("0", "1")
        ):
            raise ValueError(
                f"row {number}: fold is {reprlib.repr(row['fold'])} and chose_epoch"
                f" {reprlib.repr(row['chose_epoch'])}, expected a whole number from 1 on, and 0 or 1"
            )
        said = HeldOut(row["sample_id"], int(row["fold"]), true, predicted, row["chose_epoch"] == "1")
        if found.setdefault(said.sample_id, said) is not said:
            raise ValueError(f"row {number}: {reprlib.repr(said.sample_id)} is there twice")
    return list(found.values())
