"""The examples in Python say what the detector says, without Patchbank."""

import re
import subprocess

import numpy as np
import pytest
from PIL import Image

from tests.examples.exported import EXAMPLES, command, is_close, is_tolerable, red, said

LINE = re.compile(r"(.+): (good|anomalous), score (\S+), p-value ([^\s,]+)")


def ran(program, small, folder):
    """Status and lines of a program that inspects all photographs."""
    arguments = command(program, str(small.graph), *small.files)
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize(
    "runtime", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.openvino)]
)
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


@pytest.mark.parametrize(
    "runtime", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.openvino)]
)
def test_a_photograph_that_was_taken_sideways_is_turned_upright(runtime, small, tmp_path):
    case = small.cases[1]
    sideways = tmp_path / "sideways.png"
    image = Image.open(case.file)
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned clockwise
    image.transpose(Image.Transpose.ROTATE_90).save(sideways, exif=exif)
    program = EXAMPLES / runtime / "inspect_photographs.py"
    arguments = command(program, str(small.graph), str(sideways))
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False)
    match = LINE.match(done.stdout.splitlines()[-1])
    assert is_close(float(match[3]), case)


def test_packages_that_an_example_must_not_need_are_absent_here(tmp_path):
    program = tmp_path / "program.py"
    program.write_text("import patchbank\n")
    done = subprocess.run(command(program), capture_output=True, text=True, check=False)
    assert "patchbank" in done.stderr
    assert done.returncode == 1
