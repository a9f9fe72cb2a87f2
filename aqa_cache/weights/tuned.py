"""A fine-tuned backbone in its run's folder: the weights, and with them what input they were trained on."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..cache_file.feature_spec import Learned, canonical_json
from ..clips.preprocess import Preprocessing
from ..clips.rule import ClipRule
from ..disk.plain_json import parse_json
from ..disk.tensor_file import write_tensors
from ..errors import AqaError, WeightsError, first_line

FILE = "backbone.safetensors"

_KEY, _VERSION = "tuned_backbone", 1
_AGAIN = "copy it from its run again, or train again"


@dataclass(frozen=True)
class TunedBackbone:
    """What is recorded with the weights of a fine-tuned backbone.

    Args:
        backbone: the network's name, such as `s3d`; the tensors have its module's own names.
        preprocessing: of the frames that it was fine-tuned on.
        clip_rule: of the clips that it was fine-tuned on, with `stream`, as in
            `aqa_cache.cache_file.feature_spec.FeatureSpec`.
        started_from: name of the weights it was before.
        started_sha256: of their file, hex.
        origin: name of the weights that the first fine-tuning started from, if these were fine-tuned
            themselves; else the same name.
        trained_on: sample_ids of all that it was ever fine-tuned on.
        chosen_on: sample_ids of those that an epoch of it was chosen on.
    """

    backbone: str
    preprocessing: Preprocessing
    clip_rule: dict
    started_from: str
    started_sha256: str
    origin: str = ""
    trained_on: tuple[str, ...] = ()
    chosen_on: tuple[str, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "origin", self.origin or self.started_from)

    @property
    def learned(self) -> Learned:
        """From what and on which samples, as `aqa_cache.cache_file.feature_spec.FeatureSpec` keeps it."""
        return Learned(self.started_from, self.origin, self.trained_on, self.chosen_on)


def write_tuned_backbone(folder: Path, module: nn.Module, record: TunedBackbone) -> Path:
    """Write the weights of a module and their record to `folder`; equal weights and records give equal files.

    Args:
        module: as `Backbone.build` makes it (not laid out for inference); it is not changed. Kept in float32.

    Raises:
        AqaError: nothing can be written there.
    """
    # Copies: safetensors refuses tensors that share memory.
    tensors = {
        key: (
            tensor.detach()
            .to("cpu", torch.float32 if tensor.is_floating_point() else None)
            .clone(memory_format=torch.contiguous_format)
        )
        for key, tensor in module.state_dict().items()
    }
    metadata = {
        _KEY: canonical_json(
            {**vars(record), "preprocessing": record.preprocessing.record(), "version": _VERSION}
        )
    }
    path = folder / FILE
    write_tensors(path, tensors, metadata)
    return path


def read_tuned_backbone(source: str | Path) -> TunedBackbone | None:
    """The record of a fine-tuned backbone; the tensors are not read.

    Args:
        source: the folder of a run, or the file in it.

    Returns:
        None if `source` is neither such a folder nor such a file, but weights of another origin, or nothing
        at all.

    Raises:
        WeightsError: a folder without a fine-tuned backbone, or a damaged file.
    """
    path = weights_path(source)
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    text = _metadata(path).get(_KEY)
    if text is None:
        if Path(source).expanduser().is_dir():
            raise WeightsError(
                f"{path}: does not say what it was fine-tuned on (no {_KEY} in its metadata); {_AGAIN}"
            )
        return None
    try:
        content = parse_json(text)
        version = content.pop("version")
        if type(version) is not int or version < 1:
            raise ValueError(f"version is {version!r:.60}, expected {_VERSION}")
        if version > _VERSION:
            raise WeightsError(f"{path}: was written by a newer version of this program; update it")
        content["preprocessing"] = Preprocessing.from_record(content["preprocessing"])
        for name in ("trained_on", "chosen_on"):
            if not isinstance(content[name], list) or not all(
                isinstance(item, str) for item in content[name]
            ):
                raise ValueError(f"{name} is no list of sample_ids")
            content[name] = tuple(content[name])
        record = TunedBackbone(**content)
        rule = {**ClipRule.from_record(record.clip_rule).record(), "stream": record.clip_rule["stream"]}
        if rule != record.clip_rule:
            raise ValueError(f"clip_rule is {record.clip_rule!r:.200}, expected the keys {', '.join(rule)}")
        for name in ("backbone", "started_from", "started_sha256", "origin"):
            if not isinstance(getattr(record, name), str):
                raise ValueError(f"{name} is {getattr(record, name)!r:.60}, expected text")
    except WeightsError:
        raise
    except (AqaError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(
            f"{path}: what it says it was fine-tuned on is damaged ({first_line(error)}); {_AGAIN}"
        ) from None
    return record


def weights_path(source: str | Path) -> Path:
    """The file of weights that a path stands for: the file in it, if it is the folder of a run.

    Raises:
        WeightsError: a folder without a fine-tuned backbone.
    """
    path = Path(source).expanduser()
    if not path.is_dir():
        return path
    if (path / FILE).is_file():
        return path / FILE
    if (path / "summary.json").is_file():
        raise WeightsError(
            f"{path}: this run trained heads on cached features and no backbone (it has no {FILE}); give a"
            " run of aqa-train --end-to-end, or a file of weights"
        )
    raise WeightsError(
        f"{path}: is a folder without {FILE}; expected a file of weights, or the folder of a run of aqa-train"
        " --end-to-end"
    )


def _metadata(path: Path) -> dict[str, str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{path}: cannot be read as safetensors ({error}); copy or download it again"
        ) from None
