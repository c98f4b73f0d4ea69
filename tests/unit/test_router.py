"""`Router` and `predict --auto`: the product that a photograph shows, and none of them."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from patchbank import (
    DataError,
    DetectorFileError,
    Ensemble,
    FailedInspection,
    ImageError,
    NoProductError,
    PaDiM,
    PatchCore,
    Router,
    load,
)
from patchbank.detector.detector import detector_of, parts_of
from patchbank.products.routing import excerpt, shelf
from patchbank.products.routing.excerpt import Excerpt, space_of
from patchbank.products.routing.shelf import Shelf
from patchbank.products.routing.space import Space
from tests import command_line
from tests.photographs import part, save

SIZE = (96, 136)
pytestmark = pytest.mark.filterwarnings("ignore::patchbank.CalibrationWarning")
TINY = {"backbone": "efficientnet_lite0", "image_size": 128, "false_alarm_rate": 0.1}


def fitted(recipe, images, **options):
    """A detector of drawn photographs, which resemble each other as copies do."""
    return recipe.fit(images, groups="none", device="cpu", **options)


def ring(seed, **options):
    return part(seed, size=SIZE, **options)


def board(seed, *, defect=0):
    """Squares of two greys."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    grey = np.where((y // 12 + x // 12) % 2, 170, 60) + rng.normal(0, 4, SIZE)
    if defect:
        grey[np.hypot(y - 30, x - 40) < defect] = 250
    return np.repeat(np.clip(grey, 0, 255)[..., None], 3, axis=2).astype(np.uint8)


def fibres(seed, *, defect=0):
    """Slanted lines, blue."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    grey = 128 + 60 * np.sin((x + 2 * y) / 3 + rng.uniform(0, 6)) + rng.normal(0, 5, SIZE)
    if defect:
        grey[np.hypot(y - 50, x - 90) < defect] = 0
    return np.clip(grey[..., None] * [0.5, 0.7, 1.0], 0, 255).astype(np.uint8)


def noise(seed):
    return np.random.default_rng(seed).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


DRAWN = {"Ring Größe 1": ring, "board": board, "fibres": fibres}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("detectors")
    for name, draw in DRAWN.items():
        fitted(PatchCore(**TINY), [draw(seed) for seed in range(9)]).save(out / f"{name}.patchbank")
    return out


@pytest.fixture(scope="module")
def router(folder):
    return Router.open(folder, device="cpu")


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("defect", [0, 9])
def test_a_part_good_or_not_goes_to_its_own_detector(router, folder, name, defect):
    alone = load(folder / f"{name}.patchbank", device="cpu")
    for seed in range(100, 104):
        image = DRAWN[name](seed, defect=defect)
        seen, expected = router.predict(image), alone.predict(image)
        assert seen.route.product == seen.route.nearest == name
        assert seen.route.detector_sha256 == alone.sha256
        assert 0 < seen.route.margin < 1
        assert seen.route.relative_distance > 0
        assert (seen.score, seen.p_value, seen.regions, seen.unlike) == (
            *(expected.score, expected.p_value, expected.regions, expected.unlike),
        )
        assert seen.is_anomalous >= bool(defect)
        np.testing.assert_array_equal(seen.anomaly_map, expected.anomaly_map)


def test_a_learned_photograph_is_no_doubtful_one(router):
    for name, draw in DRAWN.items():
        route = router.route(draw(3))
        assert (route.product, route.relative_distance, route.margin) == (name, 0.0, 1.0)
        assert route.second in DRAWN


def test_none_of_the_products_is_never_good(router):
    found = list(router.inspect([noise(1), ring(200)]))
    assert isinstance(found[0], FailedInspection)
    assert found[0].route.product is None
    assert found[0].route.nearest in DRAWN
    assert found[0].route.relative_distance > found[0].route.limit
    assert found[0].to_json()["score"] is None
    assert found[1].route.product == "Ring Größe 1"
    with pytest.raises(NoProductError, match="none of the products: the nearest") as caught:
        router.predict(noise(1))
    assert caught.value.route == found[0].route
    assert router.route(noise(1)) == found[0].route


def test_a_part_of_a_product_that_is_left_out_is_none_of_the_others(router):
    for left_out, draw in DRAWN.items():
        others = {name: router.detector(name) for name in DRAWN if name != left_out}
        assert Router(others).route(draw(300)).product is None


def test_the_order_of_the_detectors_does_not_matter(router):
    backwards = Router({name: router.detector(name) for name in reversed(router.products)})
    for draw in DRAWN.values():
        assert backwards.route(draw(400)) == router.route(draw(400))


def test_two_detectors_of_the_same_are_a_tie_that_the_name_decides(router):
    twins = {name: router.detector("board") for name in ("b", "a", "c")}
    route = Router(twins).route(board(1))
    assert (route.product, route.second, route.margin) == ("a", "b", 0.0)


def test_the_nearest_is_that_of_searching_every_bank(router):
    space = Space(router.excerpts, {name: router.detector(name) for name in DRAWN})
    for image in (ring(1), board(2), fibres(3, defect=9), noise(4)):
        maps, geometry = space.member.features(image)
        patches = space.embedded(maps, geometry)
        assert space.nearest(patches)[0].product == space.distances(patches)[0].product


def test_a_bank_that_is_clearly_farther_is_not_searched(router, monkeypatch):
    asked = []
    exact = Space._exact
    monkeypatch.setattr(
        Space, "_exact", lambda self, patches, n: asked.append(n) or exact(self, patches, n)
    )
    many = {f"{n} {name}": router.detector(name) for n in range(3) for name in DRAWN}
    route = Router(many).route(board(5))
    assert route.product == "0 board"
    assert len(asked) < len(many)


def test_detectors_that_were_used_last_are_open(folder, router, monkeypatch):
    asked = []
    opened = Shelf(folder, lambda file: asked.append(file.stem) or load(file, device="cpu"))
    many = Router(opened)
    assert sorted(asked) == sorted(DRAWN)
    largest = max(file.stat().st_size for file in folder.iterdir())
    monkeypatch.setattr(shelf, "LIMIT_BYTES", 2 * largest)
    for name in ("fibres", "board", "fibres", "Ring Größe 1", "fibres", "board"):
        image = DRAWN[name](100)
        assert many.predict(image).to_json() == router.predict(image).to_json()
        assert opened.open_bytes <= 2 * largest
    assert len(asked) > len(DRAWN)
    del asked[:]
    again = Router(opened, excerpts=many.excerpts)
    assert again.route(board(7)) == many.route(board(7))
    assert len(asked) <= 2


def test_a_file_that_was_changed_since_is_not_taken_for_the_one_before(folder, tmp_path):
    for file in folder.iterdir():
        shutil.copy(file, tmp_path)
    opened = Shelf.of(tmp_path, "cpu")
    file = tmp_path / "board.patchbank"
    assert Excerpt.of(opened["board"]).sha256 == load(file, device="cpu").sha256
    opened._opened.clear()
    load(file, device="cpu").with_threshold(9.0).save(file)
    with pytest.raises(DetectorFileError, match="changed since; open the folder again"):
        opened["board"]


def test_one_pass_through_the_network_serves_detectors_that_see_alike(router):
    members = [router.detector(name).members[0] for name in DRAWN]
    assert len({id(member.extractor) for member in members}) == 1
    assert len({space_of(router.detector(name)) for name in DRAWN}) == 1


def test_settings_that_change_features_make_another_space(router):
    changed = {
        "image_size": 96,
        "layers": ("blocks.2",),
        "patch_size": 1,
        "resampling": "lanczos",
        "scales": (1.0,),
    }
    keys = {space_of(router.detector("board"))}
    for name, value in changed.items():
        recipe = PatchCore(**{**TINY, name: value})
        keys.add(space_of(fitted(recipe, [board(seed) for seed in range(3)])))
    framed = fitted(PatchCore(**TINY), [board(seed) for seed in range(3)], roi=(8, 4, 80, 60))
    keys.add(space_of(framed))
    assert len(keys) == len(changed) + 2
    same = PatchCore(**{**TINY, "bank_rows": 60, "seed": 3, "false_alarm_rate": 0.3})
    assert space_of(fitted(same, [ring(seed) for seed in range(3)])) in keys


def test_every_setting_is_either_of_the_features_or_of_other_use():
    known = excerpt.SETTINGS_OF_OTHER_USE | excerpt.NAMES_OF_NETWORK
    assert known <= set(PatchCore().to_mapping())


def test_detectors_of_other_methods_and_settings_are_routed_to(router):
    good = {name: [draw(seed) for seed in range(9)] for name, draw in DRAWN.items()}
    small = {**TINY, "image_size": 96}
    mixed = Router(
        {
            "Ring Größe 1": fitted(PaDiM(**small), good["Ring Größe 1"]),
            "board": fitted(PatchCore(**small, banks="joint"), good["board"]),
            "fibres": router.detector("fibres"),
            "both": fitted(
                Ensemble((PatchCore(**small), PaDiM(**small))),
                [noise(seed) for seed in range(9)],
            ),
        }
    )
    for name, draw in DRAWN.items():
        assert mixed.route(draw(500)).nearest == name
    assert mixed.route(noise(500)).nearest == "both"


def test_detectors_in_files_without_traits_of_photographs_are_routed_to(router):
    """Files of format 2 have none."""
    old = {}
    for name in DRAWN:
        parts = parts_of(router.detector(name))
        values = {field: getattr(parts, field) for field in parts.__slots__}
        old[name] = detector_of(type(parts)(**{**values, "likeness": None}), None)
    routed = Router(old)
    for name, draw in DRAWN.items():
        assert routed.route(draw(600)).product == name
        assert routed.route(draw(600, defect=9)).product == name
    assert routed.route(noise(600)).product is None


@pytest.mark.parametrize("file", sorted(Path("tests/golden/detectors").glob("*.patchbank")))
def test_every_file_that_was_ever_written_can_be_routed_to(file):
    if file.stem == "patchcore-torch":
        pytest.importorskip("torch")
    alone = Router({file.stem: load(file, device="cpu")})
    routes = [alone.route(part(seed)) for seed in range(3)]
    assert {route.nearest for route in routes} == {file.stem}
    assert all(route.second is None and route.limit >= 1 for route in routes)


def test_a_detector_that_cannot_take_a_photograph_keeps_it_from_no_other(router):
    """A region of interest is of photographs of one size."""
    framed = load("tests/golden/detectors/patchcore-region.patchbank", device="cpu")
    both = Router({"framed": framed, "board": router.detector("board")})
    assert both.route(board(700)).product == "board"
    with pytest.raises(ImageError, match="region of interest"):
        Router({"framed": framed}).route(board(700))


def test_what_is_no_folder_of_detectors_is_refused(tmp_path):
    with pytest.raises(DataError, match="got nothing of that name"):
        Router.open(tmp_path / "none")
    with pytest.raises(DataError, match="fit --each makes them"):
        Router.open(tmp_path)
    with pytest.raises(DataError, match="at least one"):
        Router({})


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Photographs of all products, of none, and one that cannot be read."""
    root = tmp_path_factory.mktemp("mixed")
    for name, draw in DRAWN.items():
        save(root / f"{name} ok.png", draw(800))
        save(root / f"{name} ng.png", draw(801, defect=9))
    save(root / "noise.png", noise(800))
    (root / "broken.png").write_bytes(b"no image")
    return root


def test_predict_auto_names_products_and_none_of_them(capsys, folder, mixed, tmp_path):
    table, pictures, copies = tmp_path / "a.csv", tmp_path / "overlays", tmp_path / "sorted"
    lines = tmp_path / "a.jsonl"
    outputs = ("--csv", table, "--out", pictures, "--sort-into", copies, "--json", lines)
    status, out, err = command_line.run(capsys, "predict", "--auto", folder, mixed, *outputs)
    assert status == 1
    last = out.splitlines()[-1]
    assert last == "3 good, 3 anomalous, 1 not readable, 1 of none of the products"
    assert "% nearer than" in out.splitlines()[0]
    assert "noise.png: expected a part of one of 3 products, got none of the products" in err
    text = lines.read_text(encoding="utf-8")
    by_name = {Path(one["image"]).stem: one for one in map(json.loads, text.splitlines())}
    for name in DRAWN:
        for kind in ("ok", "ng"):
            line = by_name[f"{name} {kind}"]
            assert line["route"]["product"] == name
            assert line["anomalous"] == (kind == "ng")
    assert by_name["noise"]["route"]["product"] is None
    assert by_name["noise"]["error_type"] == "NoProductError"
    assert "route" not in by_name["broken"]
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = {Path(row["image"]).stem: row for row in csv.DictReader(file)}
    assert rows["noise"]["verdict"] == "unknown"
    assert rows["broken"]["verdict"] == "unread"
    assert rows["board ng"]["product"] == "board"
    sha = by_name["board ng"]["route"]["detector_sha256"]
    assert rows["board ng"]["detector_sha256"] == sha
    assert len(list(pictures.rglob("*.png"))) == 6
    assert len(list((copies / "OK").iterdir())) == len(list((copies / "NG").iterdir())) == 3


@pytest.mark.parametrize(
    "option",
    ["--explain", "--bank-rows", "--latency-budget", "--false-alarm-rate", "--threshold"],
)
def test_options_of_one_detector_are_refused(capsys, folder, mixed, option):
    given = ("predict", "--auto", folder, mixed, option, "x" if option == "--explain" else 1)
    if option == "--false-alarm-rate":
        given = (*given[:-1], 0.1)
    status, _, err = command_line.run(capsys, *given)
    assert status == 2
    assert f"{option}: expected without --auto" in err


def test_a_folder_is_refused_without_auto_and_a_file_with_it(capsys, folder, mixed, tmp_path):
    assert command_line.run(capsys, "predict", folder, mixed)[0] == 2
    file = shutil.copy(folder / "board.patchbank", tmp_path)
    status, _, err = command_line.run(capsys, "predict", "--auto", file, mixed)
    assert status == 2
    assert "expected a folder of detectors" in err
