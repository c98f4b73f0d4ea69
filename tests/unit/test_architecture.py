"""The picture of the architecture shows the tree as it is."""

import html
import re

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


def test_an_import_that_a_chain_replaces_is_not_named():
    floors = [["top"], ["middle"], ["low"], ["types"]]
    graph = {"top": {"low": 2, "middle": 1, "types": 9}, "middle": {"low": 1}, "low": {}}
    assert drawing.named_imports(graph, floors) == {"top": ["middle"], "middle": ["low"], "low": []}
    graph["top"]["low"] = drawing.MANY
    assert drawing.named_imports(graph, floors)["top"] == ["middle", "low"]


def test_an_import_upwards_is_an_exception_and_no_chain():
    floors = [["top"], ["left", "right"], ["low"], ["types"]]
    graph = {"top": {"left": 1, "low": 1}, "left": {}, "right": {}, "low": {"left": 1, "right": 1}}
    assert drawing.upward_imports(graph, floors)["low"] == ["left", "right"]
    assert drawing.named_imports(graph, floors) == {
        "top": ["left", "low"],
        "left": [],
        "right": [],
        "low": [],
    }


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


@pytest.mark.parametrize("width", [120, 300])
def test_text_is_wrapped_between_words_and_stays_inside_its_box(width):
    words = ["photographs", "of", "parts", "memory_bank,", "in-memory"] * 8
    lines = drawing._wrapped(" ".join(words), width, drawing.JOB_SIZE)
    assert " ".join(lines).split() == words
    fits = [line for line in lines if " " in line]
    room = width - 2 * drawing.PADDING
    assert all(len(line) * drawing.JOB_SIZE * drawing.CHARACTER <= room for line in fits)


def test_no_line_is_wider_than_the_rectangle_it_stands_in():
    """Boxes are drawn before what is in them: the last rectangle around a text is its own."""
    shape = re.compile(
        r'<rect x="(\S+)" y="(\S+)" width="(\S+)" height="(\S+)" rx|'
        r'<text x="(\S+)" y="(\S+)" font-size="(\d+)"[^>]*>([^<]+)<'
    )
    boxes, n_checked = [], 0
    for found in shape.findall(drawing.draw()):
        if found[0]:
            boxes.append([float(value) for value in found[:4]])
            continue
        x, y, size, text = float(found[4]), float(found[5]), int(found[6]), html.unescape(found[7])
        around = [b for b in boxes if b[0] < x < b[0] + b[2] and b[1] < y < b[1] + b[3]]
        if around:  # the caption is below all boxes
            left, _, width, _ = around[-1]
            assert x + len(text) * size * drawing.CHARACTER <= left + width, text
            n_checked += 1
    assert n_checked > 100
