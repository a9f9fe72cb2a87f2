"""Video to clip features on disk. Knows no losses and no heads.

Importing this package is cheap: torch, torchvision and PyAV are imported by what needs them, when it is first
used.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what `__getattr__` imports
    from .annotations import read_annotations, write_annotations
    from .backbones.names import KNOWN_BACKBONES
    from .backbones.registry import Backbone, register
    from .cache_file.feature_spec import FeatureSpec
    from .cache_file.reader import FeatureCache
    from .cache_file.record import Record
    from .cache_file.verification import Verification, verify
    from .clips.preprocess import Preprocessing
    from .clips.rule import ClipRule
    from .clips.views import View, parse_views
    from .datasets.importers import KNOWN_IMPORTERS
    from .errors import AqaError
    from .exchange.exporting import Export, export_features
    from .exchange.importing import FeatureImport, import_features
    from .extraction.configuration import ExtractionConfig
    from .extraction.publishing import Published, merge
    from .extraction.run import Extraction, extract
    from .fleet.driver import extract_to_place
    from .fleet.merging import merge_place
    from .fleet.ray_crew import RayActors
    from .progress_bar import ProgressBar
    from .sample import Sample

__version__ = "0.1.0"

_EXPORTS = {
    "AqaError": "errors",
    "Backbone": "backbones.registry",
    "ClipRule": "clips.rule",
    "Export": "exchange.exporting",
    "Extraction": "extraction.run",
    "ExtractionConfig": "extraction.configuration",
    "FeatureCache": "cache_file.reader",
    "FeatureImport": "exchange.importing",
    "KNOWN_BACKBONES": "backbones.names",
    "KNOWN_IMPORTERS": "datasets.importers",
    "FeatureSpec": "cache_file.feature_spec",
    "Preprocessing": "clips.preprocess",
    "ProgressBar": "progress_bar",
    "Published": "extraction.publishing",
    "RayActors": "fleet.ray_crew",
    "Record": "cache_file.record",
    "Sample": "sample",
    "Verification": "cache_file.verification",
    "View": "clips.views",
    "export_features": "exchange.exporting",
    "extract": "extraction.run",
    "extract_to_place": "fleet.driver",
    "import_features": "exchange.importing",
    "merge": "extraction.publishing",
    "merge_place": "fleet.merging",
    "parse_views": "clips.views",
    "read_annotations": "annotations",
    "register": "backbones.registry",
    "verify": "cache_file.verification",
    "write_annotations": "annotations",
}
__all__ = [
    "AqaError",
    "Backbone",
    "ClipRule",
    "Export",
    "Extraction",
    "ExtractionConfig",
    "FeatureCache",
    "FeatureImport",
    "KNOWN_BACKBONES",
    "KNOWN_IMPORTERS",
    "FeatureSpec",
    "Preprocessing",
    "ProgressBar",
    "Published",
    "RayActors",
    "Record",
    "Sample",
    "Verification",
    "View",
    "export_features",
    "extract",
    "extract_to_place",
    "import_features",
    "merge",
    "merge_place",
    "parse_views",
    "read_annotations",
    "register",
    "verify",
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
