"""The demonstration's photographs, from a package that is laid out as the real one."""

import pytest

from patchbank.datasets import GOOD
from patchbank.datasets.elpv import solar_cells

N_GOOD, N_DEFECT = 360, 170


@pytest.fixture
def cells(tmp_path, monkeypatch):
    """The folder of the package: cells of either kind, and of every probability in between."""
    lines = [f"images/good{i:03}.png  0.0  mono" for i in range(N_GOOD)]
    lines += [f"images/defect{i:03}.png  1.0  mono" for i in range(N_DEFECT)]
    for name, probability, kind in (
        ("poly-good", 0.0, "poly"),
        ("poly-defect", 1.0, "poly"),
        ("unlikely", 0.3333333333333333, "mono"),
        ("likely", 0.6666666666666666, "mono"),
    ):
        lines += [f"images/{name}{i:02}.png  {probability}  {kind}" for i in range(60)]
    folder = tmp_path / "elpv_dataset"
    (folder / "data").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "data" / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return folder / "data" / "images"


def names(paths):
    return [path.name for path in paths]


def test_two_hundred_are_learned_and_three_hundred_others_tested(cells):
    fit, dataset = solar_cells()
    good = [s.path for s in dataset.samples if s.label == GOOD]
    defect = [s.path for s in dataset.samples if s.label == "defective"]
    assert (len(fit), len(good), len(defect)) == (200, 150, 150)
    assert len({*fit, *good}) == 350  # none is learned and tested
    assert {path.parent for path in (*fit, *good, *defect)} == {cells}
    assert all(name.startswith("good") for name in names([*fit, *good]))
    assert dataset.name == "solar cells, first defects"


def test_good_cells_are_drawn_and_the_first_defective_ones_used(cells):
    fit, dataset = solar_cells()
    assert names(fit) != sorted(names(fit))
    defect = names(s.path for s in dataset.samples if s.is_defect)
    assert defect == [f"defect{i:03}.png" for i in range(150)]


def test_defective_cells_are_drawn_where_asked(cells):
    fit, dataset = solar_cells(draw_defects=True)
    defect = names(s.path for s in dataset.samples if s.is_defect)
    assert len(set(defect)) == 150
    assert all(name.startswith("defect") for name in defect)
    assert any(int(name[6:9]) >= 150 for name in defect)
    assert dataset.name == "solar cells, defects drawn"
    assert fit == solar_cells()[0]  # the good ones stay the same


def test_the_draw_is_the_same_every_time(cells):
    assert solar_cells(draw_defects=True) == solar_cells(draw_defects=True)
