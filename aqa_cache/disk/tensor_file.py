"""A file of weights: its tensors and its hash. Nothing is unpickled but tensors."""

import hashlib
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch

from ..errors import AqaError, WeightsError, first_line
from .atomic import replacing
from .saved_tensors import check_saved
from .sharded_tensors import INDEX, shards_of


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a `.safetensors` file, of the index of several, or of a file that `torch.save` wrote; no
    other object is ever created.

    Raises:
        WeightsError: the file is neither, or holds more than tensors by name, all of whose values are in it.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: is no plain file; expected a file of weights")
    if path.name.endswith(INDEX):
        return {name: tensor for shard in shards_of(path) for name, tensor in read_tensors(shard).items()}
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except (SafetensorError, ArithmeticError, LookupError, OSError, RuntimeError, ValueError) as error:
            raise WeightsError(
                f"{path}: cannot be read as safetensors ({error}); copy or download it again"
            ) from None
    try:
        check_saved(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever its unpickler meets
        raise WeightsError(
            f"{path}: cannot be read as weights ({_why_not(error)}); expected a .safetensors file, or a"
            " state dict saved by torch.save that holds tensors only"
        ) from None
    for wrapper in ("state_dict", "model_state_dict", "model_state", "model"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    if (
        not isinstance(content, dict)
        or not all(isinstance(key, str) and _is_plain(value) for key, value in content.items())
        or not content
    ):
        raise WeightsError(
            f"{path}: holds {type(content).__name__}, expected a state dict: tensors by parameter name"
        )
    return content


def _is_plain(value: object) -> bool:
    """Whether it is a tensor that has its values, one beside the other."""
    return isinstance(value, torch.Tensor) and value.layout == torch.strided and value.device.type == "cpu"


def _why_not(error: Exception) -> str:
    """Without torch's advice to unpickle whatever is there."""
    if isinstance(error, pickle.UnpicklingError) and "weights_only" in str(error):
        return "it holds more than tensors, or is no file of torch.save"
    return first_line(error)


def read_backbone_tensors(path: Path) -> dict[str, torch.Tensor]:
    """As `read_tensors`, with the prefixes `module.` and `backbone.`, which training wrappers add, taken off
    the names.
    """
    tensors = read_tensors(path)
    for prefix in ("module.", "backbone."):
        shorter = {key.removeprefix(prefix): tensor for key, tensor in tensors.items()}
        if len(shorter) < len(tensors):
            twice = [key for key in tensors if key.startswith(prefix) and key.removeprefix(prefix) in tensors]
            raise WeightsError(f"{path}: holds {twice[0]!r} with and without {prefix!r}; keep one of each")
        tensors = shorter
    return tensors


def write_tensors(
    path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a `.safetensors` file at once; on the CPU no tensor is copied but those whose elements lie in
    another order.

    Args:
        metadata: of several entries, safetensors writes now one first and now the other; where equal content
            is to give equal files, give one.

    Raises:
        AqaError: the file cannot be written (disk full); an older one is intact.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with replacing(path) as temporary:
        try:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata)
        except SafetensorError as error:  # for what the system calls an OSError, too
            raise AqaError(f"{path}: writing failed ({first_line(error)}); nothing was changed") from None


def sha256_of_weights(path: Path) -> str:
    """SHA-256 of a file of weights, hex; of the index of several, of one line for each: `HASH  NAME`."""
    if not path.name.endswith(INDEX):
        return sha256_of(path)
    lines = "".join(f"{sha256_of(shard)}  {shard.name}\n" for shard in shards_of(path))
    return hashlib.sha256(lines.encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """SHA-256 of the file, hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
