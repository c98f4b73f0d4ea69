"""A whole machine of a real cluster is lost while it works: the result is the same."""

from __future__ import annotations

import time

import pyarrow.parquet as parquet
import pytest
import ray

from patchbank import load, predict_to_parquet
from patchbank.cluster.workers import Workers
from tests.cluster.tables import write_table
from tests.cluster.test_fit_on_cluster import RECIPE, content_of

pytestmark = pytest.mark.ray

N = 26


@pytest.fixture(scope="module")
def photographs(real_data):
    return sorted((real_data("mtd") / "train" / "good").iterdir())[:N]


@pytest.mark.parametrize(
    "moment", [r"block \d+ of \d+: \d+ rows on node NODE", r"shard \d+: \d+ rows on node NODE"]
)
def test_a_fit_whose_machine_is_lost_gives_the_same_file(
    photographs, address, losing, tmp_path, moment
):
    recipe = RECIPE.with_changes(image_size=448)
    losing.at(moment)
    found = content_of(recipe, photographs, tmp_path / "two.patchbank", cluster=address)
    assert losing.is_lost
    assert found == content_of(recipe, photographs, tmp_path / "one.patchbank")


def test_predictions_whose_machine_is_lost_are_the_same(address, losing, tmp_path):
    write_table(tmp_path)
    detector, table = load(tmp_path / "d.patchbank"), tmp_path / "t.parquet"
    predict_to_parquet(detector, table, tmp_path / "one", cluster=address)

    class Lost:
        def task(self, title, total):
            return self

        def __enter__(self):
            return lambda steps: losing.lose()

        def __exit__(self, *_):
            pass

        def note(self, text):
            pass

    predict_to_parquet(detector, table, tmp_path / "two", cluster=address, progress=Lost())
    assert losing.is_lost
    assert parquet.read_table(tmp_path / "two").equals(parquet.read_table(tmp_path / "one"))


def test_blocks_of_a_lost_machine_go_to_workers_that_have_nothing_left(losing, tmp_path):
    """Nothing comes back from those any more, and none starts anew where there is no machine."""
    lost, has_begun, n = losing.node.node_id, tmp_path / "begun", 12

    def work(number):
        if ray.get_runtime_context().get_node_id() == lost:
            has_begun.touch()
            time.sleep(600)
        while not has_begun.exists():
            time.sleep(0.05)
        return number

    died, found = [], []
    workers = Workers(work, lambda machine, block: died.append(block))
    for block, result in workers.results(iter(range(n)), 3):
        assert block == result
        found.append(block)
        if len(found) == n - 2:  # the other two are with that machine
            losing.lose()
    assert sorted(found) == list(range(n))
    assert len([block for block in died if block is not None]) == 2
