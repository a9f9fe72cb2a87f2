"""Features of new videos, made as those of a cache were: the same weights, input, clips and arithmetic."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..annotations import Sample
from ..backbones.inference import Model
from ..backbones.names import KNOWN_BACKBONES
from ..backbones.openvino_engine import openvino_version
from ..backbones.registry import get_backbone
from ..cache_file.feature_spec import FeatureSpec
from ..cache_file.record import Record
from ..clips.preprocess import Preprocessing
from ..clips.rule import ClipRule
from ..disk.tensor_file import sha256_of
from ..errors import AqaError, WeightsError
from ..machine.devices import pick_device
from ..weights.download import weights_folder
from ..weights.published import WEIGHTS
from ..weights.random_weights import RANDOM, random_weights_path
from ..weights.resolving import Weights, resolve_weights
from ..weights.tuned import FILE
from .configuration import PREPROCESS, ExtractionConfig
from .loading import PREPROCESSINGS, load_model
from .pipeline import Pipeline, Progress

_log = logging.getLogger(__name__)


def model_again(
    spec: FeatureSpec,
    numerics: Mapping[str, Any],
    given: str | None = None,
    near: Sequence[Path] = (),
    device: str = "auto",
) -> Model:
    """The backbone that made features, with the same weights, ready to run as it was.

    Args:
        spec, numerics: of the features. Engine, precision and batch size are taken over where the device
            is of the same kind, a CPU or a GPU.
        given: name or path of the weights; None: they are looked for.
        near: paths of caches or runs beside which they may lie.

    Raises:
        AqaError: imported features, a backbone that is not known here, or weights that are not at hand.
    """
    config, weights = config_again(spec, numerics, given, near, device)
    model, made = load_model(config, weights.path)
    if made.fingerprint != spec.fingerprint:
        raise AqaError(
            "features that are made now would be others (now, then):\n  "
            + "\n  ".join(made.differences(spec))
        )
    return model


def config_again(
    spec: FeatureSpec,
    numerics: Mapping[str, Any],
    given: str | None = None,
    near: Sequence[Path] = (),
    device: str = "auto",
) -> tuple[ExtractionConfig, Weights]:
    """What an extraction is to be asked for to make such features, and the weights.

    Args:
        spec, numerics, given, near, device: as `model_again` takes them.

    Raises:
        AqaError: imported features, a backbone that is not known here, or weights that are not at hand.
    """
    if not spec.weights_sha256:
        raise AqaError(
            f"the features were imported (backbone {spec.backbone!r}), so it is not known how to make them"
        )
    if not KNOWN_BACKBONES.knows(spec.backbone):
        raise AqaError(KNOWN_BACKBONES.unknown(spec.backbone))
    weights = weights_again(spec, given, near)
    on_gpu, was_on_gpu = pick_device(device).type == "cuda", numerics.get("cudnn") is not None
    kept = numerics if on_gpu == was_on_gpu else {}
    size = spec.preprocessing.get("crop")
    config = ExtractionConfig(
        backbone=spec.backbone,
        weights=str(weights.path),
        weights_name=spec.weights,  # of the same SHA-256: random ones stay random, published ones published
        preprocess=_preprocess(spec, weights),
        size=size,
        clip_rule=ClipRule.from_record(spec.clip_rule),
        stream=spec.stream,
        tokens="time" if spec.step else "clip",
        device=device,
        precision=kept.get("precision", "fp32"),
        compile=bool(kept.get("compiled")),
        deterministic=bool(kept.get("deterministic")),
        batch_size=kept.get("batch_size"),
        engine=_engine(kept),
    )
    return config, weights


def records_again(
    model: Model,
    spec: FeatureSpec,
    folder: Path,
    samples: Sequence[Sample],
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Iterable[Record]:
    """The features of samples, each as soon as it is done; where one fails, with the reason.

    Args:
        model: that of `model_again`.
        folder: what the samples' videos are relative to.
    """
    rule = ClipRule.from_record(spec.clip_rule)
    pipeline = Pipeline(model, rule, folder, samples, stream=spec.stream, step=spec.step)
    return pipeline.records(progress)


def _engine(numerics: Mapping[str, Any]) -> str:
    """What ran the backbone, if it can here; before there was a choice it was torch."""
    engine = numerics.get("engine", "torch")
    if engine == "openvino" and not openvino_version():
        _log.warning(
            "The features were made by OpenVINO, which is not here: torch's differ in their last bits."
        )
        return "torch"
    return engine


def _preprocess(spec: FeatureSpec, weights: Weights) -> str:
    """The option that gives the recorded preprocessing with these weights."""
    expected = Preprocessing.from_record(spec.preprocessing)
    for name in PREPROCESS:
        found = PREPROCESSINGS.get(name, weights.preprocessing)
        if found.at_size(expected.crop) == expected:
            return name
    raise AqaError(
        f"the features were made with a preprocessing that this program does not have ({expected}); update it"
    )


def weights_again(spec: FeatureSpec, given: str | None, near: Sequence[Path]) -> Weights:
    """The weights whose SHA-256 the spec has.

    Args:
        spec, given, near: as `model_again` takes them.

    Raises:
        WeightsError: they are not at hand, or others were given.
    """
    named = f"{spec.weights} (SHA-256 {spec.weights_sha256})"
    if given is not None and given != RANDOM:
        found = resolve_weights(spec.backbone, given)
        if found.sha256 != spec.weights_sha256:
            raise WeightsError(
                f"--weights {given}: are other weights (SHA-256 {found.sha256}) than those that made the"
                f" features, {named}; scores from them would mean nothing. Give the latter"
            )
        return found
    others = []
    for path in _places(spec, near):
        if path.is_file():
            if sha256_of(path) == spec.weights_sha256:
                return resolve_weights(spec.backbone, str(path))
            others.append(str(path))
    why = f"{', '.join(others)}: another file of this name" if others else "no such file or run is at hand"
    try:
        if spec.weights == f"{RANDOM} (seed 0)":
            made = random_weights_path(weights_folder() / "again.h5", spec.backbone)
            made.parent.mkdir(parents=True, exist_ok=True)
            found = resolve_weights(spec.backbone, RANDOM, random_path=made)
        elif spec.weights in WEIGHTS:
            found = resolve_weights(spec.backbone, spec.weights)
        elif get_backbone(spec.backbone).published is not None:
            found = resolve_weights(spec.backbone)
        else:
            found = None
        if found is not None:
            if found.sha256 == spec.weights_sha256:
                return found
            why = f"{found.path} has the SHA-256 {found.sha256}"
    except (WeightsError, OSError) as error:
        why = str(error)
    raise WeightsError(
        f"the features were made with the weights {named}, which are not at hand: {why}. Give their path, or"
        " that of the run that trained them, with --weights"
    )


def _places(spec: FeatureSpec, near: Sequence[Path]) -> list[Path]:
    """Where the weights may lie: beside the features or the run, or here."""
    random = spec.weights == f"{RANDOM} (seed 0)"
    found = []
    for path in near:
        if random:
            found.append(random_weights_path(path, spec.backbone))
    folders = dict.fromkeys((*(path.absolute().parent for path in near), Path.cwd()))
    for folder in folders:
        if random:
            found += sorted(folder.glob(f"*.random-{spec.backbone}.safetensors"))
        else:
            for place in (folder / spec.weights, folder / "runs" / spec.weights):
                found.append(place / FILE if place.is_dir() else place)
    return list(dict.fromkeys(found))
