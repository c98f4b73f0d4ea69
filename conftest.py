"""Doctests of modules that need torch run where it is installed."""

from importlib.util import find_spec

NEED_TIMM = ["backbones/timm.py", "backbones/export.py", "backbones/torch_extractor.py"]
NEED_TORCH = ["methods/simplenet/training.py"]

collect_ignore = [
    f"src/patchbank/{path}"
    for module, paths in (("timm", NEED_TIMM), ("torch", NEED_TORCH))
    if find_spec(module) is None
    for path in paths
]
