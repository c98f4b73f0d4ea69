"""Series: neighbours in an order that make each other's left-out scores lower."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchbank import PatchCore
from patchbank.core.scores import series as blocks_of_series
from patchbank.core.scores.series import LeftOutTable, find_blocks
from patchbank.errors import PhotographWarning
from patchbank.images.capture_time import capture_times
from patchbank.images.source import image_source
from patchbank.training import series
from patchbank.training.series import PhotographPatches, drawn_from, natural_key, orders_of
from tests.photographs import part, parts, save

RECIPE = PatchCore(
    backbone="efficientnet_lite0", image_size=64, bank_limit=200, false_alarm_rate=0.2
)


def patches_of(sizes, seed=0, likeness=0.2, s=16, d=12):
    """(n, s, d): photographs of one scene in each of the series of given sizes."""
    rng = np.random.default_rng(seed)
    scenes = rng.normal(size=(len(sizes), s, d))
    of_photographs = np.repeat(scenes, sizes, axis=0)
    noise = rng.normal(size=of_photographs.shape)
    return (of_photographs + likeness * noise).astype(np.float32)


def blocks_in(patches, copies=None):
    n = len(patches)
    table = LeftOutTable.of(patches, 16, np.arange(n) if copies is None else copies)
    return find_blocks(patches, table, np.arange(n), np.random.default_rng(0))


@pytest.mark.parametrize("sizes", [[5] * 12, [3, 7, 5, 9, 2, 6, 4, 8, 5, 3, 6, 7], [2] * 20])
def test_blocks_end_where_series_end(sizes):
    found = blocks_in(patches_of(sizes))
    assert found is not None
    of_photographs = np.repeat(np.arange(len(sizes)), sizes)
    # A block may hold several series; hardly a series lies in several blocks.
    split = [s for s in range(len(sizes)) if len(set(found.groups[of_photographs == s])) > 1]
    assert len(split) <= 1
    assert len(found.sizes) >= len(sizes) / 2.5
    assert found.rise > 1


def test_scores_in_blocks_are_those_of_photographs_without_a_series():
    """Left out one at a time, five frames of a scene score as one; in blocks as new scenes do."""
    sizes = [5] * 12
    patches, alone = patches_of(sizes), patches_of([1] * 60)
    found = blocks_in(patches)
    table = LeftOutTable.of(patches, 16, np.arange(60))
    one_at_a_time = table.log_scores(np.arange(60)).mean()
    in_blocks = table.log_scores(found.groups).mean()
    new = LeftOutTable.of(alone, 16, np.arange(60)).log_scores(np.arange(60)).mean()
    assert one_at_a_time < new - 0.5
    assert in_blocks > new - 0.1


@pytest.mark.parametrize("n", [20, 45, 80])
def test_photographs_in_no_order_are_no_series(n):
    """Also where each has its twin somewhere."""
    found = []
    for seed in range(25):
        order = np.random.default_rng(seed).permutation(n)
        found.append(blocks_in(patches_of([1] * n, seed)))
        found.append(blocks_in(patches_of([2] * (n // 2) + [1] * (n % 2), seed)[order]))
    assert sum(blocks is not None for blocks in found) <= 1


def test_kinds_that_alternate_are_no_series_and_kinds_in_a_stretch_are():
    rng = np.random.default_rng(3)
    kinds = rng.normal(size=(8, 1, 12)) * 1.5
    own = rng.normal(size=(96, 16, 12))
    alternating = (kinds[np.arange(96) % 2] + own).astype(np.float32)
    stretches = (kinds[np.arange(96) // 12] + own).astype(np.float32)
    assert blocks_in(alternating) is None
    found = blocks_in(stretches)
    assert found is not None
    assert found.sizes.max() >= 12


def test_few_photographs_say_nothing():
    assert blocks_in(patches_of([5] * 3)) is None


def test_left_out_scores_are_distances_to_the_nearest_photograph_of_another_group():
    """Against distances that are computed one by one."""
    rng = np.random.default_rng(0)
    patches = rng.normal(size=(7, 4, 3)).astype(np.float32)
    groups, copies = np.array([0, 0, 1, 1, 1, 2, 0]), np.array([0, 1, 2, 3, 4, 5, 5])
    table = LeftOutTable.of(patches, 4, copies)
    for i, found in enumerate(table.log_scores(groups)):
        others = [patches[j] for j in range(7) if groups[j] != groups[i] and copies[j] != copies[i]]
        nearest = [
            min(np.linalg.norm(patch - other) for each in others for other in each)
            for patch in patches[i]
        ]
        assert np.exp(found) == pytest.approx(max(nearest), rel=1e-4)  # a quarter of four patches


def test_copies_do_not_count_for_each_other():
    """Pairs of copies side by side are no series once copies are left out together anyway."""
    pairs = patches_of([2] * 20)
    assert blocks_in(pairs) is not None
    assert blocks_in(pairs, np.arange(40) // 2) is None


def test_names_are_in_the_order_of_people(tmp_path):
    names = ["img10.png", "img2.png", "b/1.png", "img1.png", "B/03.png"]
    assert sorted(names, key=natural_key) == [
        "b/1.png",
        "B/03.png",
        "img1.png",
        "img2.png",
        "img10.png",
    ]
    (order,) = orders_of([image_source(tmp_path / name) for name in names])
    assert order[0] == "of their names"
    assert order[1].tolist() == [4, 2, 3, 1, 0] or order[1].tolist() == [2, 4, 3, 1, 0]
    (given,) = orders_of([image_source(image) for image in parts(3)])
    assert (given[0], given[1].tolist()) == ("in which they were given", [0, 1, 2])


def taken_at(path, time, fraction=None):
    tags = Image.Exif()
    tags[0x8769] = {0x9003: time} | ({0x9291: fraction} if fraction else {})
    Image.fromarray(part(1)).save(path, exif=tags)
    return image_source(path)


def test_the_order_of_times_is_tried_where_all_photographs_have_one(tmp_path):
    a = taken_at(tmp_path / "a.jpg", "2026:03:01 09:30:05", "75")
    b = taken_at(tmp_path / "b.jpg", "2026:03:01 09:30:05", "25")
    c = taken_at(tmp_path / "c.png", "2026:03:01 08:00:00")
    assert capture_times([a, b, c]) == [
        "2026:03:01 09:30:05.75",
        "2026:03:01 09:30:05.25",
        "2026:03:01 08:00:00.0",
    ]
    names, times = orders_of([a, b, c])
    assert (names[1].tolist(), times[1].tolist()) == ([0, 1, 2], [2, 1, 0])
    assert times[0] == "of the times in their files"
    assert len(orders_of([c, a])) == 2
    assert len(orders_of([a, image_source(save(tmp_path / "d.png", part(2)))])) == 1
    broken = tmp_path / "e.jpg"
    broken.write_bytes(b"\xff\xd8\xff no photograph")
    assert capture_times([a, image_source(broken)]) is None
    assert capture_times([taken_at(tmp_path / "f.jpg", "0000:00:00 00:00:00")]) is None


def test_many_photographs_are_compared_in_stretches(monkeypatch):
    monkeypatch.setattr(series, "MOST_COMPARED", 60)
    monkeypatch.setattr(series, "STRETCH", 20)
    members = series._compared(200)
    assert len(members) == 60
    assert (np.diff(members) == 1).sum() == 57
    found = series._find(patches_of([5] * 40, s=64), np.arange(200))
    assert found is not None
    assert len(found.groups) == 200
    assert found.sizes.max() <= 12


def test_patches_are_means_of_nine_cells_all_over_the_photograph():
    rows = np.arange(24, dtype=np.float32)[:, None] + np.zeros((24, 40), np.float32)
    columns = np.arange(40, dtype=np.float32)[None] + np.zeros((24, 40), np.float32)
    found = series._spread_means(np.stack([rows, columns]))
    assert found.shape == (2, 64)
    assert found[0].reshape(8, 8)[:, 0].tolist() == [1, 4, 7, 10, 13, 16, 19, 22]
    assert found[1].reshape(8, 8)[0].tolist() == [2, 7, 12, 17, 22, 27, 32, 37]
    kept = PhotographPatches()
    kept.add([np.zeros((3, 5, 7), np.float32), np.ones((2, 2, 3), np.float32)])
    assert kept.patches[0].shape == (64, 48)


@pytest.fixture(scope="module")
def shifts(tmp_path_factory):
    """Eight shifts of five parts each; in each shift the light has another colour."""
    root = tmp_path_factory.mktemp("shifts")
    colours = np.random.default_rng(1).uniform(0.4, 1.0, (8, 3))
    for number in range(40):
        image = part(number).astype(float) * colours[number // 5]
        save(root / f"img{number}.png", image.astype(np.uint8))
    return root


def test_a_fit_leaves_series_out_in_blocks_and_says_so(shifts):
    with pytest.warns(PhotographWarning, match="series in the order of their names.*--groups none"):
        detector = RECIPE.fit(shifts)
    names, groups = detector.fitted_on, detector.calibration.groups
    of = dict(zip(names, groups.tolist(), strict=True))
    together = [len({of[f"img{5 * n + k}.png"] for k in range(5)}) == 1 for n in range(8)]
    assert sum(together) >= 7
    alone = RECIPE.fit(shifts, groups="none")
    assert alone.calibration.groups is None
    assert detector.calibration.threshold > 1.2 * alone.calibration.threshold


def test_the_same_photographs_under_names_that_say_nothing_are_no_series(shifts, tmp_path):
    order = np.random.default_rng(0).permutation(40)
    for number, path in zip(order, sorted(shifts.iterdir()), strict=True):
        save(tmp_path / f"{number:02}.png", np.asarray(Image.open(path)))
    assert RECIPE.fit(tmp_path).calibration.groups is None


def test_photographs_that_were_drawn_from_a_series_at_random_are_left_out_alone(shifts, tmp_path):
    """As learned and test photographs are divided: the missing ones lie between the learned ones.

    The 40 photographs, which are a series, get the numbers of a random draw from 200.
    """
    places = np.sort(np.random.default_rng(0).choice(200, 40, replace=False))
    for number in range(40):
        image = np.asarray(Image.open(shifts / f"img{number}.png"))
        save(tmp_path / f"img{places[number]}.png", image)
    length = places.max() - places.min() + 1
    told = rf"by their numbers they were drawn at random from a longer sequence \(40 of {length}\)"
    with pytest.warns(PhotographWarning, match=told):
        assert RECIPE.fit(tmp_path).calibration.groups is None
    with pytest.warns(PhotographWarning, match="photographs are a series in the order"):
        assert RECIPE.fit(tmp_path, groups="series").calibration.n_groups < 12


def test_series_that_were_asked_for_and_are_not_there_are_told():
    with pytest.warns(PhotographWarning, match="no series was found among 6 .*; 20 would be eno"):
        assert RECIPE.fit(parts(6), groups="series").calibration.groups is None


def numbered(numbers, name="cell{:04}.png"):
    return [image_source(Path("good") / name.format(number)) for number in numbers]


def test_most_random_draws_from_a_sequence_are_recognised():
    rng = np.random.default_rng(0)
    draws = [np.sort(rng.choice(600, 60, replace=False)) for _ in range(100)]
    assert sum(drawn_from(numbered(draw)) is not None for draw in draws) >= 95


STARTS = 40 * np.sort(np.random.default_rng(2).choice(100, 25, replace=False))


@pytest.mark.parametrize(
    "numbers",
    [
        range(100),
        range(0, 1000, 10),  # every tenth frame
        [n for n in range(100) if n % 7],  # a few were deleted
        [start + k for start in STARTS for k in range(2)],  # bursts at any time
        [start + k for start in STARTS for k in (0, 1, 3, 4, 5)],
        np.arange(0, 1000, 10) + np.random.default_rng(3).integers(0, 4, 100),
        np.cumsum(np.random.default_rng(4).integers(1, 4, 100)),  # a camera that drops frames
        np.cumsum(np.random.default_rng(5).integers(1, 8, 100)),
        [5],
    ],
)
def test_films_and_bursts_are_no_random_draws(numbers):
    assert drawn_from(numbered(numbers)) is None


def test_times_of_the_day_are_no_random_draws():
    minutes = np.sort(np.random.default_rng(0).choice(24 * 60, 80, replace=False))
    clock = [100 * (minute // 60) + minute % 60 for minute in minutes]
    assert drawn_from(numbered(clock, "cam_{:04}.png")) is None
    assert drawn_from(numbered([100 * time for time in clock], "cam_{:06}.png")) is None


def test_names_without_one_running_number_say_nothing():
    drawn = np.sort(np.random.default_rng(0).choice(600, 60, replace=False))
    assert drawn_from(numbered(drawn)) is not None
    assert drawn_from(numbered(drawn, "cell{:04}_left.png")) is not None
    assert drawn_from(numbered(drawn, "{:08}.png")) is not None  # as ffmpeg names frames
    assert drawn_from(numbered(drawn, "2025{:06}.png")) is None  # as long as a time
    assert drawn_from([*numbered(drawn[:30]), *numbered(drawn[30:], "part{}.png")]) is None
    assert drawn_from([*numbered(drawn), *numbered(drawn[:1])]) is None
    assert drawn_from([*numbered(drawn), *numbered([], ""), image_source(parts(1)[0])]) is None


def test_blocks_in_which_scores_do_not_rise_are_no_series(monkeypatch):
    """Equal blocks may look like a series by chance, where the blocks that are chosen do not."""
    apart = np.arange(60) % 6  # neighbours are in different blocks, so each keeps its like
    monkeypatch.setattr(blocks_of_series, "_blocks", lambda costs, length: apart)
    assert blocks_in(patches_of([5] * 12)) is None
