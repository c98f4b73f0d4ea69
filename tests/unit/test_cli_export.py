"""`patchbank export` and `verify`, from files to printed lines, JSON, page and status."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from PIL import Image

from patchbank import PatchCore, load
from patchbank.export import export_detector, open_exported, verify
from patchbank.export.running import METADATA_KEY
from tests.command_line import run
from tests.photographs import parts, write_dataset
from tests.unit.test_json_schemas import check

pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")
SMALL = {"backbone": "efficientnet_lite0", "image_size": 96, "bank_limit": 120}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A data set, a detector that is exported, and another one."""
    root = write_dataset(tmp_path_factory.mktemp("plates"), n_train=6, n_good=2, n_defect=2)
    detector = PatchCore(**SMALL, false_alarm_rate=0.2).fit(parts(6))
    detector.save(root / "plates.patchbank")
    detector.with_threshold(99).save(root / "other.patchbank")
    export_detector(detector, root / "plates.onnx")
    return root


@pytest.fixture
def command(root, capsys, monkeypatch):
    """Run a command in the folder.  -> status, standard output, standard error."""
    monkeypatch.chdir(root)
    return lambda *arguments: run(capsys, *arguments)


def altered(root, path, change):
    """A copy of the graph in which something is changed."""
    model = onnx.load(root / "plates.onnx")
    change(model)
    onnx.save(model, path)
    return path


def test_an_export_says_how_it_compares(command, root, tmp_path):
    out = tmp_path / "a.onnx"
    status, said, err = command("export", "plates.patchbank", "test/blot", "--out", out)
    assert (status, err) == (0, "")
    lines = said.splitlines()
    assert lines[0] == f"{out}: {out.stat().st_size / 1e6:.1f} MB"
    n_given, n_drawn = 2, 4
    assert lines[1].startswith("a.onnx in onnxruntime gives what the detector gives on ")
    assert int(lines[1].split()[-2]) >= n_given + n_drawn
    assert "verdicts: 0 differ" in said
    again = tmp_path / "b.onnx"
    command("export", "plates.patchbank", "--out", again)
    assert again.read_bytes() == out.read_bytes()


def test_an_export_in_float16_says_what_it_changes(command, root, tmp_path):
    whole, half, target = (tmp_path / name for name in ("a.onnx", "b.onnx", "b.json"))
    command("export", "plates.patchbank", "test", "--out", whole, "--precision", "float32")
    status, said, err = command(
        "export", "plates.patchbank", "test", "--out", half, "--precision", "float16"
    )
    assert (status, err) == (0, "")
    assert half.stat().st_size < 0.65 * whole.stat().st_size
    first = said.splitlines()[1]
    assert first.startswith("b.onnx in onnxruntime gives what the detector gives on ")
    assert first.endswith(
        ", to the tolerance of float16: scores to 0.002, maps to 0.002, verdicts but for scores "
        "within 0.002 of the threshold"
    )
    assert "scores differ by 0 at most" not in said
    status, said, _ = command("verify", "plates.patchbank", half, "test", "--json", target)
    assert status == 0
    assert "to the tolerance of float16" in said
    found = json.loads(target.read_text())
    check("verify", found)
    assert found["precision"] == "float16"
    assert 0 < found["largest_score_difference"] < 2e-3


def test_a_precision_that_the_fit_did_not_have_is_refused(command, root, tmp_path):
    out = tmp_path / "a.onnx"
    status, said, err = command("export", "plates.patchbank", "--out", out, "--precision", "int8")
    assert (status, said) == (2, "")
    assert err == (
        "error: precision: expected float32 or float16 for a detector that was fitted in float32, "
        "got int8; fit it in int8 (patchbank fit ... --precision int8), and export that one\n"
    )
    rounded = tmp_path / "rounded.patchbank"
    PatchCore(**SMALL).fit(parts(4), precision="int8").save(rounded)
    for precision in ("float32", "float16"):
        status, said, err = command("export", rounded, "--out", out, "--precision", precision)
        assert (status, said) == (2, "")
        assert err == (
            f"error: precision: expected int8, in which the detector was fitted, got {precision}; "
            "fit it in float32 (patchbank fit ... --precision float32), and export that one\n"
        )
    assert not out.exists()


@pytest.mark.parametrize("entry", ["photograph", "pixels"])
def test_verify_compares_with_the_photographs_that_are_given(command, root, tmp_path, entry):
    graph, target, page = (tmp_path / name for name in ("a.onnx", "a.json", "page"))
    command("export", "plates.patchbank", "--out", graph, "--entry", entry)
    options = ("--json", target, "--report", page)
    status, said, err = command("verify", "plates.patchbank", graph, "test", *options)
    assert (status, err) == (0, f"report: {page / 'index.html'}\n")
    assert "gives what the detector gives on 4 photographs" in said
    found = json.loads(target.read_text())
    check("verify", found)
    assert found["largest_score_difference"] < 1e-5
    assert found["largest_map_difference"] < 1e-5
    assert found["detector_sha256"] == load(root / "plates.patchbank").sha256
    detector = load(root / "plates.patchbank")
    for one in found["results"]:
        assert one["score"] == detector.predict(one["image"]).score
    assert "The export gives what the detector gives" in (page / "index.html").read_text()


def test_what_a_folder_has_besides_photographs_is_said(command, root, tmp_path):
    folder, graph = tmp_path / "photographs", root / "plates.onnx"
    folder.mkdir()
    Image.fromarray(parts(1)[0]).save(folder / "a.png")
    Image.fromarray(np.eye(*parts(1)[0].shape[:2], dtype=bool)).save(folder / "a_mask.png")
    (folder / "b.cr2").write_bytes(b"a camera's own file")
    for verb in (("verify", "plates.patchbank", graph), ("export", "plates.patchbank")):
        out = () if verb[0] == "verify" else ("--out", tmp_path / "b.onnx")
        status, _, err = command(*verb, folder, *out)
        assert status == 0
        mask, other = err.splitlines()
        assert mask == f"note: {folder}: 1 mask is not inspected (a_mask.png)"
        assert other == f"{folder}: 1 file not read: b.cr2"


def test_a_photograph_that_cannot_be_read_is_named_and_not_counted(command, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    status, said, err = command("verify", "plates.patchbank", "plates.onnx", broken, "test/blot")
    assert status == 1
    assert "on 2 photographs" in said
    assert err.startswith("error: ")
    assert str(broken) in err


def test_an_export_names_what_it_could_not_read(command, tmp_path):
    broken, out = tmp_path / "broken.png", tmp_path / "a.onnx"
    broken.write_bytes(b"no image")
    status, _, err = command("export", "plates.patchbank", broken, "--out", out)
    assert status == 1
    assert str(broken) in err
    assert out.exists()


def test_without_any_photograph_nothing_is_proved(command, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    status, said, _ = command("verify", "plates.patchbank", "plates.onnx", broken)
    assert status == 2
    assert "no photograph that could be inspected" in said


def test_the_graph_of_another_detector_is_told(command, tmp_path):
    status, said, _ = command("verify", "other.patchbank", "plates.onnx", "test/good")
    assert status == 2
    assert "the graph of another detector (" in said


def swap_colours(model):
    """As if the photograph were BGR: the first operator takes the channels the other way."""
    order = onnx.numpy_helper.from_array(np.array([2, 1, 0]), "swapped_order")
    model.graph.initializer.append(order)
    for node in model.graph.node:
        for at, name in enumerate(node.input):
            if name == "photographs":
                node.input[at] = "swapped"
    swap = onnx.helper.make_node("Gather", ["photographs", "swapped_order"], ["swapped"], axis=3)
    model.graph.node.insert(0, swap)


def change_a_row(model):
    """One row of the bank is moved away."""
    bank = max(
        (one for one in model.graph.initializer if "constant" in one.name and len(one.dims) == 2),
        key=lambda one: one.dims[0] * one.dims[1],
    )
    rows = onnx.numpy_helper.to_array(bank).copy()
    rows[: len(rows) // 2] += 3
    bank.CopyFrom(onnx.numpy_helper.from_array(rows, bank.name))


@pytest.mark.parametrize("change", [swap_colours, change_a_row])
def test_a_graph_that_gives_something_else_is_told(command, root, tmp_path, change):
    other = altered(root, tmp_path / "other.onnx", change)
    coloured = tmp_path / "coloured.png"
    pixels = np.asarray(Image.open(root / "test" / "good" / "000.png").convert("RGB")) * [
        1,
        0.8,
        0.5,
    ]
    Image.fromarray(pixels.astype(np.uint8)).save(coloured)
    status, said, _ = command("verify", "plates.patchbank", other, coloured, "test")
    assert status == 2
    assert "does not give what the detector gives: something else for " in said
    assert " instead of " in said


def halve_p_values(model):
    """The p-values are half of what they are."""
    replace_output(model, "p_value", lambda name: ("Mul", [name, "half"]))


def lose_regions(model):
    """No pixel is in a region."""
    replace_output(model, "regions", lambda name: ("Xor", [name, name]))


def replace_output(model, output, made):
    half = onnx.numpy_helper.from_array(np.array(0.5, np.float32), "half")
    model.graph.initializer.append(half)
    for node in model.graph.node:
        node.output[:] = [f"{name}_before" if name == output else name for name in node.output]
    kind, inputs = made(f"{output}_before")
    model.graph.node.append(onnx.helper.make_node(kind, inputs, [output]))


@pytest.mark.parametrize("change", [halve_p_values, lose_regions])
def test_p_values_and_regions_have_to_follow_from_score_and_map(command, root, tmp_path, change):
    other = altered(root, tmp_path / "other.onnx", change)
    status, said, _ = command("verify", "plates.patchbank", other, "test")
    assert status == 2
    assert "p-values or regions that do not follow from its scores and maps" in said


def metadata(**changes):
    def change(model):
        for entry in model.metadata_props:
            if entry.key == METADATA_KEY:
                entry.value = json.dumps({**json.loads(entry.value), **changes})

    return change


def test_an_export_of_another_version_is_told(command, root, tmp_path):
    other = altered(root, tmp_path / "other.onnx", metadata(schema_version=2))
    status, _, err = command("verify", "plates.patchbank", other, "test")
    assert status == 2
    assert "expected version 1 of the exported graph, got 2; export it again" in err


def test_metadata_without_what_is_needed_are_told(command, root, tmp_path):
    def forget(model):
        for entry in model.metadata_props:
            record = json.loads(entry.value)
            del record["inputs"]
            entry.value = json.dumps(record)

    other = altered(root, tmp_path / "other.onnx", forget)
    status, _, err = command("verify", "plates.patchbank", other, "test")
    assert status == 2
    assert "got one whose metadata lack inputs" in err


def test_a_graph_that_fails_as_it_runs_is_told(command, root, tmp_path):
    other = altered(root, tmp_path / "other.onnx", lambda model: model.graph.output.pop())
    status, said, err = command("verify", "plates.patchbank", other, "test/good")
    assert status == 2
    assert "no photograph that could be inspected" in said
    assert "expected an exported detector that can be run, got: " in err
    assert err.count("\n") == 2


@pytest.mark.parametrize("content", [b"", b"no graph", None])
def test_a_damaged_export_is_told_in_one_line(command, root, tmp_path, content):
    other = tmp_path / "other.onnx"
    whole = (root / "plates.onnx").read_bytes()
    other.write_bytes(whole[: len(whole) // 2] if content is None else content)
    status, _, err = command("verify", "plates.patchbank", other, "test")
    assert status == 2
    assert err.startswith(f"error: {other}: expected an exported detector")
    assert err.count("\n") == 1


def test_a_backbone_is_no_export(command, tmp_path):
    other = tmp_path / "backbone.onnx"
    other.write_bytes(PatchCore(**SMALL).fit(parts(3)).members[0].extractor.content)
    status, _, err = command("verify", "plates.patchbank", other, "test")
    assert status == 2
    assert "expected an exported detector, got a graph of something else" in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--out", "a.txt"), "expected a name that ends in .onnx for the format onnx, got a.txt"),
        (("--out", "a.onnx", "--format", "openvino"), ""),
        (("--out", "plates.patchbank"), "plates.patchbank"),
        (("--out", "nowhere/a.onnx"), "nowhere"),
    ],
)
def test_wrong_use_is_said_and_nothing_is_written(command, root, options, said):
    before = {path.name: path.stat().st_mtime_ns for path in root.iterdir()}
    status, _, err = command("export", "plates.patchbank", *options)
    assert status == 2
    assert said in err
    assert {path.name: path.stat().st_mtime_ns for path in root.iterdir()} == before


def test_an_export_that_fails_leaves_the_old_file(root, tmp_path, monkeypatch):
    from patchbank.errors import DataError
    from patchbank.export.graph import scores

    out = tmp_path / "a.onnx"
    out.write_bytes(b"old")
    right = scores.patch_scores
    monkeypatch.setattr(scores, "patch_scores", lambda *given: right(*given) * 1.01)
    with pytest.raises(DataError, match="expected what the detector gives, got something else"):
        export_detector(load(root / "plates.patchbank"), out)
    assert out.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"]


def test_a_detector_has_the_verb(root, tmp_path):
    detector = load(root / "plates.patchbank")
    done = detector.export(tmp_path / "a.onnx", photographs=root / "test" / "good")
    assert done.files == (tmp_path / "a.onnx",)
    assert done.verification.is_passed
    opened = open_exported(done.files[0])
    assert opened.metadata["threshold"] == detector.calibration.threshold
    assert verify(detector, opened, root / "test").largest_difference < 1e-5


WITHOUT_ONNX = """
import importlib.machinery, sys
found = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = classmethod(
    lambda own, name, *others: None if name == "onnx" else found(name, *others)
)
from patchbank.cli import main
main()
"""


def without_onnx(*arguments):
    """Run a command as in an install that lacks the package onnx."""
    command = [sys.executable, "-c", WITHOUT_ONNX, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_an_install_without_onnx_says_what_to_install_and_can_verify(root, tmp_path):
    file, out = root / "plates.patchbank", tmp_path / "a.onnx"
    done = without_onnx("export", file, "--out", out)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines() == [
        "error: export: expected the package onnx, got none; pip install 'patchbank[export]'"
    ]
    assert not out.exists()
    done = without_onnx("verify", file, root / "plates.onnx", root / "test")
    assert done.returncode == 0, done.stderr
