"""The weights that a run keeps: a safetensors file under a checksum, which is held against when it is read.

What is wrong with a file is a ValueError here; its caller knows what to do about it.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aqa_cache.errors import first_line

from .record import parse_json

if TYPE_CHECKING:
    import torch

# The only entry of the file's metadata, JSON, and what it says of the weights.
_SAID, _SUM = "run", "weights_sha256"


def write_weights(
    path: Path,
    weights: Mapping[str, "torch.Tensor"],
    said: Mapping[str, Any] | None = None,
) -> None:
    """Write a file of weights at once.

    Args:
        said: what else its metadata says, plain JSON.

    Raises:
        AqaError: it cannot be written; an older one is intact.
    """
    from aqa_cache.disk.tensor_file import write_tensors

    digest = hashlib.sha256()
    for name in sorted(weights):
        _add(digest, name, weights[name])
    record = {**(said or {}), _SUM: digest.hexdigest()}
    text = json.dumps(record, ensure_ascii=False, allow_nan=False)
    write_tensors(path, weights, {_SAID: text})


def said_with(path: Path, kind: Mapping[str, Any]) -> dict[str, Any]:
    """What the metadata of a file of weights says; empty where it says nothing.

    Args:
        kind: of it, as `record.check` takes it.

    Raises:
        ValueError: it cannot be read, or is of another kind.
    """
    with _opened(path) as file:
        said = (file.metadata() or {}).get(_SAID)
    return {} if said is None else parse_json(said, kind)


def sizes_in(path: Path) -> dict[str, Sequence[int]]:
    """The shape of every weight.

    Raises:
        ValueError: the file cannot be read.
    """
    with _opened(path) as file:
        return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118


def read_weights(path: Path, into: Mapping[str, "torch.Tensor"]) -> None:
    """Put weights of the file, which may hold more, where they belong, one by one: a second copy of all may
    not fit in memory. The whole file is held against its checksum; those of before they had one have none.

    Raises:
        ValueError: it is damaged, or a weight is lacking or of another size; some may have been put there.
    """
    import torch

    found = sizes_in(path)
    for name, weight in into.items():
        if name not in found:
            raise ValueError(f"it has no weight {name}")
        if tuple(found[name]) != tuple(weight.shape):
            raise ValueError(f"{name} is {tuple(found[name])}, expected {tuple(weight.shape)}")
    expected = said_with(path, {_SUM: str}).get(_SUM)
    digest = hashlib.sha256()
    for name in sorted(found if expected else into):
        # Opened anew for each: pages of the file that were touched count as this process's memory until then.
        with torch.no_grad(), _opened(path) as file:
            stored = file.get_tensor(name)
            if expected:
                _add(digest, name, stored)
            if name in into:
                into[name].copy_(stored)
    if expected and digest.hexdigest() != expected:
        raise ValueError("it is damaged: its weights are not those that its checksum was made of")


@contextmanager
def _opened(path: Path) -> Iterator:
    from safetensors import SafetensorError, safe_open

    try:
        if path.exists() and not path.is_file():  # a FIFO would be waited for
            raise ValueError("it is no plain file")
        with safe_open(path, "pt") as file:
            yield file
    except (OSError, SafetensorError) as error:
        raise ValueError(f"it cannot be read: {first_line(error)}") from None


def _add(digest, name: str, weight: "torch.Tensor") -> None:
    import torch

    digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}\n".encode())
    digest.update(weight.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
