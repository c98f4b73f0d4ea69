"""Exported detectors for the tests of all examples."""

import pytest

from patchbank import PatchCore
from tests.examples.exported import exported
from tests.photographs import part, parts, save


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A small detector that was exported, and what it says of some photographs."""
    return exported(tmp_path_factory.mktemp("exported"), "float32")


@pytest.fixture(scope="session", params=["float16", "int8"])
def rounded(request, tmp_path_factory):
    """The same in a precision that rounds."""
    return exported(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="session")
def cropped(tmp_path_factory):
    """A graph of a detector with a crop, and a photograph that it is too large for: paths."""
    folder = tmp_path_factory.mktemp("cropped")
    recipe = PatchCore(
        backbone="efficientnet_lite0", image_size=96, crop=80, bank_limit=100, false_alarm_rate=0.2
    )
    recipe.fit(parts(8)).export(folder / "detector.onnx")
    return folder / "detector.onnx", save(folder / "flat.png", part(100, size=(40, 300)))
