"""A region of interest from the fit to the verdict: only it is learned, scored, drawn, counted."""

import json
import pickle
import re
import warnings
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from patchbank import (
    SPADE,
    DataError,
    Ensemble,
    GraphCore,
    ImageError,
    PaDiM,
    ParameterError,
    PatchCore,
    check_photographs,
    evaluate,
    load,
)
from patchbank.detector.bundle import Bundle, bundle_of, read_bundle, to_bytes
from patchbank.detector.detector import detector_from_bytes
from patchbank.detector.latency import latency_ms
from patchbank.detector.overlay import DARK, draw_overlay
from patchbank.detector.packing import pack
from patchbank.errors import DetectorFileError
from patchbank.images.traits import Traits
from patchbank.methods import METHODS
from patchbank.runtime.devices import HOST
from patchbank.runtime.progress import NullProgress
from patchbank.training.fit import PhotographChoice, fit
from patchbank.training.interest import Interest
from tests.command_line import run
from tests.photographs import SIZE, part, parts, save, write_dataset

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SMALL = {"backbone": "efficientnet_lite0", "image_size": 64, "false_alarm_rate": 0.2}
RECIPES = {
    "patchcore": PatchCore(**SMALL),
    "graphcore": GraphCore(**SMALL),
    "padim": PaDiM(dims=20, **SMALL),
    "spade": SPADE(n_images=3, **SMALL),
    "tiles": PatchCore(backbone="efficientnet_lite0", tiles=True, false_alarm_rate=0.2),
    "ensemble": Ensemble([PatchCore(**SMALL), PaDiM(dims=20, **SMALL)]),
}
BOX = (16, 20, 60, 40)  # x, y, width, height
POLYGON = "10,10 90,14 60,66 20,50"
IGNORED = (40, 24, 14, 10)
ANOMALOUS = part(50, defect=6)


@pytest.fixture(params=RECIPES)
def recipe(request):
    return RECIPES[request.param]


def cut(image, box=BOX):
    x, y, width, height = box
    return np.ascontiguousarray(image[y : y + height, x : x + width])


def test_a_rectangle_is_as_good_as_photographs_that_were_cut(recipe):
    framed = recipe.fit(parts(6), roi=BOX)
    of_cuts = recipe.fit([cut(image) for image in parts(6)])
    np.testing.assert_array_equal(framed.calibration.image_scores, of_cuts.calibration.image_scores)
    assert framed.calibration.pixel_threshold == of_cuts.calibration.pixel_threshold
    one, two = framed.predict(ANOMALOUS), of_cuts.predict(cut(ANOMALOUS))
    assert one.score == two.score
    np.testing.assert_array_equal(cut(one.anomaly_map), two.anomaly_map)
    moved = [replace(r, left=r.left + BOX[0], top=r.top + BOX[1]) for r in two.regions]
    assert list(one.regions) == moved
    assert one.size == (SIZE[1], SIZE[0])


def test_what_is_beyond_the_box_changes_nothing(recipe):
    framed = recipe.fit(parts(6), roi=BOX, ignore=[(0, 0, 104, 22)])
    spoilt = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    x, y, width, height = BOX
    spoilt[22 : y + height, x : x + width] = ANOMALOUS[22 : y + height, x : x + width]
    one, two = framed.predict(ANOMALOUS), framed.predict(spoilt)
    assert one.score == two.score
    np.testing.assert_array_equal(one.anomaly_map, two.anomaly_map)


def test_the_map_is_0_outside_and_no_region_lies_there(recipe):
    detector = recipe.fit(parts(6), roi=POLYGON, ignore=IGNORED)
    mask = detector.roi.mask
    found = detector.predict(ANOMALOUS)
    np.testing.assert_allclose(found.anomaly_map[~mask], found.normal_map_value, rtol=1e-6)
    assert (found.anomaly_map[mask] > found.normal_map_value).mean() > 0.9
    assert found.regions
    for region in found.regions:
        rows = slice(region.top, region.top + region.height)
        columns = slice(region.left, region.left + region.width)
        inside = mask[rows, columns] & (found.anomaly_map[rows, columns] > found.pixel_threshold)
        assert inside.sum() >= region.area


def test_a_map_is_not_lower_at_the_border_of_the_region():
    # A method with one score for all patches: the map is that score everywhere in the region.
    detector = PatchCore(**SMALL).fit(parts(6), roi=POLYGON)
    (one,) = detector.predict(ANOMALOUS).predictions
    level = np.where(one.geometry.cells[::2, ::2], np.float32(5), np.float32(0))
    found = one.geometry.anomaly_map(replace(one.scores, patch_scores=level))
    np.testing.assert_allclose(found[detector.roi.mask], 5, rtol=1e-4)


def test_the_file_keeps_the_region(recipe, tmp_path):
    detector = recipe.fit(parts(6), roi=POLYGON, ignore=IGNORED)
    detector.save(tmp_path / "d.patchbank")
    opened = load(tmp_path / "d.patchbank")
    assert opened == detector
    np.testing.assert_array_equal(opened.roi.mask, detector.roi.mask)
    assert (opened.roi.roi, opened.roi.ignore) == ((POLYGON,), ("40,24,14,10",))
    one, two = detector.predict(ANOMALOUS), opened.predict(ANOMALOUS)
    assert one.score == two.score
    np.testing.assert_array_equal(one.anomaly_map, two.anomaly_map)


@pytest.fixture(scope="module")
def detector():
    return PatchCore(**SMALL).fit(parts(8), roi=POLYGON, ignore=IGNORED)


@pytest.fixture(scope="module")
def saved(detector, tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "d.patchbank"
    detector.save(path)
    return path


def test_only_a_file_with_a_region_has_the_version_that_older_programs_refuse(saved):
    assert b'format_version\\": 4' in saved.read_bytes()
    bundle = read_bundle(saved)
    record = {key: value for key, value in bundle.record.items() if key != "roi"}
    tensors = {key: value for key, value in bundle.tensors.items() if key != "roi.mask"}
    assert b'format_version\\": 3' in to_bytes(Bundle(tensors, record))


DAMAGED = {
    "no size": lambda r, t: r["roi"].pop("size"),
    "more keys": lambda r, t: r["roi"].update(colour="red"),
    "size of 0": lambda r, t: r["roi"].update(size=[0, 104]),
    "fractions": lambda r, t: r["roi"].update(size=[72.0, 104]),
    "another size": lambda r, t: r["roi"].update(size=[72, 200]),
    "no texts": lambda r, t: r["roi"].update(ignore=[1]),
    "no mask": lambda r, t: t.pop("roi.mask"),
    "nothing inspected": lambda r, t: t.update({"roi.mask": t["roi.mask"] * 0}),
    "another type": lambda r, t: t.update({"roi.mask": t["roi.mask"].astype(np.int32)}),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_contradictory_region_in_a_file_is_refused(saved, damage, tmp_path):
    bundle = read_bundle(saved)
    record, tensors = json.loads(json.dumps(bundle.record)), dict(bundle.tensors)
    damage(record, tensors)
    path = tmp_path / "damaged.patchbank"
    path.write_bytes(to_bytes(Bundle(tensors, record)))
    with pytest.raises(DetectorFileError, match="roi"):
        load(path)


def test_patches_outside_are_not_in_the_bank(detector):
    geometry = detector.predict(ANOMALOUS).predictions[0].geometry
    for bank in detector.members[0].model.banks:
        rows, columns = bank.model.origins[:, 1:3].T
        assert geometry.cells[::2, ::2][rows, columns].all()
    assert not geometry.cells.all()


def test_photographs_of_another_size_and_the_same_shape_are_inspected(detector):
    large = np.asarray(Image.fromarray(ANOMALOUS).resize((208, 144)))
    found = detector.predict(large)
    scaled = np.kron(detector.roi.mask, np.ones((2, 2), bool))
    assert (found.anomaly_map[~scaled] == 0).all()
    assert found.anomaly_map[scaled].min() > 0
    assert found.is_anomalous


def test_a_photograph_of_another_shape_is_one_clear_error(detector, tmp_path):
    path = save(tmp_path / "tall.png", part(0, size=(104, 72)))
    with pytest.raises(ImageError, match=r"tall.png: expected .* of 72 x 104 .* got 104 x 72"):
        detector.predict(path)
    (failed,) = detector.inspect([path])
    assert "tall.png: expected a photograph of 72 x 104" in failed.error


def test_learned_photographs_of_another_shape_are_one_clear_error(tmp_path):
    paths = [save(tmp_path / f"{i}.png", part(i)) for i in range(4)]
    paths.append(save(tmp_path / "tall.png", part(9, size=(104, 72))))
    with pytest.raises(DataError, match=r"tall.png: expected .* 72 x 104 .* got 104 x 72"):
        PatchCore(**SMALL).fit(paths, roi=BOX)


def test_of_several_sizes_numbers_are_pixels_of_the_usual_one():
    images = [*parts(4), *(np.kron(i, np.ones((2, 2, 1), np.uint8)) for i in parts(2))]
    with pytest.warns(UserWarning, match="2 sizes: the region .* in pixels of 72 x 104"):
        detector = PatchCore(**SMALL).fit(images, roi=BOX)
    assert detector.roi.size == SIZE


def test_a_turned_photograph_is_meant_as_it_is_seen(detector, tmp_path):
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(ANOMALOUS)))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    assert detector.predict(tmp_path / "turned.png").score == detector.predict(ANOMALOUS).score


def test_a_region_smaller_than_a_patch_is_inspected():
    spots = ["3,3,2,2", "90,60,3,3"]
    detector = PatchCore(**SMALL).fit(parts(6), roi=spots)
    counted = detector.predict(ANOMALOUS).predictions[0].geometry.cells[::2, ::2]
    assert 2 <= counted.sum() <= 8  # up to four patches meet in a spot
    marked = part(50).copy()
    marked[55:70, 85:100] = (255, 0, 0)
    assert detector.predict(marked).is_anomalous
    assert PatchCore(**SMALL).fit(parts(6), roi="30,30,1,1").predict(ANOMALOUS).score > 0


def test_copies_have_the_region_where_they_show_it(recipe):
    turning = [replace(r, rotations=3, flips="horizontal") for r in getattr(recipe, "recipes", [])]
    many = Ensemble(turning) if turning else replace(recipe, rotations=3, flips="horizontal")
    detector = many.fit(parts(5), roi=POLYGON, ignore=IGNORED)
    spoilt = [image.copy() for image in parts(5)]
    found = detector.predict(ANOMALOUS)
    np.testing.assert_allclose(
        found.anomaly_map[~detector.roi.mask], found.normal_map_value, rtol=1e-6
    )
    for image in spoilt:  # beyond the box
        image[:10], image[:, 90:] = 255, 0
    again = many.fit(spoilt, roi=POLYGON, ignore=IGNORED)
    assert again.predict(ANOMALOUS).score == found.score
    assert again.calibration.threshold == detector.calibration.threshold


def test_a_single_photograph_has_a_region_too():
    detector = PatchCore(**SMALL).fit([part(0)], roi=POLYGON, ignore=IGNORED)
    assert detector.calibration.views_of_one
    assert detector.calibration.threshold > 0
    assert detector.predict(part(0)).score < detector.calibration.threshold


def test_a_smaller_bank_keeps_the_region():
    detector = PatchCore(bank_rows=60, **SMALL).fit(parts(8), roi=POLYGON)
    smaller = detector.with_bank_rows(detector.bank_sizes[0])
    assert smaller.roi is detector.roi
    assert (smaller.predict(ANOMALOUS).anomaly_map[~detector.roi.mask] == 0).all()


def test_traits_are_measured_in_the_box():
    bright = [image.copy() for image in parts(6)]
    for image in bright:
        image[:, :16] = 255
    framed = PatchCore(**SMALL).fit(bright, roi=BOX)
    of_cuts = PatchCore(**SMALL).fit([cut(image) for image in bright])
    np.testing.assert_array_equal(framed.likeness.brightness, of_cuts.likeness.brightness)
    np.testing.assert_array_equal(framed.likeness.sharpness, of_cuts.likeness.sharpness)
    assert framed.likeness.sizes.tolist() == [list(SIZE)] * 6
    dark = ANOMALOUS.copy()
    dark[:, :16] = 0
    assert [d.kind for d in framed.predict(dark).unlike] == [
        d.kind for d in of_cuts.predict(cut(ANOMALOUS)).unlike
    ]


def test_a_box_of_one_column_has_traits():
    from patchbank.images.source import image_source

    source = image_source(part(0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from patchbank import Box

        found = Traits.of(source, part(0), Box(3, 4, 9, 1))
    assert found.blockiness == 0
    assert (found.height, found.width) == SIZE


def test_crop_and_region_are_not_combined():
    for name in ("roi", "ignore"):
        with pytest.raises(ParameterError, match=rf"crop: expected none with {name}.* got 48"):
            PatchCore(crop=48, **SMALL).fit(parts(4), **{name: BOX})


def test_a_method_that_takes_no_region_is_refused():
    method = replace(METHODS["padim"], name="other", takes_interest=False)
    choice = PhotographChoice(interest=Interest.of(None, BOX))
    with pytest.raises(ParameterError, match="ignore: expected a method .* got other"):
        fit([(method, method.settings())], parts(4), NullProgress(), HOST, choice=choice)


def test_what_is_not_inspected_is_dark_on_overlays(detector):
    good = part(60)
    inspection = detector.predict(good)
    drawn = np.asarray(draw_overlay(good, inspection))[26:]
    scale = drawn.shape[0] // SIZE[0]
    drawn = drawn[scale // 2 :: scale, scale // 2 :: scale].astype(int)
    mask = detector.roi.mask
    inner = mask.copy()
    for axis in (0, 1):  # enlarged pixels mix with their neighbours at the border
        inner &= np.roll(mask, 1, axis) & np.roll(mask, -1, axis)
    outer = ~mask
    for axis in (0, 1):
        outer &= np.roll(~mask, 1, axis) & np.roll(~mask, -1, axis)
    cold = inner & (inspection.anomaly_map < 0.7 * inspection.pixel_threshold)
    assert cold.any()
    assert np.abs(drawn - good)[cold].max() <= 20
    assert np.abs(drawn - (good * DARK).astype(int))[outer].max() <= 20


@pytest.fixture(scope="module")
def plates(tmp_path_factory):
    """A data set whose blot lies at (24, 26), with a radius of 9 pixels."""
    return write_dataset(tmp_path_factory.mktemp("plates"), n_train=10)


def test_pixels_outside_are_in_no_metric(plates, tmp_path):
    around = PatchCore(**SMALL).fit(plates, roi="10,10 60,10 60,60 10,60 10,24 26,24 26,16 10,16")
    found = evaluate(around, plates, per_defect=True)
    assert found.pixel_auroc > 0.9
    share = f"{float(f'{100 * around.roi.share:.3g}'):g} %"
    assert found.findings[0] == f"pixels are compared in the region of interest only ({share})"
    maps, masks = [], []
    for sample, inspection in found.inspections:
        mask = np.zeros(SIZE, bool)
        if sample.mask is not None:
            mask = np.asarray(Image.open(sample.mask)) > 0
        maps.append(inspection.anomaly_map[around.roi.mask])
        masks.append(mask[around.roi.mask])
    scores, truth = np.concatenate(maps), np.concatenate(masks)
    ranks = np.argsort(np.argsort(scores, kind="stable")) + 1
    n = truth.sum()
    by_ranks = (ranks[truth].sum() - n * (n + 1) / 2) / (n * (len(truth) - n))
    assert found.pixel_auroc == pytest.approx(by_ranks, abs=2e-3)  # ties share their ranks there


def test_defects_outside_are_counted_and_said(plates):
    away = PatchCore(**SMALL).fit(plates, roi="60,40,40,30", ignore="70,50,2,2")
    found = evaluate(away, plates)
    assert found.pixel_auroc is None
    assert any("no mask shows a defect in the inspected part" in line for line in found.remarks)
    touching = PatchCore(**SMALL).fit(plates, roi=["60,40,40,30", "30,20,6,6"])
    assert "defect images show no defect there" not in evaluate(touching, plates).findings[0]


def test_some_defects_outside_are_said(tmp_path):
    plates = write_dataset(tmp_path, n_train=8)
    other = np.zeros(SIZE, np.uint8)
    other[60:70, 90:100] = 255  # another defect, elsewhere
    save(plates / "ground_truth" / "blot" / "000_mask.png", other)
    left = PatchCore(**SMALL).fit(plates, roi="5,5,60,60", ignore="50,50,9,9")
    assert re.fullmatch(
        r"pixels are compared in the region of interest only \(.* %\); 1 of 4 defect images show "
        "no defect there: in the metrics of whole images they count as defects",
        evaluate(left, plates).findings[0],
    )


OPTIONS = ["--backbone", "efficientnet_lite0", "--image-size", "64", "--false-alarm-rate", "0.2"]


def test_from_the_command_line_to_overlays_and_page(plates, tmp_path, capsys):
    mask = np.zeros((144, 208), np.uint8)
    mask[20:130, 20:190] = 255
    file, page = tmp_path / "d.patchbank", tmp_path / "page"
    given = ["--roi", save(tmp_path / "mask.png", mask), "--roi", "80,40 100,40 100,60"]
    given += ["--ignore", "40,30,20,8", "--ignore", "0,0,12,72"]
    status, out, _ = run(capsys, "fit", plates, "--out", file, *OPTIONS, *given, "--report", page)
    assert status == 0
    assert "region of interest: " in out
    html = (page / "index.html").read_text()
    assert "Region of interest" in html
    assert "What is dark is neither learned nor scored." in html
    status, out, _ = run(capsys, "info", file, "--json", "-")
    facts = json.loads(out)["region_of_interest"]
    assert facts["size"] == [104, 72]
    assert (facts["left"], facts["top"], facts["width"], facts["height"]) == (12, 10, 88, 55)
    assert facts["roi"] == ["mask.png", "80,40 100,40 100,60"]
    assert facts["ignore"] == ["40,30,20,8", "0,0,12,72"]
    assert "mask.png" in run(capsys, "info", file)[1]
    photographs = plates / "test" / "blot"
    status, out, _ = run(
        capsys, "predict", file, photographs, "--out", tmp_path / "over", "--json", "-"
    )
    region = json.loads(out.splitlines()[0])["regions"][0]
    assert 12 <= region["left"] < 26 < region["left"] + region["width"] <= 100
    assert 10 <= region["top"] < 24 < region["top"] + region["height"] <= 65
    overlay = np.asarray(Image.open(tmp_path / "over" / "000.png"))
    assert overlay[40:, :20].mean() < 0.5 * overlay[100:250, 100:200].mean()
    status, out, err = run(capsys, "evaluate", file, plates)
    assert status == 0
    assert "note: pixels are compared in the region of interest only" in err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--roi", "1,2,3"], "error: roi: expected X,Y,WIDTH,HEIGHT"),
        (["--ignore", "nowhere.png"], "error: ignore: expected X,Y,WIDTH,HEIGHT"),
        (["--roi", "200,0,9,9"], "error: roi: expected a shape with pixels of the photographs"),
        (["--ignore", "0,0,104,72"], "error: ignore: expected something left to inspect"),
        (["--roi", "0,0,9,9", "--crop", "32"], "error: crop: expected none with roi"),
    ],
)
def test_a_wrong_region_is_one_line_and_no_file(plates, tmp_path, capsys, given, message):
    out = tmp_path / "d.patchbank"
    status, printed, err = run(capsys, "fit", plates, "--out", out, *OPTIONS, *given)
    assert status == 2
    assert printed == ""
    lines = [line for line in err.splitlines() if line.startswith("error")]
    assert lines[0].startswith(message)
    assert len(lines) == 1
    assert not out.exists()


def test_check_finds_defects_in_the_region_only(tmp_path, capsys):
    for number in range(20):
        image = part(number)
        if number == 3:
            image[58:70, 2:14] = (255, 0, 0)
        save(tmp_path / f"{number:02}.png", image)
    found = check_photographs(tmp_path)
    assert found.finding("unlike_others").names == ("03.png",)
    assert check_photographs(tmp_path, ignore=(0, 0, 30, 72)).finding("unlike_others") is None
    assert check_photographs(tmp_path, roi="30,0,74,72").finding("unlike_others") is None
    with pytest.raises(ParameterError, match="roi: expected"):
        check_photographs(tmp_path, roi="1,2")
    status, out, _ = run(capsys, "check", tmp_path, "--ignore", "0,0,30,72")
    assert status == 0
    assert "nothing found" in out


def test_an_inspection_of_a_region_goes_to_another_process():
    detector = PatchCore(**SMALL).fit(parts(5), roi="8,8,40,40", ignore="20,20,5,5")
    seen = detector.predict(part(9, defect=9))
    again = pickle.loads(pickle.dumps(seen))
    np.testing.assert_array_equal(again.anomaly_map, seen.anomaly_map)


@pytest.mark.parametrize("changes", [{"crop": 32}, {"position": "canonical", "part_size": 40}])
def test_a_file_with_a_region_and_what_excludes_it_is_refused(changes):
    detector = PatchCore(**SMALL).fit(parts(5), roi="8,8,40,40")
    bundle = bundle_of(to_bytes(pack(detector._parts(), as_onnx=False)), "a")
    (member,) = bundle.record["members"]
    record = {**bundle.record, "members": [{**member, "settings": member["settings"] | changes}]}
    with pytest.raises(DetectorFileError, match="roi: expected members without crop and"):
        detector_from_bytes(to_bytes(Bundle(bundle.tensors, record)), device="cpu")


class Watched:
    """An extractor that notes the sizes of its inputs."""

    def __init__(self, extractor):
        self.extractor = extractor
        self.seen = []

    def __getattr__(self, name):
        return getattr(self.extractor, name)

    def __call__(self, image):
        self.seen.append(image.shape[:2])
        return self.extractor(image)


def test_the_time_of_an_image_is_that_of_the_region():
    detector = PatchCore(**SMALL, scales=(1.0,)).fit(parts(5), roi="8,8,40,20")
    (member,) = detector.members
    watched = Watched(member.extractor)
    latency_ms(replace(detector, members=(replace(member, extractor=watched),)))
    of_photograph = member.predict(part(9), detector.roi.on(part(9).shape[:2]))
    assert set(watched.seen) == {of_photograph.geometry.input_size}
