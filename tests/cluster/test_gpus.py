"""A cluster whose machine has a GPU: photographs are read on it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from patchbank import PatchCore, load
from tests.networks import FAMILIES, weights_file
from tests.photographs import part, save

pytestmark = [pytest.mark.ray, pytest.mark.gpu]

RESNET = FAMILIES["ResNet"]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Photographs of parts, which are wider than high; more than one block of them."""
    folder = tmp_path_factory.mktemp("parts")
    return [save(folder / f"{number}.png", part(number)) for number in range(40)]


@pytest.mark.parametrize("banks", ["joint", "per_map"])
def test_a_fit_on_the_gpus_of_a_cluster_is_that_of_one_process(photographs, tmp_path, banks):
    recipe = PatchCore(
        backbone=RESNET,
        weights=weights_file(tmp_path, RESNET),
        image_size=160,
        bank_rows=300,
        banks=banks,
    )
    files = tmp_path / "one.patchbank", tmp_path / "cluster.patchbank"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # copies among the photographs
        for file, cluster in zip(files, (None, "local"), strict=True):
            recipe.fit(photographs, device="cuda", cluster=cluster).save(file)
    one, other = (load(file, device="cuda") for file in files)
    scores = (found.calibration.image_scores for found in (one, other))
    np.testing.assert_allclose(*scores, rtol=1e-3)  # shards select on processors
    for number in range(40, 44):
        ours, theirs = (
            found.predict(part(number, defect=number % 2 * 8)) for found in (one, other)
        )
        assert ours.score == pytest.approx(theirs.score, rel=1e-3)
