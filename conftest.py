"""Doctests of modules that need an extra run where it is installed."""

from importlib.util import find_spec

NEED_TIMM = [
    *(f"backbones/{name}.py" for name in ("timm", "torch_to_onnx", "torch_extractor")),
    *(f"backbones/vig/{name}.py" for name in ("graph", "network", "loading", "positions")),
]
NEED_OPENVINO = ["backbones/openvino.py"]
NEED_TORCH = [f"methods/simplenet/{name}.py" for name in ("training", "folds")]

needs = {"timm": NEED_TIMM, "torch": NEED_TORCH, "openvino": NEED_OPENVINO}

collect_ignore = [
    f"src/patchbank/{path}"
    for module, paths in needs.items()
    if find_spec(module) is None
    for path in paths
]
