"""The picture of the architecture shows the tree as it is."""

import pytest
from tools import draw_architecture as drawing

PYPROJECT = """
[[tool.importlinter.contracts]]
type = "layers"
layers = [
    "patchbank.top",
    "patchbank.left | patchbank.right",
    "patchbank.types",
]
"""
FLOORS = [["top"], ["left", "right"], ["types"]]


def test_the_committed_picture_is_what_the_script_draws():
    drawn = drawing.draw()
    assert drawing.TARGET.read_text(encoding="utf-8") == drawn, "run tools/draw_architecture.py"


def test_every_room_is_on_a_floor_of_the_import_contract():
    floors = drawing.layers((drawing.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    rooms = drawing.imports(drawing.ROOT / "src" / "patchbank").keys()
    assert sorted(name for floor in floors for name in floor) == sorted(rooms)


def test_floors_are_read_from_the_top_down():
    assert drawing.layers(PYPROJECT) == FLOORS
    with pytest.raises(SystemExit, match="contract of the type layers"):
        drawing.layers("[project]")


def test_imports_are_counted_wherever_they_stand(tmp_path):
    (tmp_path / "top").mkdir()
    (tmp_path / "__init__.py").write_text("from patchbank.top import run\n")
    (tmp_path / "top" / "run.py").write_text(
        "import patchbank.left.a\nimport numpy\nfrom patchbank.top import other\n"
        "def later():\n    from patchbank.types import Image\n"
    )
    (tmp_path / "types.py").write_text('"""Types."""\n')
    assert drawing.imports(tmp_path) == {"top": {"left": 1, "types": 1}, "types": {}}


def test_an_arrow_that_a_chain_replaces_is_not_drawn():
    graph = {"top": {"left": 1, "right": 2, "types": 9}, "left": {"right": 1}, "right": {}}
    assert drawing.drawn_arrows(graph, FLOORS) == [("left", "right"), ("top", "left")]
    graph["top"]["right"] = drawing.MANY
    assert ("top", "right") in drawing.drawn_arrows(graph, FLOORS)


def test_the_job_of_a_room_is_its_first_sentence(tmp_path):
    path = tmp_path / "__init__.py"
    path.write_text('"""From `a` to\n0.5 of b.  More.\n"""\n')
    assert drawing.job(path) == "From a to 0.5 of b"


def test_sizes_count_python_and_c(tmp_path):
    (tmp_path / "core" / "int8").mkdir(parents=True)
    (tmp_path / "core" / "int8" / "kernel.c").write_text("int a;\nint b;\n")
    (tmp_path / "core" / "rows.py").write_text("x = 1\n")
    (tmp_path / "errors.py").write_text("y = 1\n")
    (tmp_path / "core" / "weights.onnx").write_text("1\n2\n")
    assert drawing.sizes(tmp_path) == {"core": 3, "errors": 1}


def test_text_stays_inside_its_box():
    lines = drawing._wrapped("word " * 40, 300, drawing.JOB_SIZE)
    assert max(map(len, lines)) * drawing.JOB_SIZE * drawing.CHARACTER <= 300 - 2 * drawing.PADDING
