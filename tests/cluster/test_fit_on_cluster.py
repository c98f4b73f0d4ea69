"""A fit on a real cluster of two machines, and what becomes of it when processes are killed."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import ray
from ray._private.internal_api import memory_summary

import patchbank
from patchbank import GraphCore, PatchCore
from patchbank.cluster.blocks import Block, on_node
from patchbank.cluster.features import FeaturesOnCluster
from patchbank.cluster.reading import Nodes
from patchbank.cluster.shards import end
from patchbank.core.coreset import greedy_coreset
from patchbank.errors import ClusterError, ImageError, ParameterError
from tests.cluster.conftest import STORE_BYTES
from tests.photographs import part, save

RECIPE = PatchCore(backbone="efficientnet_lite0", image_size=224, bank_rows=500)
OPTIONS = ["--backbone", "efficientnet_lite0", "--image-size", "224", "--bank-rows", "500"]
N = 26


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Photographs of parts, which are wider than high."""
    folder = tmp_path_factory.mktemp("parts")
    return [save(folder / f"{number}.png", part(number)) for number in range(N)]


@pytest.fixture(scope="module")
def one_machine(photographs, tmp_path_factory):
    """The file of a fit on one machine."""
    return content_of(RECIPE, photographs, tmp_path_factory.mktemp("one") / "one.patchbank")


def content_of(recipe, photographs, file, **where):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few photographs, and copies among them
        recipe.fit(photographs, **where).save(file)
    return file.read_bytes()


def test_the_file_is_that_of_one_machine_and_logs_name_node_and_shard(
    real_data, address, tmp_path, caplog
):
    photographs = sorted((real_data("mtd") / "train" / "good").iterdir())[:N]  # of many sizes
    recipe = RECIPE.with_changes(image_size=320)
    one_machine = content_of(recipe, photographs, tmp_path / "one.patchbank")
    with caplog.at_level(logging.INFO, "patchbank"):
        found = content_of(recipe, photographs, tmp_path / "two.patchbank", cluster=address)
    assert found == one_machine
    nodes = {node["NodeID"][:8] for node in ray.nodes() if node["Alive"]}
    lines = [record.getMessage() for record in caplog.records]
    shards = [line for line in lines if line.startswith("shard ")]
    assert len(shards) == 2
    assert {line.rsplit(" ", 1)[1] for line in shards} == nodes
    assert sum(line.startswith("block ") for line in lines) == 7


def test_whatever_else_is_learned_is_the_same_too(photographs, address, tmp_path):
    """One bank, a region, an image score that looks at patches again, graphs, series."""
    joint = RECIPE.with_changes(
        image_size=96, bank_rows=200, image_score="reweighted", banks="joint", start="random"
    )
    graph = GraphCore(backbone="efficientnet_lite0", image_size=96, bank_rows=150)
    for recipe, options in ((joint, {"ignore": (0, 0, 40, 30)}), (graph, {"groups": "series"})):
        one = content_of(recipe, photographs, tmp_path / "one.patchbank", **options)
        options["cluster"] = address
        assert content_of(recipe, photographs, tmp_path / "two.patchbank", **options) == one


def test_composable_coresets_cover_what_the_greedy_bank_does_and_are_that_on_one_machine(
    real_data, address, tmp_path, caplog
):
    photographs = sorted((real_data("mtd") / "train" / "good").iterdir())[:N]
    exact = RECIPE.with_changes(image_size=320)
    recipe = exact.with_changes(selection="composable")
    with caplog.at_level(logging.INFO, "patchbank"):
        content_of(recipe, photographs, file := tmp_path / "two.patchbank", cluster=address)
    content_of(recipe, photographs, tmp_path / "alone.patchbank")
    content_of(exact, photographs, tmp_path / "greedy.patchbank")
    composed, alone, greedy = (
        patchbank.load(tmp_path / f"{name}.patchbank").members[0].model.banks_of_maps
        for name in ("two", "alone", "greedy")
    )
    lines = [line for line in caplog.messages if line.startswith("composable coresets: covering")]
    assert len(lines) == len(composed)
    for mine, here, best in zip(composed, alone, greedy, strict=True):
        assert here.bank.tolist() == best.bank.tolist()
        assert mine.bank.tolist() != best.bank.tolist()
        assert mine.n_rows == best.n_rows
        assert best.radii[-1] / 2 <= mine.radii[-1] <= 4 * best.radii[-1]
    with pytest.raises(ParameterError, match="expected a detector whose bank can be truncated"):
        patchbank.load(file).with_bank_rows(100)


def test_blocks_whose_process_is_killed_are_read_again(
    photographs, one_machine, address, tmp_path, killing
):
    with killing("read_block", 2) as killed:
        found = content_of(RECIPE, photographs, tmp_path / "two.patchbank", cluster=address)
    assert len(killed) == 2
    assert found == one_machine


def test_shards_whose_process_is_killed_are_replaced(
    photographs, one_machine, address, tmp_path, killing, caplog
):
    with killing("ShardActor", 2) as killed:
        found = content_of(RECIPE, photographs, tmp_path / "two.patchbank", cluster=address)
    assert len(killed) == 2
    assert "died, and is replaced" in caplog.text
    assert found == one_machine


@pytest.mark.parametrize("ending", ["block", "selection"])
def test_a_fit_whose_driver_was_killed_goes_on(photographs, one_machine, address, tmp_path, ending):
    """Killed while photographs are read, or banks selected, of which there are several."""
    checkpoint, out = tmp_path / "checkpoint", tmp_path / "fit.patchbank"
    paths = [str(path) for path in photographs]
    arguments = ["fit", *paths, "--out", str(out), *OPTIONS]
    command = [
        *(sys.executable, "-W", "ignore", "-c", "from patchbank.cli.app import main; main()"),
        *(*arguments, "--cluster", address, "--checkpoint", str(checkpoint)),
    ]
    driver = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    least = {"block": 3, "selection": 1}[ending]
    while len(list(checkpoint.glob(f"*.{ending}"))) < least and driver.poll() is None:
        time.sleep(0.02)
    driver.send_signal(signal.SIGKILL)
    assert driver.wait() == -signal.SIGKILL
    assert not out.exists()
    kept = {file: file.stat().st_mtime_ns for file in checkpoint.iterdir()}
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert out.read_bytes() == one_machine
    assert sum(file.suffix == f".{ending}" for file in kept) >= least
    now = {file: file.stat().st_mtime_ns for file in checkpoint.iterdir()}
    finished = {file for file in kept if file.suffix in (".block", ".selection")}
    assert {file: now[file] for file in finished} == {file: kept[file] for file in finished}


def test_photographs_that_cannot_be_read_are_named_by_one_error(photographs, address, tmp_path):
    broken = [tmp_path / "first.jpg", tmp_path / "second.jpg"]
    for file in broken:
        file.write_bytes(b"no photograph")
    given = [broken[0], *photographs[:20], broken[1]]
    with pytest.raises(ImageError) as here:
        RECIPE.fit(given)
    with pytest.raises(ImageError) as there:
        RECIPE.fit(given, cluster=address)
    assert str(there.value) == str(here.value)
    assert "first.jpg" in str(there.value)
    assert "second.jpg" in str(there.value)


def test_features_of_twice_the_object_store_are_spilled_and_selected(address):
    d, n_rows, n_blocks = 160, 8192, 33
    assert n_rows * n_blocks * d * 4 >= 2 * STORE_BYTES

    def made(number):
        rng = np.random.default_rng(number)
        return rng.integers(0, 9, (n_rows, d)).astype(np.float32)

    node = ray.nodes()[0]["NodeID"]
    make = ray.remote(made).options(scheduling_strategy=on_node(node))
    blocks = [Block(make.remote(number), n_rows, node) for number in range(n_blocks)]
    features = FeaturesOnCluster.of(blocks, d, actors := [])
    found = features.selected(60, start=None, radius=None, groups=None, sizes=(), on_progress=None)
    end(actors)
    assert "Spilled" in memory_summary(stats_only=True)
    one = greedy_coreset(np.concatenate([made(number) for number in range(n_blocks)]), 60)
    assert found.centres.tolist() == one.centres.tolist()
    np.testing.assert_array_equal(found.radii, one.radii)


def test_photographs_are_read_where_gpus_are(cluster):
    """Ray takes a node's word for its GPUs, so that a test needs none."""
    with pytest.raises(ClusterError, match="expected a node with a core and a GPU, got none"):
        Nodes.alive(with_gpus=True)
    node = cluster.add_node(num_cpus=7, num_gpus=2, object_store_memory=STORE_BYTES)
    cluster.wait_for_nodes()
    try:
        nodes = Nodes.alive(with_gpus=True)
        assert (nodes.names, nodes.gpus) == ((node.node_id,), (2,))
        assert (nodes.n_at_once, nodes.cores_of_block) == (2, 2)
        assert nodes.shared_out(3) == [node.node_id] * 3
        everywhere = Nodes.alive()
        assert (everywhere.n_at_once, everywhere.cores_of_block) == (9, 1)
    finally:
        cluster.remove_node(node)


def test_blocks_are_shared_out_by_gpus_and_not_by_cores():
    nodes = Nodes(("a", "b"), cores=(4, 64), gpus=(3, 1))
    assert nodes.shared_out(8) == ["a"] * 6 + ["b"] * 2
    assert nodes.cores_of_block == 1


@pytest.mark.parametrize("device", ["cuda:1", "gpu"])
def test_a_gpu_of_a_cluster_is_not_chosen_by_its_number(photographs, device):
    with pytest.raises(ParameterError, match="expected auto, cpu or cuda on a cluster"):
        RECIPE.fit(photographs, cluster="local", device=device)
