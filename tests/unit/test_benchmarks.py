"""The speed benchmarks start, and what they wrote keeps to their contract."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.requirements import requirements_of

SPEED = Path(__file__).parents[2] / "benchmarks" / "speed"
SHARED = {"contract", "synthetic", "naive_greedy", "processes", "peer_processes", "service_clients"}
SCRIPTS = sorted(path.stem for path in SPEED.glob("*.py") if path.stem not in SHARED)
MARKED = [
    pytest.param(name, marks=[getattr(pytest.mark, need) for need in needs])
    for name in SCRIPTS
    for needs in [requirements_of((SPEED / f"{name}.py").read_text(encoding="utf-8"))]
]
RESULTS = sorted(SPEED.glob("*.json"))


def script_as_module(name):
    spec = importlib.util.spec_from_file_location(f"speed_{name}", SPEED / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up there
    spec.loader.exec_module(module)
    return module


contract = script_as_module("contract")


def run(script, *arguments):
    command = [sys.executable, str(SPEED / f"{script}.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("script", MARKED)
def test_every_script_says_its_question_and_how_it_is_called(script):
    done = run(script, "--help")
    assert done.returncode == 0, done.stderr
    assert f"python benchmarks/speed/{script}.py" in done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_stands_in_the_table(script):
    assert f"`speed/{script}.py" in (SPEED.parent / "README.md").read_text()


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_committed_results_keep_to_the_contract(path):
    def refuse(word):
        raise AssertionError(f"{path.name} holds {word}, which is not JSON")

    record = json.loads(path.read_text(), parse_constant=refuse)
    assert tuple(record) == contract.KEYS
    script = path.stem.removesuffix("_beside_peers")
    assert record["question"].endswith("?")
    assert record["question"] in (SPEED / f"{script}.py").read_text()
    assert f"benchmarks/speed/{script}.py" in record["command"]
    assert ("--peers" in record["command"]) == (script != path.stem)
    assert record["settings"]
    assert record["results"]
    told = ("processor", "cores", "python", "versions", "variables", "commit", "load_average")
    assert {*told, "load_average_after"} <= record["environment"].keys()


def test_warm_up_calls_do_not_count_and_the_device_is_waited_for_inside():
    calls = []
    times, last = contract.measured(
        lambda: calls.append("call") or len(calls),
        repeats=3,
        warm_up=2,
        wait=lambda: calls.append("wait"),
    )
    assert len(times.all_s) == 3
    assert calls == ["wait", "call", "wait"] * 5
    assert last == len(calls) - 1
    assert times.to_json().keys() == {"median_s", "spread_s", "all_s", "warm_up"}


def test_spread_is_the_distance_of_the_quartiles():
    assert contract.summary([4.0, 1.0, 2.0], "_s") == {
        "median_s": 2.0,
        "spread_s": 1.5,
        "all_s": [4.0, 1.0, 2.0],
    }


def test_a_small_selection_is_measured_in_a_side_of_its_own_and_written_whole(tmp_path):
    out = tmp_path / "selection.json"
    sizes = ("--rows", "2000", "--picks", "30", "--repeats", "2")
    done = run("selection", *sizes, "--out", str(out))
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text())
    assert tuple(record) == contract.KEYS
    assert len(record["results"]["ours"]["all_s"]) == 2
    assert record["results"]["against_loops"]["picks_of_float64_loop_equal_in_order"] == 30
    assert [path.name for path in tmp_path.iterdir()] == ["selection.json"]


def test_results_that_are_not_numbers_are_refused(tmp_path):
    parser = contract.arguments("A question?")
    given = parser.parse_args(["--out", str(tmp_path / "refused.json")])
    run_ = contract.Run("refused.py", "A question?", given)
    with pytest.raises(ValueError, match="not JSON compliant"):
        run_.write({"seconds": float("nan")})
    assert not list(tmp_path.iterdir())
