"""Methods: siblings that see features, never images, and never each other."""

from patchbank.methods import patchcore
from patchbank.methods.base import Fit, FittedMethod, Method, Progress, Scored
from patchbank.methods.patchcore import PatchCoreSettings
from patchbank.methods.settings import Settings

METHODS = {method.name: method for method in (patchcore.METHOD,)}

__all__ = [
    "METHODS",
    "Fit",
    "FittedMethod",
    "Method",
    "PatchCoreSettings",
    "Progress",
    "Scored",
    "Settings",
]
