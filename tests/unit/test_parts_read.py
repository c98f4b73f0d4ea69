"""Photographs that are read in parts, joined, are known as if they had been read at once."""

from __future__ import annotations

import numpy as np
import pytest

from patchbank import PatchCore
from patchbank.backbones import Engine
from patchbank.core.scores.series import FEWEST_PHOTOGRAPHS
from patchbank.errors import ImageError
from patchbank.images.source import image_source
from patchbank.methods import METHODS
from patchbank.runtime.devices import HOST
from patchbank.runtime.progress import NullProgress
from patchbank.training.fit import open_backbone_of
from patchbank.training.groups import AUTO, NONE, SERIES, GroupSearch, labels_of
from patchbank.training.reading import Reading, read_here, read_part
from tests.photographs import part

RECIPE = PatchCore(backbone="efficientnet_lite0", image_size=64, rotations=1)
METHOD = METHODS["patchcore"]


@pytest.fixture(scope="module")
def backbone():
    return open_backbone_of(RECIPE, HOST, Engine())


def photographs(n):
    return [image_source(part(seed)) for seed in range(n)]


def searched(sources, groups):
    return GroupSearch(sources, labels_of(groups, sources))


def test_parts_of_the_photographs_are_known_as_all_of_them(backbone):
    sources = photographs(FEWEST_PHOTOGRAPHS)
    here, joined = searched(sources, SERIES), searched(sources, SERIES)
    reading = Reading.of(METHOD, RECIPE, here, None)
    assert (reading.with_contents, reading.with_patches) == (True, True)
    learner = reading.learner(len(sources), NullProgress(), HOST)
    geometries = read_here(reading, backbone, learner, here, NullProgress())
    assert len(geometries) == len(sources)
    assert len(learner.collected.images) == len(sources) * len(RECIPE.copies)

    features, begin = [], 0
    for end in (3, 4, len(sources)):
        own = reading.learner(end - begin, NullProgress(), HOST)
        read = read_part(reading, backbone, own, sources[begin:end], NullProgress())
        assert read.geometries == geometries[begin:end]
        assert read.unread == []
        assert [image.photograph for image in own.collected.images if not image.copy] == list(
            range(end - begin)
        )
        joined.join(read.patches)
        features.append(own.features)
        joined.contents.contents += read.contents.contents
        begin = end
    np.testing.assert_array_equal(np.concatenate(features), learner.features)
    np.testing.assert_array_equal(joined.contents.digests, here.contents.digests)
    assert joined.contents.traits == here.contents.traits
    assert len(joined._patches.patches) == len(sources)
    for found, expected in zip(joined._patches.patches, here._patches.patches, strict=True):
        np.testing.assert_array_equal(found, expected)
    joined.contents.names = here.contents.names
    assert joined.grouping().lines == here.grouping().lines


def test_what_is_known_already_is_not_read_again(backbone):
    sources = photographs(3)
    search = searched(sources, AUTO)
    reading = Reading.of(METHOD, RECIPE, search, None)
    assert (reading.with_contents, reading.with_patches) == (True, False)  # too few for a series
    learner = reading.learner(3, NullProgress(), HOST)
    read_here(reading, backbone, learner, search, NullProgress())
    assert len(search.contents.contents) == 3
    again = Reading.of(METHOD, RECIPE, search, None)
    assert not again.with_contents
    read = read_part(
        again, backbone, again.learner(3, NullProgress(), HOST), sources, NullProgress()
    )
    assert (read.contents.contents, read.patches.patches) == ([], [])
    assert len(read.geometries) == 3
    many = searched(photographs(FEWEST_PHOTOGRAPHS), SERIES)
    assert many.takes_patches
    assert not searched(many.sources, NONE).takes_patches
    assert not searched(many.sources[1:], SERIES).takes_patches


def test_photographs_that_cannot_be_read_are_told_of_all_at_once(backbone):
    sources = photographs(5)
    sources[1] = image_source(b"no photograph")
    sources[3] = image_source(b"\x89PNG nor this")
    search = searched(sources, NONE)
    reading = Reading.of(METHOD, RECIPE, search, None)
    learner = reading.learner(5, NullProgress(), HOST)
    read = read_part(reading, backbone, learner, sources, NullProgress())
    assert [type(error) for error in read.unread] == [ImageError, ImageError]
    assert len(read.geometries) == 1  # of what came before; the others are decoded only
    assert {image.photograph for image in learner.collected.images} == {0}
    assert len(read.contents.contents) == 3
    with pytest.raises(ImageError) as caught:
        read_here(
            reading, backbone, reading.learner(5, NullProgress(), HOST), search, NullProgress()
        )
    assert all(str(error) in str(caught.value) for error in read.unread)
