"""The example in C++ is built, and says what the detector says."""

import json
import subprocess
from pathlib import Path

import onnxruntime
import pytest

from tests.examples.exported import EXAMPLES, is_close, is_tolerable
from tests.examples.unusual import deep_pngs, transparent_files, turned
from tests.requirements import NATIVE_TOOLS

pytestmark = pytest.mark.native_tools

STRICT = "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wpedantic -Werror"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Build it as a user does, against a folder like the archive of ONNX Runtime for C++."""
    folder = tmp_path_factory.mktemp("cpp")
    root, build = folder / "onnxruntime", folder / "build"
    (root / "lib").mkdir(parents=True)
    (root / "include").symlink_to(NATIVE_TOOLS / "include")
    (library,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (root / "lib" / name).symlink_to(library)
    configure = ["cmake", "-S", EXAMPLES / "cpp", "-B", build, f"-DONNXRUNTIME_ROOT={root}", STRICT]
    for command in (configure, ["cmake", "--build", build]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return build / "inspect_photographs"


def test_it_prints_the_detector_s_answers(program, small):
    done = subprocess.run(
        [program, small.graph, *small.files], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == len(small.cases)
    for answer, case in zip(found, small.cases, strict=True):
        assert set(answer) == {"score", "p_value", "is_anomalous"}
        assert is_close(answer["score"], case)
        assert answer["p_value"] == pytest.approx(case.inspection.p_value, rel=1e-3)
        assert answer["is_anomalous"] == case.inspection.is_anomalous
    assert done.returncode == 1


def test_graphs_that_round_give_the_detector_s_verdicts(program, rounded):
    done = subprocess.run(
        [program, rounded.graph, *rounded.files], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    for line, case in zip(done.stdout.splitlines(), rounded.cases, strict=True):
        answer = json.loads(line)
        assert is_tolerable(answer["score"], case, rounded.precision)
        assert answer["is_anomalous"] == case.inspection.is_anomalous


def test_good_photographs_alone_have_status_0(program, small):
    (good, *_) = [case.file for case in small.cases if not case.inspection.is_anomalous]
    assert subprocess.run([program, small.graph, good], capture_output=True).returncode == 0


def refused(program, *arguments):
    """The one line of a call that ends with an error."""
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_what_is_transparent_is_black(program, small, tmp_path):
    cases = [small.inspected(file) for file in transparent_files(tmp_path)]
    command = [program, small.graph, *(case.file for case in cases)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    for line, case in zip(done.stdout.splitlines(), cases, strict=True):
        answer = json.loads(line)
        assert is_close(answer["score"], case), case.file
        assert answer["is_anomalous"] == case.inspection.is_anomalous


def test_numbers_of_more_than_8_bits_are_refused(program, small, tmp_path):
    for file in deep_pngs(tmp_path):
        assert refused(program, small.graph, file).startswith(f"{file}: expected 8 bits")


def test_a_photograph_that_was_taken_sideways_is_refused(program, small, tmp_path):
    for order in "<>":
        file = turned(tmp_path / "sideways.png", small.cases[1].file, order)
        assert refused(program, small.graph, file).startswith(f"{file}: expected an upright")
    upright = turned(tmp_path / "upright.png", small.cases[1].file, orientation=1)
    done = subprocess.run([program, small.graph, upright], capture_output=True, check=False)
    assert is_close(json.loads(done.stdout)["score"], small.cases[1])


def test_a_photograph_without_a_score_is_refused(program, cropped):
    assert "got 300 x 40" in refused(program, *cropped)


def test_a_call_without_photographs_has_status_2(program, small):
    assert refused(program, small.graph).startswith("usage: ")


@pytest.mark.parametrize("broken", ["detector", "no photograph", "absent"])
def test_what_cannot_be_read_is_named_and_has_status_2(program, small, tmp_path, broken):
    no_image = tmp_path / "no image.png"
    no_image.write_bytes(b"text")
    graph, file = {
        "detector": (no_image, small.files[0]),
        "no photograph": (small.graph, no_image),
        "absent": (small.graph, tmp_path / "absent.png"),
    }[broken]
    done = subprocess.run([program, graph, file], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    named = graph if broken == "detector" else file
    assert Path(named).name in done.stderr
