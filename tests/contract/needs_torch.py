"""Methods that torch fits: their packages import it."""

import inspect
from pathlib import Path

import pytest

from patchbank.methods import METHODS
from tests.requirements import requirements_of


def needs_torch_to_fit(method):
    """Whether a module beside its settings imports torch at its top level."""
    folder = Path(inspect.getfile(method.settings)).parent
    sources = (path.read_text(encoding="utf-8") for path in folder.glob("*.py"))
    return any("torch" in requirements_of(source) for source in sources)


def marks_to_fit(name):
    """Markers of a test that fits with the method of this name."""
    return [pytest.mark.torch] if needs_torch_to_fit(METHODS[name]) else []
