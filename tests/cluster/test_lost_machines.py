"""A whole machine of a real cluster is lost while it works: the result is the same."""

from __future__ import annotations

import pyarrow.parquet as parquet
import pytest

from patchbank import load, predict_to_parquet
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

    predict_to_parquet(detector, table, tmp_path / "two", cluster=address, progress=Lost())
    assert losing.is_lost
    assert parquet.read_table(tmp_path / "two").equals(parquet.read_table(tmp_path / "one"))
