"""The formulas of docs/scale.md: against counted bytes of real selections, and a simulation."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from patchbank.core.coreset import greedy_coreset

ROOT = Path(__file__).parents[2]
QUALITY = ROOT / "benchmarks" / "quality"


def script():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("quality_scale", QUALITY / "scale.py")
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    sys.modules[spec.name] = module  # dataclasses search it there
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return module


scale = script()
CONSTANTS = scale.Constants(
    looked_at=3.0,
    picks_per_block=100.0,
    proposed=600.0,
    update_s=5e-11,
    propose_s=1e-8,
    choose_s=0.01,
)
NETWORK = scale.Network()


def features_of(rows, dims):
    rng = np.random.default_rng(7)
    centres = rng.normal(0, 4, (60, dims))
    values = centres[rng.integers(0, 60, rows)] + rng.normal(0, 1, (rows, dims))
    return values.astype(np.float32), np.arange(rows) // 200


@pytest.mark.kernel
@pytest.mark.parametrize(("rows", "dims", "picks"), [(9_000, 24, 300), (5_500, 70, 500)])
@pytest.mark.parametrize("shards", [1, 2, 5])
def test_counted_bytes_are_those_of_the_formula(rows, dims, picks, shards):
    features, groups = features_of(rows, dims)
    found, seconds = scale.counted(features, groups, picks, shards)
    formula = scale.bytes_of(rows, dims, picks, shards, found.fetched, found.proposed)
    assert formula == pytest.approx(found.total_bytes, rel=0.1)
    assert seconds > 0


@pytest.mark.kernel
def test_constants_of_one_number_of_shards_hold_for_others():
    features, groups = features_of(9_000, 24)
    work = scale.Work(9_000, 24, 600, 3)
    found, seconds = scale.counted(features, groups, 600, 3)
    constants = scale.constants_of(found, seconds, work)
    assert constants.looked_at > 0
    assert 1 <= constants.picks_per_block <= 600
    rows = scale.of_counted_bytes(features, groups, 600, [2, 4], constants)
    assert [row["shards"] for row in rows] == [2, 4]
    for row in rows:
        assert row["ratio"] == pytest.approx(1, abs=0.2)


@pytest.mark.kernel
def test_what_is_counted_is_the_selection_of_one_process():
    features, groups = features_of(5_000, 24)
    found, _ = scale.counted(features, groups, 200, 4)
    assert len(greedy_coreset(features, 200, groups=groups).centres) == 200
    assert found.calls["mark"] >= found.calls["candidates"]
    assert found.proposed >= 200


@pytest.mark.parametrize("shards", [1, 3, 30, 300, 1000])
@pytest.mark.parametrize(("rows", "picks"), [(2_000_000, 3_000), (500_000_000, 50_000)])
def test_the_formula_of_the_time_is_that_of_the_simulation(rows, picks, shards):
    work = scale.Work(rows, 152, picks, shards)
    formula = scale.selection_seconds(work, CONSTANTS, NETWORK)
    simulated = scale.simulated_seconds(work, CONSTANTS, NETWORK)
    assert formula == pytest.approx(simulated, rel=0.1)


def test_uneven_shards_take_as_long_as_their_slowest():
    work = scale.Work(500_000_000, 152, 20_000, 50)
    even = scale.simulated_seconds(work, CONSTANTS, NETWORK)
    uneven = scale.simulated_seconds(work, CONSTANTS, NETWORK, spread=0.1)
    assert even * 1.1 < uneven < even * 1.6


def test_messages_wait_for_the_link_and_the_processor_of_the_driver():
    network = scale.Network(latency_s=0.5, bytes_per_s=100.0, call_s=0.25)
    simulation = scale.Simulation(network, [1.0, 1.0])
    # Calls leave at 0.25 and 0.5, are sent until 1.25 and 2.25, and arrive half a second later;
    # shards work for 3 seconds, and answers of 2 seconds each arrive from 5.25 on.
    simulation.call(3.0, sent=100, received=200)
    assert simulation.now == pytest.approx(5.25 + 2 + 2)
    simulation.choose(1.0)
    assert simulation.now == pytest.approx(10.25)


@pytest.mark.parametrize("workers", [1, 7, 100, 3000])
@pytest.mark.parametrize("write_s", [0.001, 0.2])
def test_the_formula_of_a_large_predict_is_that_of_the_simulation(workers, write_s):
    formula = scale.predict_seconds(2_000, 30.0, write_s, workers)
    simulated = scale.simulated_predict(2_000, 30.0, write_s, workers, NETWORK)
    assert formula == pytest.approx(simulated, rel=0.1)


def test_each_part_of_a_predict_is_simulated_once():
    exact = scale.simulated_predict(5, 10.0, 0.0, 2, scale.Network(latency_s=0.0))
    assert exact == pytest.approx(30.0)
    alone = scale.simulated_predict(5, 10.0, 1.0, 5, scale.Network(latency_s=0.0))
    assert alone == pytest.approx(15.0)


def test_more_shards_take_less_memory_each_and_more_of_the_network():
    work = [scale.Work(10_000_000, 152, 10_000, shards) for shards in (10, 100)]
    few, many = (scale.shard_bytes(each) for each in work)
    assert few == pytest.approx(10 * many)
    sent = [scale.selection_bytes(each, CONSTANTS) for each in work]
    assert sent[1] > 2 * sent[0]
    features = 4 * 152 * 10_000_000
    assert sent[0] < 0.05 * features
    assert scale.driver_bytes(work[0], CONSTANTS) < 0.02 * features


def committed():
    return json.loads((QUALITY / "scale.json").read_text())


def test_the_committed_figures_keep_to_ten_percent():
    results = committed()["results"]
    assert [row["shards"] for row in results["bytes"]] == [1, 2, 4, 8]
    for row in (*results["bytes"], *results["selection"], *results["predict"]):
        assert row["ratio"] == pytest.approx(1, abs=0.1), row
    assert max(row["shards"] for row in results["selection"]) == 1000


def test_the_page_has_the_constants_that_were_measured():
    results = committed()["results"]
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    values = {**results["constants"], **results["measured_predict"], **results["network"]}
    for name, value in values.items():
        (found,) = re.findall(rf"^\| `{name}` \| ([0-9.e+-]+) \|", page, re.MULTILINE)
        assert float(found) == pytest.approx(value, rel=0.006), name
