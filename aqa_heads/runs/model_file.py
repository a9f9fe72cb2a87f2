"""`model.safetensors` of a run: a model and its vocabulary, in one file."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..captions.vocabulary import Vocabulary
from ..errors import RunError
from .schema import CONFIG, MODEL, check_format
from .weights_file import read_weights, said_with, sizes_in

if TYPE_CHECKING:
    from ..networks.architecture import Architecture
    from ..networks.model import AqaModel


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
        return model_of(architecture, path).eval(), vocabulary
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path}: is not the model of a run, or damaged ({type(error).__name__}: {error}); name the"
            " model.safetensors of a run folder, or train the run again"
        ) from None


def model_of(architecture: "Architecture", path: Path) -> "AqaModel":
    """The model with the weights of the file.

    Raises:
        ValueError, RuntimeError: these are not its weights. Whatever size it says it has, it is not made.
    """
    import torch

    from ..networks.model import AqaModel

    with torch.device("meta"):  # without memory
        _check_sizes(AqaModel(architecture), sizes_in(path))
    model = AqaModel(architecture)
    fill(model, path)
    return model


def fill(model: "AqaModel", path: Path) -> None:
    """Put the weights of the file into `model`, one by one: a second copy of all may not fit in memory.

    Raises:
        ValueError: they are damaged, or those of another model; some may have been put there.
    """
    _check_sizes(model, sizes_in(path))
    read_weights(path, model.state_dict())


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
