"""Networks of single frames of the library timm: DINOv2, DINOv3, CLIP's image towers, and its others."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import AqaError, first_line, missing
from .frame_network import FrameNetwork
from .shape import NetworkShape, checked_sizes

_ARCHITECTURE = re.compile(r"[a-z0-9_]{1,100}")
# What a config may ask of a constructor: sizes and names of layers, no file and no address.
_ARGUMENTS = {
    *("img_size", "patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio", "init_values", "qkv_bias"),
    *("global_pool", "class_token", "no_embed_class", "reg_tokens", "pre_norm", "final_norm", "fc_norm"),
    *("act_layer", "norm_layer", "proj_bias", "qk_norm", "pos_embed", "depths", "dims", "in_chans"),
    *("num_classes", "dynamic_img_size", "ref_feat_shape", "drop_rate", "drop_path_rate", "proj_drop_rate"),
}


def timm_shape(config: Mapping[str, Any], origin: str, spread: bool) -> NetworkShape:
    """How a model of timm becomes a backbone: the feature that its classifier reads.

    Args, Raises: as `transformers_shape`.
    """
    architecture, arguments = config.get("architecture"), config.get("model_args") or {}
    if not isinstance(architecture, str) or not _ARCHITECTURE.fullmatch(architecture):
        raise AqaError(
            f"{origin}: its config.json names no architecture of timm ({architecture!r:.60}); for a model of"
            " transformers give hf: in place of timm:"
        )
    if not isinstance(arguments, dict) or (unknown := sorted(arguments.keys() - _ARGUMENTS)):
        said = ", ".join(unknown[:5]) if isinstance(arguments, dict) else type(arguments).__name__
        raise AqaError(f"{origin}: model_args of its config.json has {said}, which is not passed on")
    arguments = checked_sizes(arguments, origin)
    network = _Network(architecture, arguments, config, origin, spread)
    published = published_config(config)
    said = published.get("input_size", [3, 224, 224])
    size = said[-1] if isinstance(said, list) and said else None  # what it should be, `timm_processor` says
    fixed = bool(published.get("fixed_input_size"))
    pool = network.tried.global_pool if isinstance(getattr(network.tried, "global_pool", None), str) else ""
    return NetworkShape(
        build=network.build,
        translated=network.translated,
        layer=f"what the classifier reads{f' ({pool} pooling)' if pool else ''}",
        dim=int(network.tried.num_features),
        frames=False,
        config={"architecture": architecture, "model_args": arguments},
        size=size if fixed and not network.any_size else None,
        size_step=network.patch if fixed and network.any_size else 1,
    )


def published_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a `config.json` of timm says of the published weights."""
    found = config.get("pretrained_cfg")
    return found if isinstance(found, dict) else {}


def timm_processor(config: Mapping[str, Any]) -> dict[str, Any]:
    """The input that the weights were trained on, in the words of transformers' processors.

    Raises:
        KeyError, TypeError, ValueError: something is lacking, or is no number.
    """
    published = published_config(config)
    channels, height, width = published["input_size"]
    if channels != 3 or height != width:
        raise ValueError(f"input_size is {published['input_size']}, expected [3, N, N]")
    share = float(published.get("crop_pct") or 0.875)
    if not 0.1 <= share <= 1:
        raise ValueError(f"crop_pct is {share}, expected 0.1 to 1")
    return {
        "size": {"shortest_edge": int(height / share)},
        "crop_size": height,
        "image_mean": list(published["mean"]),
        "image_std": list(published["std"]),
    }


class _Network:
    """Makes a model of timm, and translates its tensors.

    Attributes:
        tried: the network without numbers; any_size: whether its positions follow the frames' size, in steps
            of `patch` pixels.
    """

    def __init__(
        self,
        architecture: str,
        arguments: Mapping[str, Any],
        config: Mapping[str, Any],
        origin: str,
        spread: bool,
    ):
        self._architecture, self._origin, self._spread = architecture, origin, spread
        self._arguments = {**arguments, "num_classes": 0}
        classifier = published_config(config).get("classifier") or "head"
        names = classifier if isinstance(classifier, list) else [classifier]
        if not all(isinstance(name, str) for name in names):
            raise AqaError(f"{origin}: classifier of its config.json is {classifier!r:.60}, expected a name")
        self._heads = tuple(f"{name}." for name in names)
        with torch.device("meta"):
            self.any_size = True
            try:
                self.tried = self._create({**self._arguments, "dynamic_img_size": True}, tried=True)
                self._arguments["dynamic_img_size"] = True
            except TypeError:
                self.any_size = False
                self.tried = self._create(self._arguments)
        patch = getattr(getattr(self.tried, "patch_embed", None), "patch_size", (1, 1))
        self.patch = patch if isinstance(patch, int) else patch[0]

    def build(self) -> nn.Module:
        return FrameNetwork(self._create(self._arguments), self._spread)

    def translated(self, tensors: dict[str, torch.Tensor], _path: Path) -> dict[str, torch.Tensor]:
        """The tensors of a published file under our module's names, without the classifier's."""
        return {
            f"network.{name}": tensor for name, tensor in tensors.items() if not name.startswith(self._heads)
        }

    def _create(self, arguments: Mapping[str, Any], tried: bool = False) -> Any:
        """The model; where it is only tried, a TypeError may be of an argument that it does not have."""
        timm = _timm(self._origin)
        if not timm.is_model(self._architecture):
            raise AqaError(
                f"{self._origin}: the architecture {self._architecture!r} is not in timm"
                f" {timm.__version__}; update timm"
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return timm.create_model(self._architecture, pretrained=False, **arguments)
        except Exception as error:  # of the library's constructors
            if tried and isinstance(error, TypeError):
                raise
            raise AqaError(
                f"{self._origin}: timm cannot make {self._architecture} as config.json says"
                f" ({type(error).__name__}: {first_line(error)})"
            ) from None


def _timm(origin: str) -> Any:
    try:
        import timm
    except Exception as error:
        raise missing("timm", f"the backbone {origin}", error, "'aqa-cache[timm]'") from None
    return timm
