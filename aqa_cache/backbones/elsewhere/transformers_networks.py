"""Encoders of the library transformers: V-JEPA 2 and VideoMAE, DINOv2, DINOv3 and CLIP of single frames."""

import contextlib
import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import AqaError, WeightsError, first_line, missing
from .frame_network import FrameNetwork
from .shape import NetworkShape, checked_sizes


@dataclass(frozen=True)
class _Family:
    """A kind of network in transformers.

    Args:
        model, config: names of its classes; part: of a larger model's config that it is.
        layer: what is kept.
        size: the key of its frames' side; fixed: whether it takes no other.
        frames: the key of the only number of frames it takes; None: any, or one at a time.
        tubes: whether it takes clips, in tubes of several frames.
    """

    model: str
    config: str
    layer: str
    size: str = "image_size"
    fixed: bool = True
    frames: str | None = None
    tubes: bool = True
    part: str | None = None


_CLASS_TOKEN = "class token after the last norm"
_CLIP = _Family("CLIPVisionModel", "CLIPVisionConfig", _CLASS_TOKEN, tubes=False)
FAMILIES = {
    "vjepa2": _Family(
        "VJEPA2Model",
        "VJEPA2Config",
        "last hidden state of the encoder, mean over tokens",
        size="crop_size",
    ),
    "videomae": _Family(
        "VideoMAEModel",
        "VideoMAEConfig",
        "last hidden state, mean over tokens",
        frames="num_frames",
    ),
    "dinov2": _Family("Dinov2Model", "Dinov2Config", _CLASS_TOKEN, fixed=False, tubes=False),
    "dinov3_vit": _Family("DINOv3ViTModel", "DINOv3ViTConfig", _CLASS_TOKEN, fixed=False, tubes=False),
    "clip_vision_model": _CLIP,
    "clip": replace(_CLIP, part="vision_config"),
}
"""By the `model_type` of `config.json`."""


def transformers_shape(config: Mapping[str, Any], origin: str, spread: bool) -> NetworkShape:
    """How a model of transformers becomes a backbone.

    Args:
        config: what its `config.json` says; origin: its name, for messages.
        spread: whether frames' standard deviation is wanted too.

    Raises:
        AqaError: it is of no family that is known here, or of sizes that no such network has.
        MissingDependency: transformers is not installed.
    """
    kind = config.get("model_type")
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is None:
        raise AqaError(
            f"{origin}: is of the kind {kind!r:.60}, expected one of {', '.join(FAMILIES)}; make features of"
            " others with their own programs, and bring them in with aqa-data import-features"
        )
    if family.part:
        config = config.get(family.part) or {}
        if not isinstance(config, dict):
            raise AqaError(
                f"{origin}: {family.part} of its config.json is {config!r:.60}, expected an object"
            )
    library = _transformers(origin)
    values = checked_sizes(config, origin)
    try:
        known = getattr(library, family.config).from_dict(dict(values))
    except Exception as error:  # of the library's own checks
        raise AqaError(f"{origin}: its config.json does not fit {kind} ({first_line(error)})") from None
    network = _Network(family, known, origin, spread)
    try:
        size, patch = _side(getattr(known, family.size)), _side(known.patch_size)
    except LookupError:
        raise AqaError(f"{origin}: {family.size} or patch_size of its config.json is an empty list") from None
    return NetworkShape(
        build=network.build,
        translated=network.translated,
        layer=family.layer,
        dim=known.hidden_size,
        frames=family.tubes,
        config=values,
        clip_len=getattr(known, family.frames) if family.frames else None,
        clip_step=known.tubelet_size if family.tubes else 1,
        size=size if family.fixed else None,
        size_step=1 if family.fixed else patch,
    )


class VideoTokens(nn.Module):
    """A transformer of tubes of a clip, the mean over its tokens.

    Args:
        model: `(batch, frames, 3, size, size)` to tokens in the order time, height, width.
        tubelet: frames of a tube.

    Shape:
        - Input: `(batch, 3, clip_len, size, size)`. Output: `(batch, dim)`.
    """

    def __init__(self, model: nn.Module, tubelet: int):
        super().__init__()
        self.model, self.tubelet = model, tubelet

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self._tokens(clips).mean(1)

    def over_time(self, clips: torch.Tensor) -> torch.Tensor:
        """One vector a tube, `(batch, clip_len / tubelet, dim)`."""
        return self._tokens(clips).unflatten(1, (clips.shape[2] // self.tubelet, -1)).mean(2)

    def _tokens(self, clips: torch.Tensor) -> torch.Tensor:
        return self.model(clips.transpose(1, 2)).last_hidden_state


class Pooled(nn.Module):
    """What a model of frames gives of a whole one. Shape: `(frames, 3, size, size)` to `(frames, dim)`."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.model(frames).pooler_output


class _Network:
    """Makes a model of transformers, and translates its tensors."""

    def __init__(self, family: _Family, config: Any, origin: str, spread: bool):
        self._family, self._config, self._origin, self._spread = family, config, origin, spread

    def build(self) -> nn.Module:
        try:
            with _quiet(_transformers(self._origin)):
                model = self._class()._from_config(self._copy(), attn_implementation="sdpa")
                return self._as_backbone(model)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise AqaError(
                f"{self._origin}: transformers cannot make {self._family.model} as config.json says"
                f" ({type(error).__name__}: {first_line(error)})"
            ) from None

    def translated(self, tensors: dict[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
        """The tensors of a published file under our module's names, renamed by the library where its own
        names have changed.

        Raises:
            WeightsError: some are lacking, or of another shape than the config has it.
        """
        try:
            with _quiet(_transformers(self._origin)):
                model, report = self._class().from_pretrained(
                    None,
                    config=self._copy(),
                    state_dict=tensors,
                    dtype=torch.float32,
                    attn_implementation="sdpa",
                    ignore_mismatched_sizes=True,
                    output_loading_info=True,
                )
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise WeightsError(
                f"{path}: transformers cannot load it as {self._family.model} ({type(error).__name__}:"
                f" {first_line(error)}); copy it and its config.json from one revision of the model"
            ) from None
        # The predictor of V-JEPA 2 is not used.
        lacking = sorted(name for name in report["missing_keys"] if not name.startswith("predictor."))
        unequal = sorted(str(name[0]) for name in report["mismatched_keys"])
        if lacking or unequal:
            said = [
                f"{len(names)} {kind} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
                for kind, names in (("missing", lacking), ("of another shape", unequal))
                if names
            ]
            raise WeightsError(
                f"{path}: does not fit its config.json ({self._family.model}): {'; '.join(said)}; copy both"
                " from one revision of the model"
            )
        return self._as_backbone(model).state_dict()

    def _class(self) -> Any:
        return getattr(_transformers(self._origin), self._family.model)

    def _copy(self) -> Any:
        return copy.deepcopy(self._config)  # the library writes into it

    def _as_backbone(self, model: nn.Module) -> nn.Module:
        if not self._family.tubes:
            return FrameNetwork(Pooled(model), self._spread)
        encoder = model.encoder if self._family.model == "VJEPA2Model" else model
        return VideoTokens(encoder, self._config.tubelet_size)


def _side(patch: int | list[int] | tuple[int, ...]) -> int:
    return patch if isinstance(patch, int) else patch[0]


def _transformers(origin: str) -> Any:
    try:
        import transformers
    except Exception as error:
        raise missing("transformers", f"the backbone {origin}", error, "'aqa-cache[hf]'") from None
    return transformers


@contextlib.contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Without the library's own reports: what they say is an error here, or of no account."""
    logging = library.utils.logging
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()
