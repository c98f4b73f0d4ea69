"""Doctests of modules that need torch run where it is installed."""

from importlib.util import find_spec

NEED_TIMM = [
    *(f"backbones/{name}.py" for name in ("timm", "export", "torch_extractor")),
    *(f"backbones/vig/{name}.py" for name in ("graph", "network", "opening", "positions")),
]
NEED_TORCH = [f"methods/simplenet/{name}.py" for name in ("training", "folds")]

collect_ignore = [
    f"src/patchbank/{path}"
    for module, paths in (("timm", NEED_TIMM), ("torch", NEED_TORCH))
    if find_spec(module) is None
    for path in paths
]
