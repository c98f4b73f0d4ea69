"""The comparison of two versions finds one changed bit, and a run of it reports none."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.photographs import write_dataset

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "quality" / "same_scores.py"


@pytest.fixture(scope="module")
def script():
    path = list(sys.path)
    spec = importlib.util.spec_from_file_location("same_scores", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look it up there
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


def arrays():
    rng = np.random.default_rng(0)
    return {
        "scores": rng.random(5),
        "maps.00": rng.random((3, 4), dtype=np.float32),
        "maps.01": rng.random((2, 5), dtype=np.float32),
        "normalised_scores": np.full(5, np.nan),
    }


def test_equal_arrays_do_not_differ(script):
    found = script.differences(arrays(), arrays())
    assert {name: kind["values"] for name, kind in found.items()} == {
        "scores": 5,
        "maps": 22,
        "normalised_scores": 5,
    }
    assert script.is_same(found)


def test_one_changed_bit_of_a_map_is_found(script):
    after = arrays()
    value = after["maps.01"][1, 3]
    after["maps.01"][1, 3] = np.nextafter(value, np.float32(2))
    found = script.differences(arrays(), after)
    step = float(np.nextafter(value, np.float32(2))) - float(value)
    assert found["maps"] == {"values": 22, "differ": 1, "largest": step}
    assert found["scores"]["differ"] == 0
    assert not script.is_same(found)


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.pop("scores"),
        lambda found: found.update(scores=found["scores"][:4]),
        lambda found: found.update(scores=found["scores"].astype(np.float32)),
        lambda found: found.update(scores=np.where(np.arange(5) == 2, -0.0, found["scores"])),
        lambda found: found.update({"maps.02": np.zeros((1, 1), np.float32)}),
    ],
    ids=["missing", "shorter", "other type", "other sign of zero", "more"],
)
def test_what_is_missing_or_of_another_kind_differs(script, change):
    before, after = arrays(), arrays()
    before["scores"][2] = after["scores"][2] = 0.0
    change(after)
    assert not script.is_same(script.differences(before, after))


def test_photographs_are_spread_over_all_kinds_of_defects(script, tmp_path):
    for folder, n in (("train/good", 9), ("test/good", 8), ("test/a", 2), ("test/b", 2)):
        (tmp_path / folder).mkdir(parents=True)
        for i in range(n):
            (tmp_path / folder / f"{i}.png").touch()
    good, test = script.photographs(tmp_path, 4)
    assert [Path(p).stem for p in good] == ["0", "2", "4", "6"]
    assert [f"{Path(p).parent.name}/{Path(p).stem}" for p in test] == [
        "good/0",
        "good/4",
        "a/0",
        "b/0",
    ]


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_a_difference_that_is_not_finite_is_counted_and_can_be_written(script, value):
    before, after = np.array([1.0, value, np.inf, 2.0]), np.array([1.0, 0.0, np.inf, 2.5])
    found = script.differences({"maps.00": before}, {"maps.00": after})
    assert found == {"maps": {"values": 4, "differ": 2, "largest": None}}
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert script._cell(found["maps"]) == "2 of 4 (no finite difference)"


def test_a_side_that_dies_without_a_message_is_reported(script):
    side = script.Side("before", "/bin/false", None)
    with pytest.raises(RuntimeError, match="no error message \\(exit code 1\\)"):
        side.run("facts")


def test_an_install_computes_the_same_as_itself(tmp_path):
    write_dataset(tmp_path / "plates", n_train=20, n_good=10, n_defect=10, masks=False)
    command = [sys.executable, str(SCRIPT), str(tmp_path), "--sets", "plates"]
    command += ["--before", sys.executable, "--after", sys.executable, "--cases", "patchcore:hcw"]
    source = str(Path(__file__).parents[2] / "src")
    command += ["--before-source", source, "--after-source", source]
    command += ["--out", str(tmp_path / "result")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "result.json").read_text())
    (result,) = record["results"]
    assert result["fitted"]["scores"] == {"values": 20, "differ": 0, "largest": 0.0}
    assert result["fitted"]["maps"]["values"] == 20 * 72 * 104
    assert result["fitted"]["bank_tensors"]["values"] > 100
    assert "1 of 1 cases are the same" in (tmp_path / "result.md").read_text()
