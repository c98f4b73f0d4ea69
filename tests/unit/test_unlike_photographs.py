"""Photographs that are unlike the learned ones, from the fit to JSON, CSV and the console."""

import csv
import io
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from patchbank import Ensemble, PaDiM, PatchCore, evaluate, load
from patchbank.cli.app import main
from patchbank.cli.path_lists import Given, StandardInput
from patchbank.cli.predict import Outputs, inspect_paths
from patchbank.datasets import Dataset, Sample
from patchbank.detector.member import patch_distances
from patchbank.images import decode
from patchbank.images.folders import find_images
from patchbank.images.source import image_source
from tests.photographs import part, parts, save, write_dataset

SMALL = {"backbone": "efficientnet_lite0", "image_size": 96, "bank_limit": 120}
pytestmark = [
    pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning"),
    pytest.mark.filterwarnings("ignore::patchbank.errors.PhotographWarning"),
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("plates"), n_train=12, n_good=8, n_defect=3)


@pytest.fixture(scope="module")
def detector(root):
    return PatchCore(**SMALL, false_alarm_rate=0.2).fit(root / "train" / "good")


def kinds(inspection):
    return [difference.kind for difference in inspection.unlike]


def jpeg(image, quality):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality, subsampling=0)
    return stream.getvalue()


def run(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["patchbank", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        main()
    out, err = capsys.readouterr()
    return left.value.code, out.splitlines(), err.splitlines()


def test_good_photographs_and_defects_are_like_the_learned_ones(detector):
    for seed in range(500, 520):
        assert detector.predict(part(seed)).unlike == ()
        assert detector.predict(part(seed, defect=9)).unlike == ()


def test_each_way_of_being_unlike_is_found_in_a_photograph(detector, tmp_path):
    good = part(600)
    grey = np.asarray(Image.fromarray(good).convert("L"))
    large = np.asarray(Image.fromarray(good).resize((208, 144)))
    tall = np.ascontiguousarray(good[:, :60])
    deep = grey.astype(np.uint16) << 4
    found = {
        "grey": kinds(detector.predict(save(tmp_path / "grey.png", grey))),
        "jpeg": kinds(detector.predict(jpeg(good, 75))),
        "large": kinds(detector.predict(large)),
        "tall": kinds(detector.predict(tall)),
        "dark": kinds(detector.predict(good // 3)),
        "deep": kinds(detector.predict(deep)),
        "palette": kinds(detector.predict(Image.fromarray(good).quantize(64))),
    }
    assert "colour" in found["grey"]
    assert "compression" in found["jpeg"]
    assert "size" in found["large"]
    assert "size" in found["tall"]
    assert "brightness" in found["dark"]
    assert {"bit_depth", "brightness", "colour"} <= set(found["deep"])
    assert "mode" in found["palette"]


def other_part(seed):
    """A part of another kind: stripes and a square, of the same brightness."""
    rng = np.random.default_rng(seed)
    stripes = 120 + 60 * np.sign(np.sin(np.arange(104) / 2 + rng.uniform(0, 6)))
    image = np.tile(stripes, (72, 1)) + rng.normal(0, 3, (72, 104))
    image[20:50, 30:70] = 60
    return np.clip(image[..., None] * [1, 0.9, 0.8], 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    "recipe",
    [
        PatchCore(**SMALL),
        PaDiM(backbone="efficientnet_lite0", image_size=96, dims=40),
        Ensemble([PatchCore(**SMALL), PaDiM(backbone="efficientnet_lite0", image_size=96)]),
    ],
    ids=["patchcore", "padim", "ensemble"],
)
def test_another_part_is_far_as_a_whole_and_a_defect_is_not(recipe):
    detector = recipe.fit(parts(12))
    for seed in range(3):
        assert "part" in kinds(detector.predict(other_part(seed)))
        assert "part" not in kinds(detector.predict(part(700 + seed)))
        assert "part" not in kinds(detector.predict(part(700 + seed, defect=9)))


def test_distances_of_a_photograph_are_lower_quartile_and_largest_patch_score(detector):
    prediction = detector.predict(part(3)).predictions[0]
    scores = np.sort(prediction.scores.patch_scores.ravel())
    distances = patch_distances([prediction])
    assert distances == (scores[(len(scores) - 1) // 4], scores[-1])
    scaled = replace(prediction, map_scale=replace(prediction.map_scale, centre=7.0, spread=2.0))
    assert patch_distances([scaled]) == pytest.approx(np.array(distances) / 2)
    assert patch_distances([prediction, scaled]) == pytest.approx(np.array(distances) * 0.75)


def test_score_and_verdict_do_not_depend_on_differences(detector):
    without = replace(detector, likeness=None)
    for photograph in (part(800), part(800) // 3, part(800, defect=9)):
        one, other = detector.predict(photograph), without.predict(photograph)
        assert (one.score, one.p_value, one.regions) == (other.score, other.p_value, other.regions)
        assert other.unlike == ()


def test_differences_are_the_same_after_saving_and_for_smaller_banks(detector, tmp_path):
    detector.save(tmp_path / "a.patchbank")
    opened = load(tmp_path / "a.patchbank")
    for photograph in (part(801) // 3, jpeg(part(802), 60), other_part(4)):
        assert opened.predict(photograph).unlike == detector.predict(photograph).unlike != ()
    smaller = opened.with_bank_rows(opened.bank_sizes[0])
    assert all(smaller.predict(part(seed)).unlike == () for seed in range(810, 820))
    assert "part" in kinds(smaller.predict(other_part(4)))
    smaller.save(tmp_path / "b.patchbank")
    again = load(tmp_path / "b.patchbank").likeness
    np.testing.assert_array_equal(again.patch_distances, smaller.likeness.patch_distances)


def test_one_photograph_is_enough_for_what_needs_no_spread(tmp_path):
    detector = PatchCore(**SMALL).fit([save(tmp_path / "a.png", part(0))])
    assert kinds(detector.predict(part(1))) == []
    assert kinds(detector.predict(jpeg(part(1), 75))) == ["compression"]
    assert "colour" in kinds(detector.predict(part(1)[..., 0]))


def test_the_file_of_a_photograph_is_opened_for_its_pixels_once(detector, tmp_path, monkeypatch):
    opened, real = [], decode.opened

    def counted(name, *arguments, **options):
        opened.append(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(decode, "opened", counted)
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(part(1), 75))
    assert kinds(detector.predict(path))[0] == "compression"
    assert opened == [str(path)]


# JSON, CSV and the console


@pytest.fixture
def jpegs(tmp_path):
    for seed in range(5):
        (tmp_path / "jpegs").mkdir(exist_ok=True)
        (tmp_path / "jpegs" / f"{seed}.jpg").write_bytes(jpeg(part(900 + seed), 98))
    return tmp_path / "jpegs"


NOTE = "JPEG of quality 98, learned PNG only"


def test_a_batch_that_differs_is_one_note_and_the_status_stays(
    detector, jpegs, tmp_path, monkeypatch, capsys
):
    detector.save(tmp_path / "a.patchbank")
    lines, table = tmp_path / "lines.jsonl", tmp_path / "a.csv"
    command = ("predict", tmp_path / "a.patchbank", jpegs, "--json", lines, "--csv", table)
    status, out, err = run(monkeypatch, capsys, *command)
    assert status == 0
    assert len(out) == 6
    assert err == [f"note: 5 of 5 photographs: {NOTE}"]
    found = [json.loads(line)["unlike"] for line in lines.read_text().splitlines()]
    assert found == [[{"kind": "compression", "text": NOTE}]] * 5
    with table.open(encoding="utf-8-sig", newline="") as file:
        assert [row["unlike"] for row in csv.DictReader(file)] == [NOTE] * 5


def test_one_photograph_that_differs_is_one_note_with_its_name(
    detector, tmp_path, monkeypatch, capsys
):
    detector.save(tmp_path / "a.patchbank")
    dark = save(tmp_path / "dark.png", part(901) // 4)
    status, out, err = run(monkeypatch, capsys, "predict", tmp_path / "a.patchbank", dark)
    assert (status, len(out), len(err)) == (0, 2, 1)
    assert err[0].startswith(f"note: {dark}: darker than any learned photograph: mean ")


def test_those_that_are_like_the_learned_ones_have_an_empty_list_and_no_note(
    detector, root, tmp_path, capsys
):
    lines, table = tmp_path / "lines.jsonl", tmp_path / "a.csv"
    (tmp_path / "broken.png").write_bytes(b"no image")
    given = [Given(root / "test" / "good", False), Given(tmp_path / "broken.png", False)]
    inspect_paths(detector, given, Outputs(to_json=str(lines), csv=table))
    found = [json.loads(line)["unlike"] for line in lines.read_text().splitlines()]
    assert found == [[]] * 8 + [None]
    with table.open(encoding="utf-8-sig", newline="") as file:
        assert [row["unlike"] for row in csv.DictReader(file)] == [""] * 9
    assert "note: " not in capsys.readouterr().err


def test_some_of_a_batch_are_named(detector, root, jpegs, capsys):
    inspect_paths(detector, [Given(root / "test" / "good", False), Given(jpegs, False)], Outputs())
    names = ", ".join(str(jpegs / f"{seed}.jpg") for seed in range(3))
    expected = f"note: 5 of 13 photographs ({names} and 2 more): {NOTE}\n"
    assert expected in capsys.readouterr().err


def test_a_live_run_notes_a_difference_when_it_comes_first(detector, jpegs, monkeypatch, capsys):
    text = "".join(f"{jpegs / f'{seed}.jpg'}\n" for seed in range(3))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    inspect_paths(detector, [StandardInput()], Outputs())
    assert capsys.readouterr().err.splitlines() == [
        f"note: {jpegs / '0.jpg'}: {NOTE}",
        f"note: 3 of 3 photographs: {NOTE}",
    ]


def test_a_notebook_shows_differences(detector):
    assert "unlike the learned ones" in detector.predict(part(1) // 4)._repr_html_()
    assert "unlike the learned ones" not in detector.predict(part(1))._repr_html_()


def test_evaluate_has_a_line_where_the_test_photographs_differ(detector, root, tmp_path):
    samples = []
    for seed in range(6):
        label = "good" if seed < 3 else "blot"
        path = tmp_path / f"{seed}.jpg"
        path.write_bytes(jpeg(part(950 + seed, defect=0 if seed < 3 else 9), 98))
        samples.append(Sample(path, label))
    other = evaluate(detector, Dataset("jpegs", tuple(samples)))
    assert f"6 of 6 photographs: {NOTE}" in other.findings
    same = evaluate(detector, root)
    assert not any("learned PNG" in line for line in same.findings)


# Real photographs


@pytest.mark.parametrize(("name", "other"), [("screw", "mtd"), ("mtd", "screw")])
def test_of_real_photographs_other_parts_and_compressed_ones_are_noted(real_data, name, other):
    good = find_images(real_data(name) / "train" / "good").images
    detector = PatchCore.preset("fast", bank_limit=2000).fit(good[:30])
    unseen = list(detector.predict_each(good[30:45]))
    assert sum(bool(inspection.unlike) for inspection in unseen) <= 1
    for path in find_images(real_data(other) / "test" / "good").images[:4]:
        assert "part" in kinds(detector.predict(path))
    defects = find_images(real_data(name) / "test").images
    some = [path for path in defects if path.parent.name not in ("good", "uneven")][::40]
    assert not any("part" in kinds(inspection) for inspection in detector.predict_each(some))
    if name == "screw":
        for path in good[60:70]:
            found = detector.predict(jpeg(image_source(path).read(), 75)).unlike
            assert str(found[0]) == "JPEG of quality 75, learned PNG only"


@pytest.mark.parametrize("with_traits", [True, False])
def test_further_pages_of_a_file_are_not_inspected_and_that_is_said(
    monkeypatch, capsys, detector, tmp_path, with_traits
):
    first, second = Image.fromarray(part(500)), Image.fromarray(part(501))
    first.save(tmp_path / "pages.tif", save_all=True, append_images=[second])
    first.save(tmp_path / "page.tif")
    used = detector if with_traits else replace(detector, likeness=None)
    several, one = (used.predict(tmp_path / name) for name in ("pages.tif", "page.tif"))
    assert (several.score, several.is_anomalous) == (one.score, one.is_anomalous)
    assert (kinds(several), kinds(one)) == (["pages"], [])
    file = tmp_path / "some.patchbank"
    used.save(file)
    status, _, said = run(monkeypatch, capsys, "predict", file, tmp_path / "pages.tif")
    assert status == 0
    assert said == [
        f"note: {tmp_path / 'pages.tif'}: several frames or pages, of which the first is inspected"
    ]
