"""The examples in Python say what the detector says, without Patchbank."""

import re
import runpy
import subprocess

import numpy as np
import pytest

from patchbank.images.source import read_image
from tests.examples.exported import EXAMPLES, command, is_close, is_tolerable, red, said
from tests.examples.unusual import deep_pngs, deep_tiffs, transparent_files, turned
from tests.rare_images import made

RUNTIMES = ["onnxruntime", pytest.param("openvino", marks=pytest.mark.openvino)]
READER = re.compile(r"^FORMATS = .*?^    return np\.asarray", re.DOTALL | re.MULTILINE)
LOG = re.compile(r"WARNING: All log messages|[EWI]\d{4} ")
"""What OpenVINO writes by itself about a damaged graph."""
LINE = re.compile(r"(.+): (good|anomalous), score (\S+), p-value ([^\s,]+)")


def ran(program, small, folder):
    """Status and lines of a program that inspects all photographs."""
    arguments = command(program, str(small.graph), *small.files)
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_example_prints_the_detector_s_answers(runtime, small, tmp_path):
    status, lines = ran(EXAMPLES / runtime / "inspect_photographs.py", small, tmp_path)
    found = [LINE.match(line).groups() for line in lines if not line.startswith("threshold")]
    assert [(file, word) for file, word, _, _ in found] == said(small.cases)
    assert status == 1
    for (_, _, score, p_value), case in zip(found, small.cases, strict=True):
        assert is_close(float(score), case)
        assert float(p_value) == pytest.approx(case.inspection.p_value, rel=0.01)


def test_graphs_that_round_give_the_detector_s_verdicts(rounded, tmp_path):
    _, lines = ran(EXAMPLES / "onnxruntime" / "inspect_photographs.py", rounded, tmp_path)
    found = [LINE.match(line).groups() for line in lines[1:]]
    assert [(file, word) for file, word, _, _ in found] == said(rounded.cases)
    for (_, _, score, _), case in zip(found, rounded.cases, strict=True):
        assert is_tolerable(float(score), case, rounded.precision)


def test_overlays_are_red_where_the_map_is_above_its_threshold(small, tmp_path):
    _, lines = ran(EXAMPLES / "onnxruntime" / "inspect_photographs.py", small, tmp_path)
    threshold = small.cases[0].inspection.pixel_threshold
    overlays = sorted((tmp_path / "overlays").iterdir())
    assert lines[0] == f"threshold {small.cases[0].inspection.threshold:.6g}"
    assert [file.name for file in overlays] == [
        "001_good.png",
        "002_defect.png",
        "003_small good.png",
        "004_large defect.png",
    ]
    for file, case in zip(overlays, small.cases, strict=True):
        shown, anomaly_map = red(file, case.file), case.inspection.anomaly_map
        assert shown.shape == anomaly_map.shape
        clear = np.abs(anomaly_map - threshold) > 1e-4 * threshold
        assert (shown == (anomaly_map > threshold))[clear].all()
    assert red(overlays[1], small.cases[1].file).any()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_photograph_that_was_taken_sideways_is_turned_upright(runtime, small, tmp_path):
    case = small.cases[1]
    sideways = turned(tmp_path / "sideways.png", case.file)
    program = EXAMPLES / runtime / "inspect_photographs.py"
    arguments = command(program, str(small.graph), str(sideways))
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)
    match = LINE.match(done.stdout.splitlines()[-1])
    assert is_close(float(match[3]), case)


def refused(runtime, folder, *arguments):
    """The one line of a program that ends with an error."""
    program = EXAMPLES / runtime / "inspect_photographs.py"
    arguments = command(program, *map(str, arguments))
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "good" not in done.stdout
    assert "anomalous" not in done.stdout
    (line,) = [line for line in done.stderr.splitlines() if not LOG.match(line)]
    return line


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_is_transparent_is_black(runtime, small, tmp_path):
    cases = [small.inspected(file) for file in transparent_files(tmp_path)]
    new = small._replace(cases=cases)
    _, lines = ran(EXAMPLES / runtime / "inspect_photographs.py", new, tmp_path)
    found = [LINE.match(line).groups() for line in lines if not line.startswith("threshold")]
    assert [(file, word) for file, word, _, _ in found] == said(cases)
    for (_, _, score, _), case in zip(found, cases, strict=True):
        assert is_close(float(score), case), case.file
    assert not is_close(small.cases[0].inspection.score, cases[0])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_numbers_of_more_than_8_bits_are_refused(runtime, small, tmp_path):
    for file in (*deep_pngs(tmp_path), *deep_tiffs(tmp_path)):
        line = refused(runtime, tmp_path, small.graph, file)
        assert line.startswith(f"{file}: expected ")
        assert "8 bits" in line


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_cannot_be_inspected_is_named_and_has_status_2(runtime, small, tmp_path):
    text = tmp_path / "text.png"
    text.write_text("several\nlines\n")
    cut = tmp_path / "cut.png"
    cut.write_bytes(small.cases[0].file.read_bytes()[:2000])
    for file in (text, cut, tmp_path / "absent.png", tmp_path):
        assert refused(runtime, tmp_path, small.graph, file).startswith(f"{file}: ")
    for graph in (text.rename(tmp_path / "text.onnx"), tmp_path / "absent.onnx"):
        assert refused(runtime, tmp_path, graph, small.files[0]).startswith(f"{graph}: ")
    for arguments in ((), (small.graph,)):
        assert refused(runtime, tmp_path, *arguments).startswith("usage: ")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_photograph_without_a_score_is_refused(runtime, cropped, tmp_path):
    assert "got 300 x 40" in refused(runtime, tmp_path, *cropped)


def test_both_examples_read_files_alike():
    first, second = (
        READER.search((EXAMPLES / runtime / "inspect_photographs.py").read_text())[0]
        for runtime in ("onnxruntime", "openvino")
    )
    assert first == second


def test_files_in_rare_modes_are_read_as_patchbank_reads_them_or_refused(tmp_path):
    program = runpy.run_path(str(EXAMPLES / "onnxruntime" / "inspect_photographs.py"))
    file, kinds, refusals = tmp_path / "photograph", set(), []
    for seed in range(600):
        rare = made(seed)
        file.write_bytes(rare.content)
        try:
            found = program["photograph_of"](str(file))
        except ValueError as error:
            refusals.append(str(error))
            continue
        kinds.add(rare.kind)
        np.testing.assert_array_equal(found, read_image(file), rare.kind)
    assert len(kinds) > 20
    assert all(line.startswith("expected ") for line in refusals)


def test_packages_that_an_example_must_not_need_are_absent_here(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import patchbank\n")
    done = subprocess.run(command(program), capture_output=True, text=True, check=False)
    assert "patchbank" in done.stderr
    assert done.returncode == 1
