"""Learn from feature maps and score patches: a package for each method, none imports another."""

import difflib

from patchbank.errors import ParameterError
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
from patchbank.runtime.plugins import PluginTable
from patchbank.settings import Settings


def _check_method(name: str, entry: object) -> Method:
    if not isinstance(entry, Method):
        raise TypeError(f"expected a Method, got {type(entry).__name__}")
    if entry.name != name:
        raise TypeError(f"expected the name {name!r} of its entry point, got {entry.name!r}")
    return entry


METHODS: PluginTable[Method] = PluginTable(
    group="patchbank.methods",
    title="method",
    built_in={
        method.name: method
        for method in (
            patchcore.METHOD,
            graphcore.METHOD,
            padim.METHOD,
            spade.METHOD,
            simplenet.METHOD,
        )
    },
    check=_check_method,
    error=ParameterError,
)
"""The methods by name: ours, then those of packages with an entry point ``patchbank.methods``."""


def find_method(name: str) -> Method:
    """The entry of METHODS called `name`.

    Raises:
        ParameterError: there is none, or the package that has it cannot be used.
    """
    if name in METHODS:
        return METHODS[name]
    known = METHODS.declared_names()
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "install the package that provides it"
    raise ParameterError(f"method: expected one of {', '.join(known)}, got {name!r}; {hint}")


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
    "find_method",
]
