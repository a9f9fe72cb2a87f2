"""What cached features mean: the record whose hash, the fingerprint, must agree wherever features meet a
model.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, fields

# The hash of the weights decides them.
_NOT_IN_FINGERPRINT = ("weights", "tuned")


@dataclass(frozen=True)
class Meaning:
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
        tuned: what a run of this program fine-tuned the weights on: `started_from` and `origin`, names of the
            weights before, and `trained_on` and `chosen_on`, lists of sample_ids
            (`aqa_cache.weights.tuned.TunedBackbone`). None: none did. Not part of the fingerprint either.
    """

    backbone: str
    layer: str
    dim: int
    weights: str
    weights_sha256: str
    preprocessing: dict
    clip_rule: dict
    tuned: dict | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the canonical JSON of all fields but `weights` and `tuned`."""
        record = {name: value for name, value in asdict(self).items() if name not in _NOT_IN_FINGERPRINT}
        return hashlib.sha256(canonical_json(record).encode()).hexdigest()

    @property
    def random(self) -> bool:
        """Whether nothing but a fine-tuning, if anything, was learned from any video."""
        return (self.tuned["origin"] if self.tuned else self.weights).startswith("random")

    @property
    def tuned_in(self) -> str | None:
        """Name of the run that fine-tuned the backbone; None: none did."""
        return self.weights if self.tuned else None

    def differences(self, other: "Meaning") -> list[str]:
        """One line per field that differs and matters: `name: mine, theirs`."""
        lines = []
        for name in (field.name for field in fields(self) if field.name not in _NOT_IN_FINGERPRINT):
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, dict) and isinstance(theirs, dict):
                for key in sorted(mine.keys() | theirs.keys()):
                    if mine.get(key) != theirs.get(key):
                        lines.append(f"{name}.{key}: {mine.get(key)}, {theirs.get(key)}")
            elif mine != theirs:
                lines.append(f"{name}: {mine}, {theirs}")
        return lines


def canonical_json(record: dict) -> str:
    """JSON with sorted keys and no spaces, so that equal records are equal strings."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
