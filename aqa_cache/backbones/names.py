"""Names of the backbones, for what must know them before torch is loaded: options of commands, the record of
an extraction.
"""

from typing import Any

from ..extensions import Extensions

BACKBONE_NAMES = (
    "c3d",
    "s3d",
    "i3d",
    "i3d-core",
    "r2plus1d_18",
    "r3d_18",
    "mc3_18",
    "mvit_v1_b",
    "mvit_v2_s",
    "swin3d_t",
    "swin3d_s",
    "swin3d_b",
)


def _elsewhere(name: str) -> Any:
    from .elsewhere.naming import backbone_of

    return backbone_of(name)


KNOWN_BACKBONES = Extensions(
    "backbone",
    "aqa_cache.backbones",
    BACKBONE_NAMES,
    "an aqa_cache.Backbone with a preprocessing",
    lambda value: (
        all(hasattr(value, name) for name in ("build", "check_input")) and value.preprocessing is not None
    ),
    elsewhere=_elsewhere,
)
