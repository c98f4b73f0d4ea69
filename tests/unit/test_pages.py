"""The code in the documentation runs, and says what is written there."""

import doctest
from pathlib import Path

from tests.networks import require_torch

DOCS = Path(__file__).parents[2] / "docs"


def test_the_shapes_at_every_step_of_patchcore():
    require_torch()
    page = DOCS / "methods" / "patchcore.md"
    outcome = doctest.testfile(str(page), module_relative=False, raise_on_error=False)
    assert outcome.attempted > 15
    assert outcome.failed == 0
