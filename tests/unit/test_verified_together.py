"""Several graphs of one detector are compared on photographs that it inspects once."""

from dataclasses import replace

import numpy as np
import pytest

from patchbank import GraphCore, PatchCore
from patchbank.errors import DataError
from patchbank.export import export_detector, open_exported
from patchbank.export import verifying as verifying_module
from patchbank.export.precision import EXACT
from patchbank.export.verifying import verified, verified_together
from patchbank.images.source import image_source
from patchbank.methods import METHODS
from tests.photographs import part, parts

pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")
RECIPE = PatchCore(backbone="efficientnet_lite0", image_size=96, bank_limit=60, top_fraction=0.1)
SOURCES = [
    image_source(part(40, defect=6), "defect"),
    image_source(np.full((2, 2), 7, np.uint8).tobytes(), "broken.png"),
    image_source(part(41, size=(50, 90)), "good"),
]


@pytest.fixture(scope="module")
def detector():
    return RECIPE.fit(parts(6))


@pytest.fixture(scope="module")
def graphs(detector, tmp_path_factory):
    folder = tmp_path_factory.mktemp("graphs")
    for entry in ("photograph", "pixels"):
        export_detector(detector, folder / f"{entry}.onnx", entry=entry)
    return [open_exported(folder / f"{entry}.onnx") for entry in ("photograph", "pixels")]


def test_each_graph_gets_what_it_gets_alone(detector, graphs):
    together = verified_together(detector, graphs, SOURCES)
    for graph, found in zip(graphs, together, strict=True):
        alone = verified(detector, graph, SOURCES)
        assert found.exported == graph.name
        assert [pair.image for pair in found.pairs] == ["defect", "good"]
        assert found == alone
        assert found.is_passed


def test_a_photograph_that_cannot_be_read_is_an_error_of_every_graph(detector, graphs):
    for found in verified_together(detector, graphs, SOURCES):
        (line,) = found.errors
        assert "broken.png" in line
        assert "\n" not in line


def test_the_detector_inspects_each_photograph_once(detector, graphs, monkeypatch):
    seen = []
    original = verifying_module.inspect_photograph

    def counted(parts_of_it, source, **options):
        seen.append(source.name)
        return original(parts_of_it, source, **options)

    monkeypatch.setattr(verifying_module, "inspect_photograph", counted)
    verified_together(detector, graphs, SOURCES)
    assert seen == ["defect", "broken.png", "good"]


def test_a_graph_that_cannot_run_does_not_stop_the_others(detector, graphs, monkeypatch):
    def fails(*_):
        raise DataError("out of order")

    first, second = graphs
    monkeypatch.setattr(type(first), "inspect", fails)  # the entry of pixels is called otherwise
    one, other = verified_together(detector, [first, second], SOURCES[::2])
    assert one.errors == ("out of order", "out of order")
    assert not one.is_passed
    assert other.is_passed
    assert len(other.pairs) == 2


def test_a_graph_of_another_detector_is_named(graphs):
    other = RECIPE.fit(parts(5))
    for found in verified_together(other, graphs, SOURCES[:1]):
        assert "another detector" in found.failure
        assert not found.is_passed


@pytest.mark.parametrize(("recipe", "passes"), [(GraphCore, True), (PatchCore, False)])
def test_a_cell_may_change_where_features_are_made_of_chosen_neighbours(
    recipe, passes, tmp_path, monkeypatch
):
    """One cell in the graph of another runtime; a wrong map is refused in any case."""
    fitted = recipe(backbone="efficientnet_lite0", image_size=96).fit(parts(6))
    export_detector(fitted, tmp_path / "graph.onnx")
    graph = open_exported(tmp_path / "graph.onnx")
    original = type(graph).inspect
    cell, everywhere = np.s_[5:8, 3], np.s_[:, :]
    for change, where, expected in (
        (0.012, cell, passes),
        (0.03, cell, False),
        (0.012, everywhere, False),
    ):

        def changed(self, pixels, change=change, where=where):
            verdict = original(self, pixels)
            other = verdict.anomaly_map.copy()
            other[where] += change * other.max()
            return replace(verdict, anomaly_map=other)

        monkeypatch.setattr(type(graph), "inspect", changed)
        assert verified(fitted, graph, SOURCES[:1]).is_passed is expected


@pytest.mark.parametrize(("share", "expected"), [(0.04, 2e-2), (0.06, 1e-3)])
def test_few_places_of_a_map_may_be_those_of_other_neighbours(share, expected):
    methods = [METHODS["patchcore"], METHODS["graphcore"]]
    assert EXACT.of_map(methods, share).map == expected
    assert EXACT.of_map(methods[:1], share) == EXACT
