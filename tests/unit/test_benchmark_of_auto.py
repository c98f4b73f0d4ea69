"""The benchmark of chosen settings: regret by hand, cuts, and that it goes on where it stopped."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from patchbank.datasets import Dataset, Sample

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "quality" / "auto.py"


def _script():
    spec = importlib.util.spec_from_file_location("benchmark_of_auto", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BENCHMARK = _script()


def candidate(size, synthetic, *, is_default=False, **real):
    return {
        "changes": {"image_size": size},
        "is_default": is_default,
        "synthetic": synthetic,
        "real": float(np.mean(list(real.values()))),
        "real_by_kind": real,
    }


ROW = {
    "set": "bolts",
    "size": "as they are",
    "seed": 0,
    "candidates": [
        candidate(448, 0.70, is_default=True, blot=0.80, crack=0.60, dent=0.5),
        candidate(640, 0.90, blot=0.70, crack=0.90, dent=0.5),
        candidate(320, 0.80, blot=0.90, crack=0.50, dent=0.5),
    ],
}


def test_the_highest_candidate_is_chosen_or_the_default_where_none_is_clearly_higher():
    assert BENCHMARK.chosen_of(ROW)["changes"] == {"image_size": 640}
    near = {
        "candidates": [{**one, "synthetic": one["synthetic"] / 20} for one in ROW["candidates"]]
    }
    assert BENCHMARK.chosen_of(near)["changes"] == {"image_size": 448}


def test_cuts_are_all_kinds_of_defects_and_two_halves_of_them():
    found = dict(BENCHMARK.cuts(ROW))
    assert list(found) == ["all defects", "blot, crack", "dent"]
    assert found["blot, crack"] == pytest.approx([0.7, 0.8, 0.7])
    assert found["dent"] == [0.5, 0.5, 0.5]
    one_kind = {"candidates": [candidate(448, 0.7, blot=0.8)]}
    assert dict(BENCHMARK.cuts(one_kind)) == {"all defects": [0.8]}


def test_regret_is_what_the_best_candidate_has_more_than_the_chosen_one():
    # All kinds: 0.6333, 0.7, 0.6333; the two halves: 0.7, 0.8, 0.7 and three times 0.5.
    cells = [line.split(" | ") for line in BENCHMARK.regret_lines([ROW])[2:]]
    assert [cell[2] for cell in cells[:-1]] == ["all defects", "blot, crack", "dent"]
    assert [cell[4] for cell in cells[:-1]] == ["0.700", "0.800", "0.500"]
    assert [cell[5] for cell in cells[:-1]] == 3 * ["0.000 ± 0.000"]
    assert [cell[6] for cell in cells[:-1]] == ["0.067", "0.100", "0.000"]
    worse = {**ROW, "seed": 1, "candidates": [dict(one) for one in ROW["candidates"]]}
    worse["candidates"][2]["synthetic"] = 0.95
    first = BENCHMARK.regret_lines([ROW, worse])[2].split(" | ")
    assert (first[3], first[5]) == ("2", "0.033 ± 0.033")


def test_tests_are_drawn_from_every_kind_alike():
    samples = [Sample(Path(f"good{i}"), "good") for i in range(60)]
    samples += [Sample(Path(f"blot{i}"), "blot") for i in range(90)]
    samples += [Sample(Path(f"dent{i}"), "dent") for i in range(30)]
    good, defects = BENCHMARK.drawn_tests(
        Dataset("bolts", tuple(samples)), np.random.default_rng(0)
    )
    assert len(set(good)) == 24
    assert [one.label for one in defects] == 24 * ["blot"] + 24 * ["dent"]
    assert len({one.path for one in defects}) == 48


def test_a_benchmark_goes_on_where_it_stopped(tmp_path, monkeypatch):
    path = tmp_path / "auto.json"
    now = {"settings": BENCHMARK.settings_now()}
    known = [{"seed": 0, "preset": "auto", "wall_s": 1.0, "cpu_s": 2.0, "chosen": None} | now]
    stale = {**known[0], "seed": 1, "settings": "another default"}
    path.write_text(json.dumps({"regret": [ROW | now, ROW], "fit": [], "time": [*known, stale]}))
    measured = []

    def time_row(seed, preset):
        measured.append((seed, preset))
        return {"wall_s": 3.0, "cpu_s": 4.0, "chosen": None}

    monkeypatch.setattr(BENCHMARK, "time_row", time_row)
    options = ["--parts", "time", "--seeds", "0", "1", "--out", str(path.with_suffix(""))]
    monkeypatch.setattr(sys, "argv", ["auto.py", *options])
    BENCHMARK.main()
    assert measured == [(0, "balanced"), (1, "auto"), (1, "balanced")]
    content = json.loads(path.read_text())
    assert content["regret"] == [ROW | now]
    assert [row["wall_s"] for row in content["time"]] == [1.0, 3.0, 3.0, 3.0]
    page = path.with_suffix(".md").read_text()
    assert "## Regret" in page
    assert "| auto | 0 | 1.0 | 2.0 |" in page
    BENCHMARK.main()
    assert len(measured) == 3


def test_photographs_become_smaller_by_the_factor(tmp_path):
    from tests.photographs import part, save

    path = save(tmp_path / "a.png", part(0, size=(72, 104)))
    assert BENCHMARK.photographs([path], 1)[0].shape == (72, 104, 3)
    assert BENCHMARK.photographs([path], 0.5)[0].shape == (36, 52, 3)


def test_solar_cells_are_cut_by_their_place_in_the_package():
    samples = [Sample(Path(f"cell{i:04}.png"), "good") for i in range(3)]
    samples += [Sample(Path(f"cell{i:04}.png"), "defective") for i in (9, 5, 7, 6)]
    labels = [one.label for one in BENCHMARK.by_half(Dataset("cells", tuple(samples))).samples]
    assert labels == 3 * ["good"] + ["second half", "first half", "second half", "first half"]


def test_photographs_of_half_the_size_have_a_mean_of_their_own():
    half = {**ROW, "size": "half the size", "candidates": [dict(one) for one in ROW["candidates"]]}
    half["candidates"][2]["synthetic"] = 0.95
    lines = [line for line in BENCHMARK.regret_lines([ROW, half]) if line.startswith("| mean")]
    assert [line.split(" | ")[1] for line in lines] == [ROW["size"], "half the size"]
    # Two thirds of 0.1, 0.1 and 0.
    assert [re.findall(r"\d\.\d{3}", line)[0] for line in lines] == ["0.000", "0.056"]
