"""How features are made: the record whose hash, the fingerprint, agrees wherever features meet a model."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, cast

from ..errors import CacheError
from ..short_repr import short_repr

# The hash of the weights stands for both.
_NOT_IN_FINGERPRINT = ("weights", "tuned")
_RANDOM = "random"
_STEP = re.compile(r"; one row per ([1-9]\d{0,6}) frames$")


@dataclass(frozen=True)
class Learned(Mapping[str, str | tuple[str, ...]]):
    """From what and on which samples a run of this program fine-tuned a backbone; a mapping of its fields.

    Args:
        started_from: name of the weights before.
        origin: name of the weights before the first fine-tuning, where the former were fine-tuned themselves;
            else the same name.
        trained_on: sample_ids of all that it was ever fine-tuned on.
        chosen_on: sample_ids of those that an epoch of it was chosen on.
    """

    started_from: str
    origin: str
    trained_on: tuple[str, ...] = ()
    chosen_on: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> str | tuple[str, ...]:
        return vars(self)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(vars(self))

    def __len__(self) -> int:
        return len(vars(self))

    def record(self) -> dict[str, Any]:
        """As JSON holds it (docs/schema.md)."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self.items()}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Learned":
        """The inverse of `record`; what it does not know is left out.

        Raises:
            KeyError, TypeError: something is lacking, or is no text, or no list of texts.
        """
        for name, kind in (("started_from", str), ("origin", str), ("trained_on", list), ("chosen_on", list)):
            if not isinstance(record[name], kind):
                raise TypeError(
                    f"tuned: {name} is {record[name]!r}, expected {'text' if kind is str else 'a list'}"
                )
            if kind is list and not all(isinstance(item, str) for item in record[name]):
                raise TypeError(f"tuned: {name} holds what is no text, expected sample_ids")
        return cls(
            record["started_from"],
            record["origin"],
            tuple(record["trained_on"]),
            tuple(record["chosen_on"]),
        )


def named_random(weights: str) -> bool:
    """Whether weights of this name are random ones: docs/schema.md has it that theirs begin so."""
    return weights.startswith(_RANDOM)


def random_in_words(weights: str) -> str:
    """Random weights of this name, for people.

    >>> random_in_words("random (seed 0)"), random_in_words("random-mine")
    ('random weights (seed 0)', 'random weights (random-mine)')
    """
    return f"random weights {weights.removeprefix(_RANDOM).strip() if ' (' in weights else f'({weights})'}"


def over_time(layer: str, frames: int) -> str:
    """The record of a layer of which every time step inside a clip is a row, `frames` from one to the next.

    >>> over_time("norm, mean over height and width", 2)
    'norm, mean over height and width; one row per 2 frames'
    """
    return f"{layer}; one row per {frames} frames"


@dataclass(frozen=True)
class FeatureSpec:
    """Everything that decides what the features are; what only decides their last bits is the numerics
    record.

    Args:
        backbone: the network's name, such as `c3d`.
        layer: the layer whose output is kept, and how it was pooled.
        dim: size of one clip's feature.
        weights: a name for people; not part of the fingerprint, the hash is.
        weights_sha256: of the weights file; empty for imported features, whose weights are not known.
        preprocessing: from decoded RGB frames to the network's input
            (`aqa_cache.clips.preprocess.Preprocessing`).
        clip_rule: which frames of a sample form its clips (`aqa_cache.clips.rule.ClipRule`).
        tuned: what a run of this program fine-tuned the weights on
            (`aqa_cache.weights.tuned.TunedBackbone`). None: none did. Not part of the fingerprint either.
    """

    backbone: str
    layer: str
    dim: int
    weights: str
    weights_sha256: str
    preprocessing: dict[str, Any]
    clip_rule: dict[str, Any]
    tuned: Learned | None = None

    __repr__ = short_repr

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the canonical JSON of all fields but `weights` and `tuned`."""
        record = {name: value for name, value in asdict(self).items() if name not in _NOT_IN_FINGERPRINT}
        return hashlib.sha256(canonical_json(record).encode()).hexdigest()

    @property
    def random(self) -> bool:
        """Whether nothing but a fine-tuning, if anything, was learned from any video."""
        return named_random(self.tuned.origin if self.tuned else self.weights)

    @property
    def tuned_in(self) -> str | None:
        """Name of the run that fine-tuned the backbone; None: none did."""
        return self.weights if self.tuned else None

    @property
    def step(self) -> int | None:
        """Frames of a clip from one row to the next, where time steps inside it are rows; None: one row is
        one clip.
        """
        found = _STEP.search(self.layer)
        return int(found[1]) if found else None

    @property
    def row_span(self) -> int | None:
        """Frames of the video from the first to the last that a row stands for, both counted; None: not
        known.
        """
        frames = self.step or self.clip_rule.get("clip_len")
        return None if not frames else (frames - 1) * (self.clip_rule.get("frame_step") or 1) + 1

    @property
    def stream(self) -> int | None:
        """Index of the video stream that the frames are of; None: the best one, or not known."""
        return self.clip_rule.get("stream")

    def differences(self, other: "FeatureSpec") -> list[str]:
        """One line per field that differs and matters: `name: mine, theirs`."""
        lines: list[str] = []
        for name in (field.name for field in fields(self) if field.name not in _NOT_IN_FINGERPRINT):
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, dict) and isinstance(theirs, dict):
                mine, theirs = cast(dict[str, Any], mine), cast(dict[str, Any], theirs)
                for key in sorted(mine.keys() | theirs.keys()):
                    if mine.get(key) != theirs.get(key):
                        lines.append(f"{name}.{key}: {mine.get(key)}, {theirs.get(key)}")
            elif mine != theirs:
                lines.append(f"{name}: {mine}, {theirs}")
        return lines

    def check_alike(self, other: "FeatureSpec", why: str, remedy: str = "") -> None:
        """Raise a CacheError where features of `other` were made in another way: `why`, what differs (here,
        there), and the `remedy`.
        """
        if differences := self.differences(other):
            raise CacheError(f"{why}:\n  " + "\n  ".join(differences) + (remedy and f"\n{remedy}"))


def canonical_json(record: dict[str, Any]) -> str:
    """JSON with sorted keys and no spaces, so that equal records are equal strings."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
