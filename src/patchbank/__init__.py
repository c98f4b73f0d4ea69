"""Patchbank: find defects in photographs of parts, having learned from good photographs alone.

>>> from patchbank import PatchCore
>>> recipe = PatchCore(image_size=320)
>>> recipe.false_alarm_rate
0.01
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from patchbank.bulk import BulkCount as BulkCount
    from patchbank.bulk import predict_to_parquet as predict_to_parquet
    from patchbank.check import PhotographCheck as PhotographCheck
    from patchbank.check import check_photographs as check_photographs
    from patchbank.comparison import Comparison as Comparison
    from patchbank.comparison import compare as compare
    from patchbank.comparison import compare_results as compare_results
    from patchbank.core.spatial.box import Box as Box
    from patchbank.core.spatial.regions import Region as Region
    from patchbank.datasets.base import Dataset as Dataset
    from patchbank.datasets.base import Sample as Sample
    from patchbank.datasets.registry import find_dataset as find_dataset
    from patchbank.detector.detector import Detector as Detector
    from patchbank.detector.difference import Difference as Difference
    from patchbank.detector.explanation.explained import Explanation as Explanation
    from patchbank.detector.fit_facts import FitFacts as FitFacts
    from patchbank.detector.inspection import FailedInspection as FailedInspection
    from patchbank.detector.inspection import Inspection as Inspection
    from patchbank.detector.lineage.entry import Edit as Edit
    from patchbank.detector.loading import load as load
    from patchbank.detector.monitor import Change as Change
    from patchbank.detector.monitor import Monitor as Monitor
    from patchbank.detector.monitor import MonitorState as MonitorState
    from patchbank.detector.route import Route as Route
    from patchbank.errors import BackboneError as BackboneError
    from patchbank.errors import CalibrationWarning as CalibrationWarning
    from patchbank.errors import DataError as DataError
    from patchbank.errors import DetectorFileError as DetectorFileError
    from patchbank.errors import GuardError as GuardError
    from patchbank.errors import ImageError as ImageError
    from patchbank.errors import ImageTypeError as ImageTypeError
    from patchbank.errors import NoProductError as NoProductError
    from patchbank.errors import ParameterError as ParameterError
    from patchbank.errors import PatchbankError as PatchbankError
    from patchbank.errors import PhotographWarning as PhotographWarning
    from patchbank.errors import PluginWarning as PluginWarning
    from patchbank.errors import ShapeError as ShapeError
    from patchbank.evaluation.evaluate import Evaluation as Evaluation
    from patchbank.evaluation.evaluate import evaluate as evaluate
    from patchbank.images.source import ImageInput as ImageInput
    from patchbank.products.fitting import ProductFit as ProductFit
    from patchbank.products.fitting import fit_each as fit_each
    from patchbank.products.routing import Router as Router
    from patchbank.report.model_card import model_card as model_card
    from patchbank.runtime.progress import Progress as Progress
    from patchbank.training.recipes import SPADE as SPADE
    from patchbank.training.recipes import Ensemble as Ensemble
    from patchbank.training.recipes import GraphCore as GraphCore
    from patchbank.training.recipes import PaDiM as PaDiM
    from patchbank.training.recipes import PatchCore as PatchCore
    from patchbank.training.recipes import SimpleNet as SimpleNet
    from patchbank.types import AnomalyMap as AnomalyMap
    from patchbank.types import Image as Image

# Imported when first used: `import patchbank` must not cost what a fit costs.
_HOMES = {
    "AnomalyMap": "patchbank.types",
    "BackboneError": "patchbank.errors",
    "Box": "patchbank.core.spatial.box",
    "BulkCount": "patchbank.bulk",
    "CalibrationWarning": "patchbank.errors",
    "check_photographs": "patchbank.check",
    "Change": "patchbank.detector.monitor",
    "compare": "patchbank.comparison",
    "compare_results": "patchbank.comparison",
    "Comparison": "patchbank.comparison",
    "DataError": "patchbank.errors",
    "Dataset": "patchbank.datasets.base",
    "Detector": "patchbank.detector.detector",
    "DetectorFileError": "patchbank.errors",
    "GuardError": "patchbank.errors",
    "Difference": "patchbank.detector.difference",
    "Edit": "patchbank.detector.lineage.entry",
    "Ensemble": "patchbank.training.recipes",
    "evaluate": "patchbank.evaluation.evaluate",
    "Evaluation": "patchbank.evaluation.evaluate",
    "Explanation": "patchbank.detector.explanation.explained",
    "FailedInspection": "patchbank.detector.inspection",
    "find_dataset": "patchbank.datasets.registry",
    "fit_each": "patchbank.products.fitting",
    "FitFacts": "patchbank.detector.fit_facts",
    "GraphCore": "patchbank.training.recipes",
    "Image": "patchbank.types",
    "ImageError": "patchbank.errors",
    "ImageInput": "patchbank.images.source",
    "ImageTypeError": "patchbank.errors",
    "Inspection": "patchbank.detector.inspection",
    "load": "patchbank.detector.loading",
    "model_card": "patchbank.report.model_card",
    "Monitor": "patchbank.detector.monitor",
    "MonitorState": "patchbank.detector.monitor",
    "NoProductError": "patchbank.errors",
    "PaDiM": "patchbank.training.recipes",
    "ParameterError": "patchbank.errors",
    "PatchbankError": "patchbank.errors",
    "PatchCore": "patchbank.training.recipes",
    "PhotographCheck": "patchbank.check",
    "PhotographWarning": "patchbank.errors",
    "PluginWarning": "patchbank.errors",
    "predict_to_parquet": "patchbank.bulk",
    "ProductFit": "patchbank.products.fitting",
    "Progress": "patchbank.runtime.progress",
    "Region": "patchbank.core.spatial.regions",
    "Route": "patchbank.detector.route",
    "Router": "patchbank.products.routing",
    "Sample": "patchbank.datasets.base",
    "ShapeError": "patchbank.errors",
    "SimpleNet": "patchbank.training.recipes",
    "SPADE": "patchbank.training.recipes",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name == "__version__":
        return import_module("importlib.metadata").version("patchbank")
    if name not in _HOMES:
        raise AttributeError(f"module 'patchbank' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
