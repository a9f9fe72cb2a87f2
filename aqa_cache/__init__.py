"""Video to clip features on disk. Knows no losses and no heads.

Importing this package is cheap: torch, torchvision and PyAV are imported by what needs them, when it is first
used.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what `__getattr__` imports
    from .annotations import Sample, read_annotations, write_annotations
    from .backbones.names import KNOWN_BACKBONES
    from .backbones.registry import Backbone, register
    from .cache_file.reader import FeatureCache
    from .clips.preprocess import Preprocessing
    from .clips.rule import ClipRule
    from .datasets.importers import KNOWN_IMPORTERS
    from .errors import AqaError
    from .extraction.configuration import ExtractionConfig
    from .extraction.run import extract
    from .fleet.driver import extract_to_place
    from .fleet.merging import merge_place

__version__ = "0.1.0"

_EXPORTS = {
    "AqaError": "errors",
    "Backbone": "backbones.registry",
    "ClipRule": "clips.rule",
    "ExtractionConfig": "extraction.configuration",
    "FeatureCache": "cache_file.reader",
    "KNOWN_BACKBONES": "backbones.names",
    "KNOWN_IMPORTERS": "datasets.importers",
    "Preprocessing": "clips.preprocess",
    "Sample": "annotations",
    "extract": "extraction.run",
    "extract_to_place": "fleet.driver",
    "merge_place": "fleet.merging",
    "read_annotations": "annotations",
    "register": "backbones.registry",
    "write_annotations": "annotations",
}
__all__ = [
    "AqaError",
    "Backbone",
    "ClipRule",
    "ExtractionConfig",
    "FeatureCache",
    "KNOWN_BACKBONES",
    "KNOWN_IMPORTERS",
    "Preprocessing",
    "Sample",
    "extract",
    "extract_to_place",
    "merge_place",
    "read_annotations",
    "register",
    "write_annotations",
]


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
