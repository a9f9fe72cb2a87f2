"""Backbone weights: the file that a name or a path stands for, and its tensors in their module.

Nothing is unpickled but tensors, nothing is downloaded without being said, and nothing is loaded in part.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..backbones.key_layouts import LAYOUTS, detect_layout, layouts_of
from ..backbones.registry import get_backbone
from ..cache_file.feature_spec import Learned, named_random
from ..clips.preprocess import Preprocessing
from ..disk.tensor_file import read_backbone_tensors, read_tensors, sha256_of, sha256_of_weights
from ..errors import WeightsError
from .download import download
from .published import WEIGHTS
from .random_weights import RANDOM, make_random_weights
from .tuned import FILE, TunedBackbone, read_tuned_backbone, weights_path

# The only keys a published file may lack: counters that inference does not read.
_OPTIONAL = re.compile(r"\.num_batches_tracked$")


@dataclass(frozen=True)
class Weights:
    """Weights on disk, ready to be loaded.

    Args:
        name: for people: the published name, the file's name, the run's name, or `random (seed 0)`.
        path: the file, in our own key names or a known layout.
        sha256: of the file, hex.
        preprocessing: the input they expect.
        tuned: what a run fine-tuned them on; None: they are not from a run of this program.
    """

    name: str
    path: Path
    sha256: str
    preprocessing: Preprocessing
    tuned: TunedBackbone | None = None

    @property
    def learned(self) -> Learned | None:
        """On what, as `aqa_cache.cache_file.feature_spec.FeatureSpec` keeps it; None where no run of this
        program fine-tuned them.
        """
        return self.tuned.learned if self.tuned else None

    @property
    def origin(self) -> str:
        """Name of the weights that the first of their fine-tunings started from; their own if there was
        none.
        """
        return self.tuned.origin if self.tuned else self.name

    @property
    def random(self) -> bool:
        """Whether nothing but a fine-tuning, if anything, was learned from any video."""
        return named_random(self.origin)

    def fine_tuned(
        self,
        backbone: str,
        preprocessing: Preprocessing,
        clip_rule: dict[str, Any],
        trained_on: Iterable[str],
        chosen_on: Iterable[str],
    ) -> TunedBackbone:
        """The record of a fine-tuning that started from these: what they had learned from is known of the
        result too.

        Args:
            backbone, preprocessing, clip_rule: as in `TunedBackbone`.
            trained_on: sample_ids that it was fine-tuned on; chosen_on: that an epoch of it was chosen on.
        """
        trained_before, chosen_before = (
            (self.tuned.trained_on, self.tuned.chosen_on) if self.tuned else ((), ())
        )
        return TunedBackbone(
            backbone,
            preprocessing,
            clip_rule,
            self.name,
            self.sha256,
            self.origin,
            tuple(sorted({*trained_before, *trained_on})),
            tuple(sorted({*chosen_before, *chosen_on})),
        )


def resolve_weights(backbone: str, source: str | None = None, *, random_path: Path | None = None) -> Weights:
    """Find the weights that a name or a path stands for; download published ones at first use.

    Args:
        source: the name of published weights, a path (of a file, or of a run that fine-tuned its backbone),
            `random`, or None for the backbone's own default.
        random_path: where random weights lie, or are made if they do not.

    Raises:
        WeightsError: unknown name, no such file, another backbone's, failed download, or a hash that does not
            match.
    """
    record = get_backbone(backbone)
    if source is None and record.published is not None:
        name, path = record.published()
        return Weights(name, path, sha256_of_weights(path), layouts_of(backbone)[0].preprocessing)
    source = source or record.weights
    if source is None:
        raise WeightsError(
            f"no weights were given, and none are published for {backbone}; {_choices(backbone)}"
        )
    if source == RANDOM:
        assert random_path is not None
        if not random_path.exists():
            make_random_weights(record, random_path)
        return Weights(
            f"{RANDOM} (seed 0)", random_path, sha256_of(random_path), layouts_of(backbone)[0].preprocessing
        )
    if source in WEIGHTS:
        published = WEIGHTS[source]
        if published.backbone != backbone:
            raise WeightsError(
                f"weights {source!r} are for {published.backbone}, not for {backbone}; {_choices(backbone)}"
            )
        path = download(published)
        return Weights(source, path, sha256_of(path), LAYOUTS[published.layout].preprocessing)
    path = _weights_file(source, backbone)
    if tuned := read_tuned_backbone(source):
        if tuned.backbone != backbone:
            raise WeightsError(
                f"{source}: its backbone is {tuned.backbone}, not {backbone}; give --backbone"
                f" {tuned.backbone}, or other weights"
            )
        name = path.parent.resolve().name if path.name == FILE else path.name
        return Weights(name, path, sha256_of(path), tuned.preprocessing, tuned)
    layout = detect_layout(backbone, read_backbone_tensors(path), path)
    return Weights(path.name, path, sha256_of_weights(path), layout.preprocessing)


def find_tuned(source: str | None) -> TunedBackbone | None:
    """What the weights that a name or a path stands for were fine-tuned on; None if no run of this program
    did.

    Raises:
        WeightsError: a folder without a fine-tuned backbone, or a damaged file.
    """
    return None if source is None or source == RANDOM or source in WEIGHTS else read_tuned_backbone(source)


def choose_for(backbone: str, sources: tuple[str, ...]) -> str | None:
    """Of several weights, given once per backbone, the one for `backbone`.

    Args:
        sources: names, paths, `random`, or `published`, which stands for every backbone's own default.

    Returns:
        What `resolve_weights` takes: a name, a path, `random`, or None for the backbone's default.

    Raises:
        WeightsError: none of them is for this backbone.
    """
    for source in sources:
        if source == "published":
            return None
        if source == RANDOM:
            return RANDOM
        if source in WEIGHTS:
            fits = WEIGHTS[source].backbone == backbone
        elif tuned := find_tuned(source):
            fits = tuned.backbone == backbone
        else:
            tensors = read_backbone_tensors(_weights_file(source, backbone))
            fits = any(layout.fits(tensors) for layout in layouts_of(backbone))
        if fits:
            return source
    raise WeightsError(f"none of the weights {', '.join(sources)} is for {backbone}; {_choices(backbone)}")


def load_weights(module: nn.Module, backbone: str, weights: Weights) -> None:
    """Load weights into a backbone; every parameter must be there, with its shape, and nothing may be left
    over.

    Raises:
        WeightsError: with the counts and the first few names.
    """
    expected = module.state_dict()
    renamed = read_tensors(weights.path) if weights.tuned else _renamed(weights.path, backbone, expected)
    lacking = [key for key in expected if key not in renamed and not _OPTIONAL.search(key)]
    surplus = [key for key in renamed if key not in expected]
    unequal = [
        f"{key} {tuple(renamed[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in expected
        if key in renamed and renamed[key].shape != expected[key].shape
    ]
    retyped = [
        f"{key} {renamed[key].dtype} instead of {expected[key].dtype}"
        for key in expected
        if key in renamed and renamed[key].is_floating_point() != expected[key].is_floating_point()
    ]
    if lacking or surplus or unequal or retyped:
        complaints = [
            f"{len(names)} {kind} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
            for kind, names in (
                ("missing", lacking),
                ("unknown", surplus),
                ("of another shape", unequal),
                ("of another type", retyped),
            )
            if names
        ]
        matching = len(expected) - len(lacking) - len(unequal)
        raise WeightsError(
            f"{weights.path}: does not fit {backbone}: {matching} of {len(expected)} parameters match; "
            + "; ".join(complaints)
        )
    module.load_state_dict(renamed, strict=False)


def _renamed(path: Path, backbone: str, expected: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of a file under the names that they have in our module, which are those of `expected`."""
    if translated := get_backbone(backbone).translated:
        tensors = read_tensors(path)
        return tensors if expected.keys() <= tensors.keys() else translated(tensors, path)
    tensors = read_backbone_tensors(path)
    layout = detect_layout(backbone, tensors, path)
    renamed = {}
    for key, tensor in tensors.items():
        if key.startswith(layout.head):
            continue
        for pattern, replacement in layout.rename:
            key = re.sub(pattern, replacement, key)
        if key in renamed:
            raise WeightsError(f"{path}: holds {key!r} twice, under two of its names; keep one")
        renamed[key] = tensor
    return renamed


def _weights_file(source: str, backbone: str) -> Path:
    path = weights_path(source)
    if not path.is_file():
        raise WeightsError(
            f"weights {source!r} are neither a published name nor a file; {_choices(backbone)}"
        )
    return path


def _choices(backbone: str) -> str:
    names = [record.name for record in WEIGHTS.values() if record.backbone == backbone]
    return f"choose {', '.join([*names, RANDOM])}, or a path (a file, or a run of aqa-train --end-to-end)"
