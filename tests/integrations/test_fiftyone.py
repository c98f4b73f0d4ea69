"""Datasets for FiftyOne, without FiftyOne: each value worked out by hand."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchbank import DataError, PatchCore
from patchbank.detector.inspection import FailedInspection
from patchbank.detector.route import Route
from patchbank.integrations.fiftyone import dataset_folder, write_dataset
from tests.labelling import ODD_NAME, SPOT, write_folder, write_turned
from tests.painted import detector, photograph, write
from tests.photographs import part, parts

SHA256 = "c0ffee012345" + 52 * "0"
IDS = {"verdict", "heat_map", "mask"}


def samples_of(folder):
    return json.loads((folder / "samples.json").read_text(encoding="utf-8"))["samples"]


def written(tmp_path, *images, **options):
    """Inspect the images, write a dataset, and read its samples again."""
    write_dataset(tmp_path / "dataset", detector().inspect(list(images)), **options)
    return samples_of(tmp_path / "dataset")


def picture(tmp_path, path):
    """(H, W) of a picture of the dataset."""
    with Image.open(tmp_path / "dataset" / path) as image:
        assert image.mode == "L"
        return np.asarray(image)


def without_ids(value):
    """The same, without what FiftyOne needs to know it again."""
    if isinstance(value, dict):
        return {k: without_ids(v) for k, v in value.items() if k not in ("_id", "_rand")}
    return [without_ids(each) for each in value] if isinstance(value, list) else value


def test_each_photograph_is_a_sample_with_its_results(tmp_path):
    folder = write_folder(tmp_path / "in")
    write_dataset(tmp_path / "dataset", detector().inspect(folder), detector_sha256=SHA256)
    good, spots, unread, whole = samples_of(tmp_path / "dataset")
    of_all = {"tags": [], "_media_type": "image", "detector_sha256": SHA256}
    unset = {"unlike": None, "product": None, "error": None}
    maps = {
        "heat_map": {"_cls": "Heatmap", "tags": [], "range": [0.0, 255.0]},
        "mask": {"_cls": "Segmentation", "tags": []},
    }
    assert without_ids(good) == of_all | unset | {
        "filepath": str(folder / "a.png"),
        "verdict": {"_cls": "Classification", "tags": [], "label": "good", "confidence": 1.0},
        "score": 20.0,
        "threshold": 100.0,
        "p_value": 1.0,
        "regions": {"_cls": "Detections", "detections": []},
        "heat_map": maps["heat_map"] | {"map_path": "fields/heat_map/000001.png"},
        "mask": maps["mask"] | {"mask_path": "fields/mask/000001.png"},
    }
    assert spots["filepath"] == str(folder / "b" / ODD_NAME)
    assert spots["verdict"]["label"] == "anomalous"
    assert spots["verdict"]["confidence"] == 0.75
    common = {"_cls": "Detection", "tags": [], "attributes": {}, "label": "anomaly"}
    # Rows 2 and 3 of 32, columns 3 to 9 of 40; then rows 30 and 31, columns 38 and 39.
    assert without_ids(spots["regions"]["detections"]) == [
        common | {"bounding_box": [0.075, 0.0625, 0.175, 0.0625], "score": 120.0, "area": 14},
        common | {"bounding_box": [0.95, 0.9375, 0.05, 0.0625], "score": 95.0, "area": 4},
    ]
    assert whole["verdict"]["label"] == "anomalous"
    assert whole["regions"]["detections"] == []
    assert unread["filepath"] == str(folder / "c.png")


def test_pictures_have_the_size_of_the_photograph_and_its_map(tmp_path):
    (sample,) = written(tmp_path, write(tmp_path / "a.png", photograph(150, SPOT)))
    heat = picture(tmp_path, sample["heat_map"]["map_path"])
    mask = picture(tmp_path, sample["mask"]["mask_path"])
    assert heat.shape == mask.shape == (32, 40)
    inside = np.zeros((32, 40), bool)
    inside[SPOT[1:]] = True
    np.testing.assert_array_equal(mask, np.where(inside, 255, 0))
    np.testing.assert_array_equal(heat, np.where(inside, 171, 0))  # 128 * 120 / 90


@pytest.mark.parametrize(("value", "shown"), [(45, 64), (90, 128), (179, 255), (255, 255)])
def test_a_heat_map_has_128_at_the_pixel_threshold_and_ends_at_twice_of_it(tmp_path, value, shown):
    image = photograph(20, (value, slice(5, 6), slice(7, 8)))
    (sample,) = written(tmp_path, write(tmp_path / "a.png", image))
    assert picture(tmp_path, sample["heat_map"]["map_path"])[5, 7] == shown
    assert picture(tmp_path, sample["mask"]["mask_path"])[5, 7] == (255 if value > 90 else 0)


def test_a_photograph_that_cannot_be_read_has_a_sample_that_says_so(tmp_path):
    (tmp_path / "c.png").write_bytes(b"no image")
    (sample,) = written(tmp_path, tmp_path / "c.png")
    assert sample["verdict"]["label"] == "unread"
    assert "confidence" not in sample["verdict"]
    assert "c.png: expected a PNG, JPEG" in sample["error"]
    assert sample["score"] is sample["regions"] is None
    assert "heat_map" not in sample
    assert list((tmp_path / "dataset" / "fields").rglob("*.png")) == []


def test_a_photograph_of_no_product_is_unknown(tmp_path):
    route = Route(
        product=None,
        nearest="bolts",
        relative_distance=3.0,
        limit=2.0,
        detector_sha256=SHA256,
    )
    failed = FailedInspection("a.png", "a.png: expected a known product", DataError, route)
    write_dataset(tmp_path / "dataset", [failed])
    (sample,) = samples_of(tmp_path / "dataset")
    assert sample["verdict"]["label"] == "unknown"
    assert sample["error"] == "a.png: expected a known product"
    assert sample["detector_sha256"] == SHA256


def test_ids_differ_in_a_dataset_and_are_the_same_when_it_is_written_again(tmp_path):
    folder = write_folder(tmp_path / "in")
    for name in ("one", "two"):
        write_dataset(tmp_path / name, detector().inspect(folder))
    assert samples_of(tmp_path / "one") == samples_of(tmp_path / "two")
    found = [
        label["_id"]["$oid"]
        for sample in samples_of(tmp_path / "one")
        for label in (
            *(sample[name] for name in IDS if name in sample),
            *(sample["regions"] or {"detections": []})["detections"],
        )
    ]
    assert len(found) == len(set(found)) == 4 + 2 * 3 + 2
    assert all(len(each) == 24 and int(each, 16) >= 0 for each in found)


def test_a_path_is_absolute_so_that_photographs_are_found_from_everywhere(tmp_path, monkeypatch):
    write(tmp_path / "in" / "a.png", photograph(20))
    monkeypatch.chdir(tmp_path / "in")
    (sample,) = written(tmp_path, "a.png")
    assert sample["filepath"] == str(tmp_path / "in" / "a.png")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, names are Unicode")
def test_a_name_that_is_not_utf8_is_refused_since_its_database_does(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/gr\xf6\xdfe.png")
    write(Path(path), photograph(20))
    with pytest.raises(DataError, match="expected a name of a photograph in UTF-8"):
        written(tmp_path, path)
    assert not (tmp_path / "dataset").exists()


def test_an_array_is_refused_since_fiftyone_finds_none(tmp_path):
    with pytest.raises(DataError, match="array: expected a photograph that is a file"):
        written(tmp_path, photograph(20))


def test_results_of_a_turned_photograph_are_where_it_is_shown_upright(tmp_path):
    (sample,) = written(tmp_path, write_turned(tmp_path / "turned.jpg"))
    (region,) = sample["regions"]["detections"]
    assert region["bounding_box"] == [0.075, 0.0625, 0.175, 0.0625]
    mask = picture(tmp_path, sample["mask"]["mask_path"])
    assert mask.shape == (32, 40)
    assert (mask[SPOT[1:]] == 255).all()
    assert np.count_nonzero(mask) == 14


@pytest.mark.filterwarnings("ignore::patchbank.CalibrationWarning")
def test_results_of_a_region_of_interest_are_those_of_the_whole_photograph(tmp_path):
    recipe = PatchCore(backbone="efficientnet_lite0", image_size=64, false_alarm_rate=0.2)
    fitted = recipe.fit(parts(5), roi=(16, 12, 60, 48))
    seen = fitted.predict(write(tmp_path / "a.png", part(50, defect=9)))
    write_dataset(tmp_path / "dataset", [seen])
    (sample,) = samples_of(tmp_path / "dataset")
    heat = picture(tmp_path, sample["heat_map"]["map_path"])
    mask = picture(tmp_path, sample["mask"]["mask_path"])
    assert heat.shape == mask.shape == (72, 104)
    outside = np.ones((72, 104), bool)
    outside[12:60, 16:76] = False
    assert not heat[outside].any()
    assert heat[24, 26] > 128  # a third of the height and a quarter of the width: the blot
    np.testing.assert_array_equal(mask == 255, seen.anomaly_map > seen.pixel_threshold)
    boxes = [each["bounding_box"] for each in sample["regions"]["detections"]]
    assert boxes == [[r.left / 104, r.top / 72, r.width / 104, r.height / 72] for r in seen.regions]
    assert boxes


def test_a_folder_is_there_when_all_samples_are_written_and_not_before(tmp_path):
    seen = detector().predict(write(tmp_path / "a.png", photograph(20)))

    def stopped():
        yield seen
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_dataset(tmp_path / "dataset", stopped())
    assert os.listdir(tmp_path) == ["a.png"]
    with dataset_folder(tmp_path / "dataset") as dataset:
        dataset.add(seen)
        assert not (tmp_path / "dataset").exists()
    assert sorted(os.listdir(tmp_path)) == ["a.png", "dataset"]
    assert sorted(os.listdir(tmp_path / "dataset")) == ["fields", "metadata.json", "samples.json"]


def test_an_empty_folder_is_filled_and_one_with_files_is_left_alone(tmp_path):
    image = write(tmp_path / "a.png", photograph(20))
    (tmp_path / "dataset").mkdir()
    assert len(written(tmp_path, image)) == 1
    before = (tmp_path / "dataset" / "samples.json").read_bytes()
    with pytest.raises(DataError, match="expected a folder for a dataset that is new or empty"):
        written(tmp_path, image, image)
    assert (tmp_path / "dataset" / "samples.json").read_bytes() == before
    with pytest.raises(DataError, match="new or empty"):
        write_dataset(image, [])


def test_folders_above_are_made_and_one_that_cannot_be_made_is_named(tmp_path):
    write_dataset(tmp_path / "b" / "c" / "dataset", [])
    assert samples_of(tmp_path / "b" / "c" / "dataset") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"dataset: expected to write a dataset, got: Not a dir"):
        write_dataset(tmp_path / "file" / "dataset", [])


def test_every_field_of_a_sample_is_described(tmp_path):
    write_dataset(tmp_path / "dataset", detector().inspect(write_folder(tmp_path / "in")))
    document = json.loads((tmp_path / "dataset" / "metadata.json").read_text())
    fields = {field["db_field"]: field for field in document["sample_fields"]}
    samples = samples_of(tmp_path / "dataset")
    assert {name for sample in samples for name in sample} <= fields.keys()
    for sample in samples:
        for name in ("verdict", "heat_map", "mask"):
            described = {field["db_field"] for field in fields[name]["fields"]}
            assert sample.get(name, {}).keys() - {"_cls"} <= described
    (detections,) = fields["regions"]["fields"]
    described = {field["db_field"] for field in detections["fields"]}
    assert samples[1]["regions"]["detections"][0].keys() - {"_cls"} <= described
    assert document["mask_targets"] == {"mask": {"255": "anomaly"}}
