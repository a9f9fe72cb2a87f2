"""The numerics record: what decides the last bits of features, but not what they mean."""

from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ..backbones.cpu_layers import LAYOUT
from ..backbones.inference import Model
from ..backbones.openvino_engine import openvino_version
from ..machine.devices import device_name
from ..video.mended import DECODING
from .configuration import ENGINES

# Keys that are about decoding, not about computing; these are compared sample by sample.
_OF_DECODING = frozenset(["decoding", "not_looked_at"])


def numerics_of(model: Model, deterministic: bool = False) -> dict[str, Any]:
    """The record of features made now; null for a library that is not installed."""

    def version(package: str) -> str | None:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return None

    on_gpu = model.device.type == "cuda"
    record = {
        "device": device_name(model.device),
        "precision": model.precision,
        "batch_size": model.batch_size,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version() if on_gpu else None,
        "av": version("av"),
        "pillow": version("pillow"),
        "decoding": DECODING,
    }
    if model.engine == "openvino":
        record |= {"engine": "openvino", "openvino": openvino_version()}
    elif not on_gpu:
        record |= {"engine": "torch", "layout": LAYOUT}
    used = {"compiled": model.compiled, "deterministic": deterministic}
    return record | {name: True for name, value in used.items() if value}


def engine_of(records: Iterable[dict[str, Any]]) -> str | None:
    """The engine of features with these records: what a CPU computed, the first that is known; None where
    nothing was computed by one.
    """
    return next((record["engine"] for record in records if record.get("engine") in ENGINES), None)


def of_computing(record: dict[str, Any]) -> dict[str, Any]:
    """The record without what is said of decoding: features whose records are then equal may be mixed."""
    return {name: value for name, value in record.items() if name not in _OF_DECODING}


def decoding_of(record: dict[str, Any]) -> int:
    """The version of decoding that a cache says its features were made with; of imported ones nothing is
    known to have been wrong.
    """
    return DECODING if "imported_dtypes" in record else record.get("decoding", 1)


def mixed(
    output: Path | str, mine: dict[str, Any], theirs: dict[str, Any], whose: str = "an earlier run"
) -> str:
    """The message that features with two records cannot be in one file unasked."""
    differing = [
        f"{name}: {mine.get(name)}, {theirs.get(name)}"
        for name in sorted(mine.keys() | theirs.keys())
        if mine.get(name) != theirs.get(name)
    ]
    return (
        f"{output}: features of {whose} are computed otherwise (now, there):\n  "
        + "\n  ".join(differing)
        + "\nThey differ in their last bits. Compute them in the same way, or accept both in one file with"
        " --allow-mixed."
    )
