"""What cached features mean: the record whose hash, the fingerprint, must agree wherever features meet a model."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True)
class Meaning:
    """Everything that decides what the features are; what only decides their last bits is the numerics record.

    Args:
        backbone: the network's name, such as `c3d`.
        layer: the layer whose output is kept, and how it was pooled.
        dim: size of one clip's feature.
        weights: a name for people; not part of the fingerprint, the hash is.
        weights_sha256: of the weights file; empty for imported features, whose weights are not known.
        preprocessing: from decoded RGB frames to the network's input (`aqa_cache.preprocess.Preprocessing`).
        clip_rule: which frames of a sample form its clips (`aqa_cache.clips.ClipRule`).
    """

    backbone: str
    layer: str
    dim: int
    weights: str
    weights_sha256: str
    preprocessing: dict
    clip_rule: dict

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the canonical JSON of all fields but `weights`."""
        record = asdict(self)
        del record["weights"]
        return hashlib.sha256(canonical_json(record).encode()).hexdigest()

    def differences(self, other: "Meaning") -> list[str]:
        """One line per field that differs and matters: `name: mine, theirs`."""
        lines = []
        for name in (field.name for field in fields(self) if field.name != "weights"):
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
