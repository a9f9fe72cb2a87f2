"""What a model of another library is as a backbone, and the bounds of what its config may say."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import AqaError


@dataclass(frozen=True)
class NetworkShape:
    """A model of another library as a backbone.

    Args:
        build: makes the module; translated: the tensors of a published file, under the module's names.
        layer, dim: as in `Backbone`, of one clip or one frame.
        frames: whether it takes clips; else single frames.
        config: what decides the function beside the weights.
        clip_len, clip_step, size, size_step: as in `Backbone`.
    """

    build: Callable[[], nn.Module]
    translated: Callable[[dict[str, torch.Tensor], Path], dict[str, torch.Tensor]]
    layer: str
    dim: int
    frames: bool
    config: Mapping[str, Any]
    clip_len: int | None = None
    clip_step: int = 1
    size: int | None = None
    size_step: int = 1


_MOST = {
    "hidden_size": 16384,
    "intermediate_size": 65536,
    "num_hidden_layers": 256,
    "num_attention_heads": 512,
    "image_size": 4096,
    "crop_size": 4096,
    "num_frames": 4096,
    "frames_per_clip": 4096,
    "mlp_ratio": 64,
    "pred_hidden_size": 16384,
    "pred_num_hidden_layers": 256,
    "embed_dim": 16384,
    "depth": 256,
    "patch_size": 4096,
    "tubelet_size": 4096,
    "img_size": 4096,
    "num_heads": 512,
}
_MOST_ELSE = 1 << 20  # of numbers that may also be negative or zero
# Of where and by whom it was saved, and of what lies above the feature.
_NOT_OF_THE_FUNCTION = {
    "_name_or_path",
    "_commit_hash",
    "architectures",
    "transformers_version",
    "torch_dtype",
    "dtype",
    "id2label",
    "label2id",
    "num_labels",
    "problem_type",
    "torchscript",
    "attn_implementation",
    "_attn_implementation",
    "quantization_config",
}


def checked_sizes(config: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """The entries of a config that decide the function, every number within bounds.

    Raises:
        AqaError: a number is not.
    """
    kept = {name: value for name, value in config.items() if name not in _NOT_OF_THE_FUNCTION}
    for name, value in kept.items():
        numbers = value if isinstance(value, list) else [value]
        most = _MOST.get(name)
        least, most = (-_MOST_ELSE, _MOST_ELSE) if most is None else (1e-9, most)
        if any(isinstance(number, int | float) and not least <= number <= most for number in numbers):
            raise AqaError(
                f"{origin}: {name} is {value!r:.60} in config.json, expected {'above 0 and ' * (least > 0)}at"
                f" most {most}"
            )
    return kept
