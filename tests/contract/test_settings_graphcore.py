"""Settings of GraphCore, beyond what holds for all settings."""

import pytest

from patchbank import GraphCore
from tests.contract.settings_changes import outcome

# Five images resolve no rate below 1/6; the remark is tested elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")


def test_without_a_graph_it_is_patchcore():
    """A network that is a graph itself needs none on top."""
    plain = outcome("patchcore", image_score="max", banks="joint")
    assert outcome("graphcore", graph_neighbours=0) == plain
    assert outcome("graphcore", graph_weight=0.0) == plain


def test_its_image_score_is_the_largest_of_all_that_a_bank_knows():
    assert GraphCore().image_score == "max"
    assert GraphCore(image_score="reweighted").image_score == "reweighted"


def test_the_paper_s_preset_says_what_it_needs():
    paper = GraphCore.preset("paper", bank_rows=100)
    assert (paper.backbone, paper.graph_neighbours) == ("pvig_ti_224_gelu", 0)
    assert paper.coreset is None
