"""What a cluster cannot do is refused in one line, before work begins; blocks in files."""

from __future__ import annotations

import hashlib
import json
import pickle
from typing import NamedTuple

import numpy as np
import pytest
import safetensors.numpy

from patchbank import GraphCore, PaDiM, PatchCore
from patchbank.backbones import Engine
from patchbank.cluster import checkpoint
from patchbank.cluster.facts import FactsReader, FactsWriter
from patchbank.cluster.fitting import reader_on
from patchbank.core.coreset import greedy_coreset
from patchbank.core.spatial.box import Box
from patchbank.errors import DataError, ParameterError
from patchbank.images.roi import RegionOfInterest
from patchbank.images.small_pictures import PictureScale
from patchbank.images.source import image_source
from patchbank.methods import METHODS
from patchbank.runtime.devices import HOST
from patchbank.runtime.progress import NullProgress
from patchbank.training.fit import open_backbone_of
from patchbank.training.reading import PartRead, Reading, read_here, read_part
from tests.command_line import run
from tests.photographs import part, save


def refused(recipe, **options):
    given = {"device": "cpu", "engine": Engine(), **options}
    asked = [(METHODS[recipe.METHOD], recipe)]
    with pytest.raises((ParameterError, DataError)) as said, reader_on("local", asked, **given):
        pass
    assert "\n" not in str(said.value)
    return str(said.value)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"projection": "sparse"}, "projection: expected 'none' on a cluster, got 'sparse'"),
        ({"start": "farthest"}, "start: expected 'mean' or 'random' or 'first' on a cluster"),
        ({"n_neighbours": 3}, "n_neighbours: expected 1 on a cluster, got 3"),
        ({"selection": "random"}, "selection: expected 'greedy' or 'composable' on a "),
    ],
)
def test_settings_that_need_all_patches_in_one_place_are_refused(change, named):
    assert refused(PatchCore(**change)).startswith(named)


def test_methods_that_need_all_features_are_refused(tmp_path, capsys):
    said = refused(PaDiM())
    assert said.startswith("method: expected patchcore or graphcore on a cluster, got 'padim'")
    file = save(tmp_path / "part.png", part(1))
    arguments = ("--out", tmp_path / "x.patchbank", "--method", "padim", "--cluster", "local")
    status, _, shown = run(capsys, "fit", file, *arguments)
    assert status == 2
    assert said in shown
    assert refused(GraphCore(start="farthest")).startswith("start: ")


def test_a_network_in_int8_and_a_checkpoint_that_is_no_folder_are_refused(tmp_path):
    engine = Engine("onnxruntime", "int8")
    assert refused(PatchCore(), engine=engine).startswith("precision: expected float32 or bfloat16")
    file = save(tmp_path / "part.png", part(1))
    assert refused(PatchCore(), checkpoint=file).startswith("checkpoint: expected a folder, got")


def test_without_a_cluster_photographs_are_read_here(tmp_path):
    asked, terms = [(METHODS["padim"], PaDiM())], {"device": "cpu", "engine": Engine()}
    with reader_on(None, asked, **terms) as reader:
        assert reader is read_here
    with (
        pytest.raises(ParameterError, match="checkpoint: expected together with cluster"),
        reader_on(None, asked, **terms, checkpoint=tmp_path),
    ):
        pass


def test_a_block_in_a_file_is_read_again_unless_it_is_damaged_or_another(tmp_path):
    features = np.arange(15, dtype=np.float32).reshape(5, 3)
    file = tmp_path / "one.block"
    checkpoint.keep_block(file, features, PartRead())
    found, told = checkpoint.kept_block(file)
    np.testing.assert_array_equal(found, features)
    assert told == PartRead()
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole[:40], b"", whole[:-5] + b"xxxxx"):
        file.write_bytes(damaged)
        assert checkpoint.kept_block(file) is None
    assert checkpoint.kept_block(tmp_path / "none.block") is None


@pytest.mark.parametrize(
    "recipe",
    [
        PatchCore(backbone="efficientnet_lite0", image_size=96),
        PatchCore(
            backbone="efficientnet_lite0", image_size=96, position="canonical", part_size=(40, 60)
        ),
        PatchCore(backbone="efficientnet_lite0", tiles=True),
    ],
)
def test_whatever_is_known_of_photographs_is_read_again(tmp_path, recipe):
    sources = [image_source(part(seed)) for seed in range(3)]
    roi = RegionOfInterest(np.pad(np.ones((40, 70), np.bool_), ((3, 29), (0, 34))))
    region = None if recipe.position == "canonical" else roi
    pictures = PictureScale(64)
    reading = Reading("patchcore", recipe, region, pictures, True, True)
    learner = reading.learner(3, NullProgress(), HOST)
    extractor = open_backbone_of(recipe, HOST, Engine())
    read = read_part(reading, extractor, learner, sources, NullProgress())
    file = tmp_path / "one.block"
    checkpoint.keep_block(file, learner.features, (read, learner.collected))
    features, (again, collected) = checkpoint.kept_block(file)
    np.testing.assert_array_equal(features, learner.features)
    assert collected.n_rows == len(features)
    assert [one.photograph for one in again.geometries] == [(72, 104)] * 3
    assert again.contents.traits == read.contents.traits
    np.testing.assert_array_equal(again.contents.digests, read.contents.digests)


def test_what_was_shared_is_shared_again_and_nothing_else_is_the_same():
    box = Box(1, 2, 30, 40)
    told = [box, (box, Box(1, 2, 30, 40)), b"\0\1", np.arange(3), slice(2, 5), None, 0.5, "ä"]
    writer = FactsWriter()
    text = json.dumps(writer.as_json(told))
    found = FactsReader(writer.arrays).read(json.loads(text))
    np.testing.assert_array_equal(found.pop(3), told.pop(3))
    assert found == told
    assert found[0] is found[1][0]
    assert found[0] is not found[1][1]
    assert [type(one) for one in found] == [type(one) for one in told]


class Unknown(NamedTuple):
    photograph: int


@pytest.mark.parametrize("told", [Unknown(3), {"a": 1}, [pickle.Unpickler], (image_source,), {1}])
def test_a_block_of_anything_but_facts_is_not_written(tmp_path, told):
    with pytest.raises(TypeError, match="expected facts of photographs, got "):
        checkpoint.keep_block(tmp_path / "one.block", np.zeros((1, 2), np.float32), told)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        '{"Unpickler": []}',
        '{"PartRead": [1, 2, 3, 4, 5, 6]}',
        '{"list": 7}',
        '{"tuple": [3, {"array": "0"}]}',
        '{"tuple": [{"array": "0"}]}',
        '{"array": "99"}',
        '{"again": 0}',
        '{"list": [], "tuple": []}',
        "[1]",
        "nothing",
    ],
)
def test_a_block_that_asks_for_anything_but_facts_is_not_read(tmp_path, text):
    arrays = {
        checkpoint.FACTS: np.frombuffer(text.encode(), np.uint8),
        "0": np.zeros((1, 2), np.float32),
    }
    content = safetensors.numpy.save(arrays)
    file = tmp_path / "hostile.block"
    file.write_bytes(checkpoint.MAGIC + hashlib.sha256(content).digest() + content)
    assert checkpoint.kept_block(file) is None
    assert checkpoint.kept_selection(file) is None


def test_a_selection_in_a_file_is_read_again_unless_it_is_damaged_or_a_block(tmp_path):
    features = np.random.default_rng(1).normal(size=(60, 3)).astype(np.float32)
    groups = np.arange(60) // 20
    file = tmp_path / "one.selection"
    for options in ({"groups": groups, "sizes": [8, 16]}, {}):
        coreset = greedy_coreset(features, 30, **options)
        checkpoint.keep_selection(file, coreset)
        found = checkpoint.kept_selection(file)
        for name in ("centres", "radii", "min_distance_to_other_groups"):
            np.testing.assert_array_equal(getattr(found, name), getattr(coreset, name))
        assert found.radius_before is None
        known = coreset.min_distance_to_other_groups_at
        assert list(found.min_distance_to_other_groups_at) == list(known)
        for size, distances in known.items():
            np.testing.assert_array_equal(found.min_distance_to_other_groups_at[size], distances)
    file.write_bytes(file.read_bytes()[:-1])
    assert checkpoint.kept_selection(file) is None
    checkpoint.keep_block(file, features, PartRead())
    assert checkpoint.kept_selection(file) is None
    assert checkpoint.kept_selection(tmp_path / "none.selection") is None


def test_another_photograph_has_another_state(tmp_path):
    file = save(tmp_path / "part.png", part(1))
    first = checkpoint.state_of(image_source(file))
    assert checkpoint.state_of(image_source(file)) == first
    save(file, part(2))
    pixels = [image_source(part(seed)) for seed in (1, 1, 2)]
    states = [checkpoint.state_of(source) for source in pixels]
    assert checkpoint.state_of(image_source(file)) != first
    assert states[0] == states[1] != states[2]
    assert checkpoint.state_of(image_source(file.read_bytes())) != first
    assert "missing.png" in checkpoint.state_of(image_source(tmp_path / "missing.png"))
