"""Edges of the methods that photographs seldom reach, on features of a few hand-made patches."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from patchbank.core import neighbours
from patchbank.methods import METHODS, PadimSettings, PatchEmbedding, TrainingImage, _check_method
from patchbank.methods.growing_array import GrowingArray
from patchbank.methods.memory_bank.learner import BankLearner
from patchbank.methods.memory_bank.model import BankModel
from patchbank.runtime.devices import HOST
from patchbank.runtime.progress import NullProgress
from patchbank.settings import part_of
from patchbank.settings.declaration import setting
from patchbank.settings.rules import Integer
from tests.fitting import fit_on_features


def bank_settings(**changes):
    method = METHODS["patchcore"]
    return part_of(method.settings(**changes), method.parameters)


def bank_model(bank, **changes):
    origins = np.zeros((len(bank), 2), np.int32)
    radii = np.ones(len(bank), np.float32)
    return BankModel(
        bank_settings(**changes), PatchEmbedding.of, bank, origins, radii, 1.0, device=HOST
    )


@pytest.mark.parametrize("image_score", ["reweighted", "hcw"])
def test_a_left_out_photograph_is_scored_as_by_a_bank_that_never_had_its_rows(image_score):
    rng = np.random.default_rng(0)
    bank = rng.standard_normal((12, 4)).astype(np.float32)
    own = np.arange(12) % 3 == 0
    bank[own] = bank[1] + rng.normal(0, 1e-2, (4, 4))  # nearer to a neighbour than all others
    patches = bank[[1, 2]] + np.float32(0.5)
    settings = {"image_score": image_score, "n_reweight_neighbours": 4}
    whole, without = bank_model(bank, **settings), bank_model(bank[~own], **settings)
    embedding = PatchEmbedding(patches[None])
    distances, _ = without.exact_index.nearest(patches)
    found = whole._scored(embedding, patches, distances, own)
    expected = without._scored(embedding, patches, distances)
    assert found.image_score == expected.image_score
    assert found.image_score != whole._scored(embedding, patches, distances).image_score


def test_an_image_that_is_masked_all_over_scores_zero_in_single_precision():
    model = bank_model(np.eye(3, dtype=np.float32))
    masked = PatchEmbedding(np.ones((2, 5, 3), np.float32), np.zeros((2, 5), bool))
    scores = model._nothing_scored(masked)
    assert scores.patch_scores.dtype == np.float32
    assert scores.patch_scores.shape == (2, 5)
    assert not scores.patch_scores.any()


@pytest.mark.approximate
@pytest.mark.parametrize("share_of_bank", [0.25, 1.0])
def test_recall_is_measured_on_patches_outside_the_bank(share_of_bank, monkeypatch):
    rng = np.random.default_rng(0)
    maps = [rng.standard_normal((3, 5, 8)).astype(np.float32) for _ in range(4)]
    asked = []
    recall = neighbours.recall

    def watched(index, exact, queries):
        asked.append((exact.bank, queries))
        return recall(index, exact, queries)

    monkeypatch.setattr(neighbours, "recall", watched)
    settings = bank_settings(
        index="hnsw", bank_limit=int(160 * share_of_bank), patch_size=1, patch_stride=1
    )
    learner = BankLearner(
        settings,
        lambda maps: PatchEmbedding(maps[0].transpose(1, 2, 0)),
        4,
        NullProgress(),
        HOST,
    )
    for number, m in enumerate(maps):
        learner.add(TrainingImage([m], number))
    learner.fit()
    [(bank, queries)] = asked
    shared = {row.tobytes() for row in bank} & {row.tobytes() for row in queries}
    assert len(queries) == (120 if share_of_bank < 1 else 160)
    assert len(shared) == (0 if share_of_bank < 1 else 160)


def test_a_larger_grid_has_the_gaussians_of_the_nearest_positions():
    rng = np.random.default_rng(0)
    method = METHODS["padim"]
    settings = method.settings(patch_size=1, patch_stride=1)
    images = [rng.standard_normal((4, 2, 3)).astype(np.float32) for _ in range(6)]
    learned = [TrainingImage([maps], number) for number, maps in enumerate(images)]
    model = fit_on_features(method, settings, iter(learned), 6).model
    new = rng.standard_normal((4, 2, 3)).astype(np.float32)
    small = model.score([new]).patch_scores
    large = model.score([new.repeat(2, axis=1).repeat(3, axis=2)]).patch_scores
    assert small.shape == (2, 3)
    np.testing.assert_allclose(large, small.repeat(2, axis=0).repeat(3, axis=1), rtol=1e-5)


def test_an_array_without_rows_is_of_single_precision_already():
    assert GrowingArray(2).array.dtype == np.float32


@dataclass(frozen=True, kw_only=True)
class TakesAnOption(PadimSettings):
    device: int = setting(1, "A name that `fit` has.", rule=Integer(1), group="x")


def test_a_setting_with_the_name_of_an_option_of_fit_is_refused():
    entry = replace(METHODS["padim"], name="mine", settings=TakesAnOption)
    with pytest.raises(TypeError, match="another name of the setting 'device', which is an option"):
        _check_method("mine", entry)
    assert _check_method("padim", METHODS["padim"]) is METHODS["padim"]
