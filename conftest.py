"""Doctests of modules that need torch run where it is installed."""

from importlib.util import find_spec

collect_ignore = (
    [f"src/patchbank/backbones/{name}.py" for name in ("timm", "export")]
    if find_spec("timm") is None
    else []
)
