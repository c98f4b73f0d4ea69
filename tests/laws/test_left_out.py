"""Leaving a photograph out, whole way through PaDiM and SPADE: the same as never having seen it."""

import numpy as np
import pytest

from patchbank.methods import METHODS, PadimSettings, SpadeSettings
from patchbank.methods.base import TrainingImage
from patchbank.methods.padim import learner as padim_learner
from tests.fitting import fit_on_features
from tests.oracles import padim as padim_oracle
from tests.oracles import spade as spade_oracle

GRIDS = [(6, 8), (6, 8), (4, 10), (7, 5)]


def maps(rng, grid):
    """Two layers of small whole numbers; the deeper one is coarser, and not by a whole factor."""
    h, w = grid
    shapes = (3, h, w), (2, h // 2, w // 2)
    return [rng.integers(-4, 5, shape).astype(np.float32) for shape in shapes]


def with_copies(rng, grids=GRIDS):
    """Photographs with none, one or two copies that are partly outside."""
    examples = []
    for number, grid in enumerate(grids):
        examples.append(TrainingImage(maps(rng, grid), number))
        for _ in range(number % 3):
            inside = rng.random(grid) < 0.6
            examples.append(TrainingImage(maps(rng, grid), number, inside))
    return examples


def fitted(name, settings, examples):
    return fit_on_features(METHODS[name], settings, iter(examples), len(examples))


def without(examples, number):
    """The same examples but those of one photograph, numbered anew."""
    others = [e for e in examples if e.photograph != number]
    return [TrainingImage(e.maps, e.photograph - (e.photograph > number), e.inside) for e in others]


def nearest_layers(example):
    """(h, w, d): what PaDiM embeds with patches of one cell and nearest alignment."""
    first, second = example.maps
    grid, other = first.shape[1:], second.shape[1:]
    cells = [padim_oracle.cell_at(grid, *cell, other) for cell in np.ndindex(*grid)]
    deep = np.stack([second[:, row, column] for row, column in cells])
    return np.concatenate([first.transpose(1, 2, 0), deep.reshape(*grid, -1)], axis=2)


@pytest.mark.parametrize("patch_stride", [1, 2])
@pytest.mark.parametrize("few", [2, 4])
def test_padim_scores_a_photograph_as_if_it_had_not_been_there(rng, few, patch_stride, monkeypatch):
    monkeypatch.setattr(padim_learner, "BLOCK_BYTES", 8 * 4000)  # a few positions a block
    examples = with_copies(rng, GRIDS[:few] if few > 2 else GRIDS[1:3])
    settings = PadimSettings(
        patch_size=1, patch_stride=patch_stride, alignment="nearest", image_score="max"
    )
    kept = slice(None, None, patch_stride)
    embeddings = [nearest_layers(example)[kept, kept] for example in examples]
    insides = [
        np.ones(e.shape[:2], bool) if x.inside is None else x.inside[kept, kept]
        for e, x in zip(embeddings, examples, strict=True)
    ]

    left_out = fitted("padim", settings, examples).left_out

    photographs = [example.photograph for example in examples]
    for number, scored in enumerate(left_out):
        grid = padim_oracle.left_out_grid(embeddings, photographs, insides, number, 0.01)
        np.testing.assert_allclose(scored.patch_scores, grid, rtol=1e-5, atol=1e-5)
        assert scored.image_score == pytest.approx(grid.max(), rel=1e-5)


@pytest.mark.parametrize("patch_stride", [1, 2])
def test_padim_leaves_out_what_a_fit_without_it_never_saw(rng, patch_stride):
    """A photograph whose grid is the first one's has the very same positions in a new fit."""
    examples = with_copies(rng, [(6, 8)] * 4)
    settings = PadimSettings(patch_stride=patch_stride, top_fraction=0.2)
    left_out = fitted("padim", settings, examples).left_out
    for number in range(4):
        anew = fitted("padim", settings, without(examples, number)).model
        original = next(e for e in examples if e.photograph == number)
        expected = anew.score(original.maps)
        np.testing.assert_allclose(
            left_out[number].patch_scores, expected.patch_scores, rtol=1e-4, atol=1e-4
        )
        assert left_out[number].image_score == pytest.approx(expected.image_score, rel=1e-4)
        assert left_out[number].stride == patch_stride


@pytest.mark.parametrize("fusion", ["mean", "concatenate"])
@pytest.mark.parametrize("image_score", ["pooled", "smooth_max"])
def test_spade_leaves_out_what_a_fit_without_it_never_saw(rng, fusion, image_score):
    examples = with_copies(rng)
    settings = SpadeSettings(n_images=2, n_neighbours=2, fusion=fusion, image_score=image_score)
    left_out = fitted("spade", settings, examples).left_out
    assert len(left_out) == 4
    for number in range(4):
        anew = fitted("spade", settings, without(examples, number)).model
        original = next(e for e in examples if e.photograph == number)
        expected = anew.score(original.maps)
        np.testing.assert_allclose(
            left_out[number].patch_scores, expected.patch_scores, rtol=1e-5, atol=1e-5
        )
        assert left_out[number].image_score == pytest.approx(expected.image_score, rel=1e-5)


@pytest.mark.parametrize("n_images", [3, 7])
def test_spade_does_what_its_definition_says(rng, n_images):
    examples = with_copies(rng)
    query = maps(rng, (5, 6))
    settings = SpadeSettings(n_images=n_images, n_neighbours=2, image_score="pooled")
    deepest_only = settings.with_changes(pool_deepest_only=True)

    scored, first_alone = (
        fitted("spade", chosen, examples).model.score(query) for chosen in (settings, deepest_only)
    )

    seen = [pixels for pixels in map(pixels_inside, examples) if all(map(len, pixels))]
    pooled = [pixels[1].mean(axis=0) for pixels in seen]
    found, distances = spade_oracle.similar(pooled, query[1].mean(axis=(1, 2)), n_images)
    first, second = (
        spade_oracle.pixel_grid(
            query[layer].transpose(1, 2, 0),
            np.concatenate([seen[number][layer] for number in found]),
            2,
        )
        for layer in (0, 1)
    )
    assert scored.image_score == pytest.approx(np.mean(distances), rel=1e-5)
    assert first_alone.image_score == scored.image_score
    np.testing.assert_allclose(first_alone.patch_scores, first, rtol=1e-5)
    ends = np.ix_([0, -1], [0, -1])  # where the coarser grid is enlarged, nothing is mixed there
    expected = (first[ends] + second[ends]) / 2
    np.testing.assert_allclose(scored.patch_scores[ends], expected, rtol=1e-5)


def pixels_inside(example):
    """[(m, c), ...]: of each layer the pixels that are wholly inside."""
    return [
        np.array(
            [
                m[:, row, column]
                for row, column in np.ndindex(*m.shape[1:])
                if is_inside(example.inside, m.shape[1:], row, column)
            ],
            dtype=np.float64,
        )
        for m in example.maps
    ]


def is_inside(inside, grid, row, column):
    """Whether all cells of the mask that a cell of another grid overlaps are inside."""
    if inside is None:
        return True
    (h, w), (other_h, other_w) = inside.shape, grid
    enlarged = np.kron(inside, np.ones((other_h, other_w), bool))
    return enlarged[row * h : (row + 1) * h, column * w : (column + 1) * w].all()


def test_a_copy_that_shows_no_whole_cell_is_passed_over(rng):
    photographs = [TrainingImage(maps(rng, (6, 8)), number) for number in range(2)]
    hidden = TrainingImage(maps(rng, (6, 8)), 1, np.zeros((6, 8), bool))
    one, other = (
        fitted("spade", SpadeSettings(), examples).model.tensors()
        for examples in (photographs, [*photographs, hidden])
    )
    assert all((one[name] == other[name]).all() for name in one)


@pytest.mark.torch
@pytest.mark.parametrize(("name", "chosen"), [("padim", PadimSettings), ("spade", SpadeSettings)])
def test_tensors_give_what_arrays_give(name, chosen):
    import torch

    examples = with_copies(np.random.default_rng(0))
    tensors = [
        TrainingImage([torch.from_numpy(m) for m in e.maps], e.photograph, e.inside)
        for e in examples
    ]
    ours, theirs = (fitted(name, chosen(), given) for given in (examples, tensors))
    for array, tensor in zip(ours.left_out, theirs.left_out, strict=True):
        np.testing.assert_allclose(array.patch_scores, tensor.patch_scores, rtol=1e-4, atol=1e-4)
    one = ours.model.score(examples[0].maps).patch_scores
    other = theirs.model.score(tensors[0].maps).patch_scores
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
