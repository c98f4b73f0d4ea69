"""Exported detectors for the tests of all examples."""

import pytest

from tests.examples.exported import exported


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A small detector that was exported, and what it says of some photographs."""
    return exported(tmp_path_factory.mktemp("exported"), "float32")


@pytest.fixture(scope="session", params=["float16", "int8"])
def rounded(request, tmp_path_factory):
    """The same in a precision that rounds."""
    return exported(tmp_path_factory.mktemp(request.param), request.param)
