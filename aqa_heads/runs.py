"""The run folder: everything a training run leaves behind.

- `config.json`: what was asked for, what was used, on which features, with which versions.
- `metrics.csv`: one row per epoch.
- `predictions.csv`: one row per training and test sample, scores in points.
- `summary.json`: the results, beside the floors.
- `vocabulary.json`: the words by number, where captions were trained.
- `model.safetensors`: the weights of the last epoch; its metadata holds config and vocabulary too.

A folder appears under its name when all of them are written, never before.
"""

import csv
import json
import math
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from aqa_cache.atomic import replacing

from .errors import RunError, TrainingError
from .vocabulary import Vocabulary

if TYPE_CHECKING:
    from .model import AqaModel


@dataclass(frozen=True)
class Epoch:
    """One row of `metrics.csv`; None or NaN where a task is off or nothing is defined.

    Args:
        train_loss: train_score_loss + train_class_loss + 0.01 * train_caption_loss, as they were while training.
        train_score_loss: mean over the samples that have a score.
        train_class_loss: likewise per class column, summed over the columns.
        train_caption_loss: in nats per caption; per_token: per word, `<eos>` included.
        test_spearman, test_relative_l2: after the epoch.
        seconds: of training and testing.
    """

    epoch: int
    train_loss: float
    train_score_loss: float | None
    train_class_loss: float | None
    train_caption_loss: float | None
    train_caption_loss_per_token: float | None
    test_spearman: float | None
    test_relative_l2: float | None
    seconds: float


@dataclass(frozen=True)
class Run:
    """A finished run, read back.

    Args:
        folder: where it lies.
        config, summary: as written; undefined numbers are None.
        predictions: per sample the cells of `predictions.csv` as text; '' where there is nothing.
        vocabulary: None if no captions were trained.
    """

    folder: Path
    config: dict
    epochs: list[Epoch]
    predictions: list[dict[str, str]]
    summary: dict
    vocabulary: Vocabulary | None

    def load_model(self) -> "AqaModel":
        """The trained model, on the CPU, in evaluation mode.

        Raises:
            RunError: the weights are damaged or do not fit the config.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from .model import AqaModel

        path = self.folder / "model.safetensors"
        if "caption" in self.config["tasks"] and self.vocabulary is None:
            raise RunError(f"{self.folder}: vocabulary.json is missing, which its captions need; train the run again")
        try:
            weights = load_file(path)
            model = AqaModel.from_config(self.config, len(self.vocabulary or ()))
            model.load_state_dict(weights)
        except (OSError, SafetensorError, RuntimeError) as error:
            raise RunError(f"{path}: is not the model of its config.json ({error}); train the run again") from None
        return model.eval()


def read_run(folder: str | Path) -> Run:
    """Read a run folder; the weights are left until `Run.load_model`.

    Raises:
        RunError: the folder is no finished run, or a file in it is damaged.
    """
    folder = Path(folder)
    if not (folder / "summary.json").is_file():
        raise RunError(f"{folder}: is not a run folder (no summary.json in it); name a folder that aqa-train wrote")
    try:
        vocabulary = None
        if (folder / "vocabulary.json").exists():
            vocabulary = Vocabulary(_read_json(folder / "vocabulary.json"))
        epochs = [
            Epoch(int(row.pop("epoch")), **{name: float(cell) if cell else None for name, cell in row.items()})
            for row in _read_table(folder / "metrics.csv")
        ]
        return Run(
            folder,
            _read_json(folder / "config.json"),
            epochs,
            _read_table(folder / "predictions.csv"),
            _read_json(folder / "summary.json"),
            vocabulary,
        )
    except (OSError, ValueError, KeyError, TypeError, csv.Error, TrainingError) as error:
        raise RunError(f"{folder}: a file of this run cannot be read ({error}); train the run again") from None


def write_run(
    folder: Path,
    config: Mapping,
    epochs: Sequence["Epoch"],
    predictions: Mapping[str, Sequence],
    summary: Mapping,
    vocabulary: Vocabulary | None,
    model: "AqaModel",
) -> None:
    """Write all files of a run into `folder`, from `new_run_folder`.

    Args:
        predictions: columns of equal length.

    Numbers that are None or not finite become empty cells, in JSON null.
    """
    from safetensors.torch import save_file

    metadata = {"config": _to_json(config)}
    _write(folder / "config.json", _to_json(config))
    _write(folder / "summary.json", _to_json(summary))
    if vocabulary is not None:
        metadata["vocabulary"] = _to_json(vocabulary.words)
        _write(folder / "vocabulary.json", metadata["vocabulary"])
    _write_table(folder / "metrics.csv", [field.name for field in fields(Epoch)], map(astuple, epochs))
    _write_table(folder / "predictions.csv", predictions, zip(*predictions.values(), strict=True))
    # Clones: on a GPU the weights of an RNN are slices of one block, which safetensors takes for shared.
    weights = {name: weight.detach().cpu().clone() for name, weight in model.state_dict().items()}
    with replacing(folder / "model.safetensors") as path:
        save_file(weights, path, metadata)


def check_run_folder(folder: Path, overwrite: bool) -> None:
    """Whether a run may be written to `folder`.

    Raises:
        RunError: it exists and `overwrite` was not asked for, or it is something else than a run.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise RunError(
            f"{folder}: is a file, but a run folder is to be written there; remove it or choose another --out"
        )
    if not any(folder.iterdir()):
        return
    if not (folder / "summary.json").is_file():
        raise RunError(
            f"{folder}: exists and is not a run folder (no summary.json in it); remove it or choose another --out"
        )
    if not overwrite:
        raise RunError(f"{folder}: this run exists; give --overwrite to replace it, or another --out to keep it")


@contextmanager
def new_run_folder(folder: Path, overwrite: bool) -> Iterator[Path]:
    """An empty folder beside `folder` that takes its place when the block ends well, and vanishes when it does not.

    Raises:
        RunError: as `check_run_folder`, or nothing can be written there.
    """
    check_run_folder(folder, overwrite)
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be made ({error.strerror}); choose another --out") from None
    try:
        yield temporary
        check_run_folder(folder, overwrite)
        _publish(temporary, folder)
    except OSError as error:
        raise RunError(f"{folder}: writing the run failed ({error}); choose another --out") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _publish(temporary: Path, folder: Path) -> None:
    if folder.exists():
        replaced = temporary.with_suffix(".old")
        folder.rename(replaced)
        temporary.rename(folder)
        shutil.rmtree(replaced)
    else:
        temporary.rename(folder)


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


def _read_json(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def _read_table(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))
