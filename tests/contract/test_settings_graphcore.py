"""What GraphCore adds to the settings of a bank changes something, and wrong ones are named."""

from dataclasses import fields

import pytest

from patchbank import GraphCore, ParameterError
from patchbank.methods import GraphCoreSettings
from patchbank.methods.memory_bank import BankSettings
from tests.photographs import part, parts

BASE = {"backbone": "efficientnet_lite0", "image_size": 96, "bank_limit": 80, "patch_stride": 1}
CHANGES = {"graph_neighbours": 4, "graph_weight": 0.5, "image_score": "smooth_max"}
PHOTOGRAPHS = parts(5)

# Five images resolve no rate below 1/6; the remark is tested elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")


def outcome(**settings):
    seen = GraphCore(**{**BASE, **settings}).fit(PHOTOGRAPHS).predict(part(50, defect=7))
    return seen.score, seen.threshold, seen.anomaly_map.tobytes()


@pytest.mark.parametrize("name", CHANGES)
def test_each_setting_changes_something(name):
    assert outcome() != outcome(**{name: CHANGES[name]})


def test_every_setting_of_its_own_is_covered_here():
    own = {f.name for f in fields(GraphCoreSettings)} - {f.name for f in fields(BankSettings)}
    assert own <= set(CHANGES)


def test_without_a_graph_it_is_patchcore():
    """A network that is a graph itself needs none on top."""
    assert outcome(graph_neighbours=0) == outcome(graph_weight=0.0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"graph_neighbours": -1}, "graph_neighbours: expected a whole number, 0 or more"),
        ({"graph_weight": -0.5}, "graph_weight: expected 0 to 100, got -0.5"),
        ({"graph_weight": "much"}, "graph_weight: expected a number"),
    ],
)
def test_wrong_settings_are_named(wrong, message):
    with pytest.raises(ParameterError, match=message):
        GraphCore(**wrong)


def test_the_paper_s_preset_says_what_it_needs():
    paper = GraphCore.preset("paper", bank_rows=100)
    assert (paper.backbone, paper.graph_neighbours) == ("pvig_ti_224_gelu", 0)
    assert paper.coreset is None
