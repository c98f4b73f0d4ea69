"""Learn from feature maps and score patches: a package for each method, none imports another."""

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
    TileScorer,
    TrainingImage,
    numbered_groups,
)
from patchbank.methods.graphcore import GraphCoreSettings
from patchbank.methods.padim import PadimSettings
from patchbank.methods.patchcore import PatchCoreSettings
from patchbank.methods.simplenet import SimpleNetSettings
from patchbank.methods.spade import SpadeSettings
from patchbank.runtime.plugins import PluginTable
from patchbank.settings import Setting, Settings, settings_of
from patchbank.settings.rules import Flag

BUILT_IN = (
    patchcore.METHOD,
    graphcore.METHOD,
    padim.METHOD,
    spade.METHOD,
    simplenet.METHOD,
)
OPTIONS_OF_FIT = (
    "augment",
    "checkpoint",
    "cluster",
    "device",
    "each",
    "engine",
    "exclude",
    "good",
    "groups",
    "help",
    "ignore",
    "keep_crops",
    "method",
    "out",
    "precision",
    "preset",
    "report",
    "roi",
    "save_backbone",
    "skip_unreadable",
    "time_limit_s",
)
"""Names of arguments and options of `patchbank fit`, which no setting of a method can have."""


def _check_method(name: str, entry: object) -> Method:
    if not isinstance(entry, Method):
        raise TypeError(f"expected a Method, got {type(entry).__name__}")
    if entry.name != name:
        raise TypeError(f"expected the name {name!r} of its entry point, got {entry.name!r}")
    for declared in settings_of(entry.settings).values():
        _check_setting(declared)
    return entry


def _check_setting(declared: Setting) -> None:
    """Refuse a setting of another package that would take away or change an option of `fit`."""
    if declared.name in OPTIONS_OF_FIT:
        raise TypeError(
            f"expected another name of the setting {declared.name!r}, which is an option of fit"
        )
    is_flag = isinstance(declared.rule, Flag)
    for method in BUILT_IN:
        ours = settings_of(method.settings).get(declared.name)
        if ours is not None and isinstance(ours.rule, Flag) != is_flag:
            expected, got = ("a value", "a flag") if is_flag else ("a flag", "a value")
            raise TypeError(
                f"expected {expected} for the setting {declared.name!r}, as of {method.name}, "
                f"got {got}"
            )


METHODS: PluginTable[Method] = PluginTable(
    group="patchbank.methods",
    title="method",
    built_in={method.name: method for method in BUILT_IN},
    check=_check_method,
    error=ParameterError,
)
"""The methods by name: ours, then those of packages with an entry point ``patchbank.methods``."""


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
    "TileScorer",
    "TrainingImage",
    "numbered_groups",
]
