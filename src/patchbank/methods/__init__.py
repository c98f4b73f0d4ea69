"""Methods: siblings that see features, never images, and never each other."""

from patchbank.methods import graphcore, padim, patchcore, simplenet, spade
from patchbank.methods.base import (
    Fit,
    FittedMethod,
    Learner,
    Method,
    PatchEmbedding,
    PatchScores,
    ResizableBank,
    TrainingImage,
)
from patchbank.methods.graphcore import GraphCoreSettings
from patchbank.methods.padim import PadimSettings
from patchbank.methods.patchcore import PatchCoreSettings
from patchbank.methods.simplenet import SimpleNetSettings
from patchbank.methods.spade import SpadeSettings
from patchbank.settings import Settings

METHODS = {
    method.name: method
    for method in (
        patchcore.METHOD,
        graphcore.METHOD,
        padim.METHOD,
        spade.METHOD,
        simplenet.METHOD,
    )
}

__all__ = [
    "METHODS",
    "Fit",
    "FittedMethod",
    "GraphCoreSettings",
    "Learner",
    "Method",
    "PadimSettings",
    "PatchCoreSettings",
    "PatchEmbedding",
    "PatchScores",
    "ResizableBank",
    "Settings",
    "SimpleNetSettings",
    "SpadeSettings",
    "TrainingImage",
]
