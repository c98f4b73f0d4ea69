"""Files of tasks for Label Studio, without Label Studio: each value worked out by hand."""

import json
import os
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest

from patchbank import DataError, PatchCore
from patchbank.detector.inspection import FailedInspection
from patchbank.detector.route import Route
from patchbank.integrations.label_studio import config_path, write_tasks
from tests.labelling import ODD_NAME, SPOT, write_folder, write_turned
from tests.painted import detector, photograph, write
from tests.photographs import part, parts

PREFIX = "/data/local-files/?d="
SHA256 = "c0ffee012345" + 52 * "0"


def tasks_of(outcomes, path, **options):
    """Write tasks, and read them again."""
    write_tasks(path, outcomes, **options)
    return json.loads(path.read_text(encoding="utf-8"))


def inspected(tmp_path, *images, **options):
    return tasks_of(detector().inspect(list(images)), tmp_path / "tasks.json", **options)


def rectangle(number, x, y, width, height):
    return {
        "id": f"region-{number}",
        "from_name": "regions",
        "to_name": "image",
        "type": "rectanglelabels",
        "original_width": 40,
        "original_height": 32,
        "image_rotation": 0,
        "value": {
            "x": x,
            "y": y,
            "width": width,
            "height": height,
            "rotation": 0,
            "rectanglelabels": ["anomaly"],
        },
    }


def verdict(choice):
    return {
        "id": "verdict",
        "from_name": "verdict",
        "to_name": "image",
        "type": "choices",
        "value": {"choices": [choice]},
    }


def test_each_photograph_is_a_task_with_its_prediction(tmp_path):
    folder = write_folder(tmp_path / "in")
    good, spots, unread, whole = tasks_of(
        detector().inspect(folder), tmp_path / "tasks.json", detector_sha256=SHA256
    )
    assert good == {
        "data": {
            "image": str(folder / "a.png"),
            "note": "score 20 (threshold 100), p-value 1",
            "verdict": "good",
            "score": 20.0,
            "threshold": 100.0,
            "p_value": 1.0,
            "product": None,
        },
        "predictions": [
            {
                "model_version": "patchbank c0ffee012345",
                "score": 0.0,
                "result": [verdict("good")],
            }
        ],
    }
    assert whole["data"]["verdict"] == "anomalous"
    assert whole["predictions"][0]["result"] == [verdict("anomalous")]
    assert spots["data"]["image"] == str(folder / "b" / ODD_NAME)
    assert spots["predictions"][0]["score"] == 0.75
    # Rows 2 and 3 of 32, columns 3 to 9 of 40; then rows 30 and 31, columns 38 and 39.
    assert spots["predictions"][0]["result"] == [
        verdict("anomalous"),
        rectangle(1, 7.5, 6.25, 17.5, 6.25),
        rectangle(2, 95.0, 93.75, 5.0, 6.25),
    ]
    assert unread["data"]["image"] == str(folder / "c.png")


def test_a_photograph_that_cannot_be_read_has_a_task_that_says_so_and_no_prediction(tmp_path):
    (tmp_path / "c.png").write_bytes(b"no image")
    (task,) = inspected(tmp_path, tmp_path / "c.png")
    assert task.keys() == {"data"}
    assert task["data"]["verdict"] == "unread"
    assert task["data"]["score"] is None
    assert task["data"]["note"].startswith("not inspected: ")
    assert "c.png: expected a PNG, JPEG" in task["data"]["note"]


def test_a_photograph_of_no_product_is_unknown_and_has_no_prediction(tmp_path):
    route = Route(
        product=None,
        nearest="bolts",
        relative_distance=3.0,
        limit=2.0,
        detector_sha256=SHA256,
    )
    failed = FailedInspection("a.png", "a.png: expected a known product", DataError, route)
    (task,) = tasks_of([failed], tmp_path / "tasks.json")
    assert "predictions" not in task
    assert task["data"]["verdict"] == "unknown"
    assert task["data"]["note"] == "not inspected: a.png: expected a known product"


def test_the_configuration_beside_has_what_predictions_name(tmp_path):
    write_folder(tmp_path / "in")
    write_tasks(tmp_path / "tasks.json", detector().inspect(tmp_path / "in"))
    root = ElementTree.parse(tmp_path / "tasks.label_config.xml").getroot()
    assert config_path(tmp_path / "tasks.json") == tmp_path / "tasks.label_config.xml"
    named = {tag.get("name"): tag for tag in root if tag.get("name")}
    assert [choice.get("value") for choice in named["verdict"]] == ["good", "anomalous"]
    assert [label.get("value") for label in named["regions"]] == ["anomaly"]
    assert {named[name].get("toName") for name in ("verdict", "regions")} == {"image"}
    variables = {tag.get("value").removeprefix("$") for tag in root if tag.get("value")}
    for task in json.loads((tmp_path / "tasks.json").read_text()):
        assert all(task["data"][name] for name in variables)


def test_a_prefix_stands_before_the_encoded_path_below_the_folder_that_is_served(tmp_path):
    write(tmp_path / "in" / ODD_NAME, photograph(20))
    (task,) = inspected(tmp_path, tmp_path / "in" / ODD_NAME, url_prefix=PREFIX, root=tmp_path)
    address = task["data"]["image"]
    assert address == f"{PREFIX}in/gr%20%C3%B6%C3%9Fe%20%231%3F%26%2B%25%0A.png"
    assert parse_qs(urlsplit(address).query) == {"d": [f"in/{ODD_NAME}"]}


def test_the_folder_that_is_served_is_the_working_directory_if_none_is_given(tmp_path, monkeypatch):
    write(tmp_path / "in" / "a.png", photograph(20))
    monkeypatch.chdir(tmp_path)
    for given in ("in/a.png", "./in/../in/a.png", tmp_path / "in" / "a.png"):
        (task,) = inspected(tmp_path, given, url_prefix="https://photos.local/line 3/")
        assert task["data"]["image"] == "https://photos.local/line 3/in/a.png"


def test_a_photograph_elsewhere_has_no_address(tmp_path):
    write(tmp_path / "in" / "a.png", photograph(20))
    (tmp_path / "other").mkdir()
    with pytest.raises(DataError, match=r"a\.png: expected a photograph below .*other, which"):
        inspected(tmp_path, tmp_path / "in" / "a.png", url_prefix=PREFIX, root=tmp_path / "other")
    assert not (tmp_path / "tasks.json").exists()
    assert not config_path(tmp_path / "tasks.json").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere, names are Unicode")
def test_a_name_that_is_not_utf8_has_an_address_but_is_refused_as_a_path(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/gr\xf6\xdfe.png")
    write(Path(path), photograph(20))
    (task,) = inspected(tmp_path, path, url_prefix=PREFIX, root=tmp_path)
    assert task["data"]["image"] == f"{PREFIX}gr%F6%DFe.png"
    (tmp_path / "tasks.json").read_bytes().decode("ascii")
    with pytest.raises(DataError, match="expected a name of a photograph in UTF-8"):
        inspected(tmp_path, path)


def test_an_array_is_refused_since_label_studio_finds_none(tmp_path):
    with pytest.raises(DataError, match="array: expected a photograph that is a file"):
        inspected(tmp_path, photograph(20))


def test_regions_of_a_turned_photograph_are_where_it_is_shown_upright(tmp_path):
    path = write_turned(tmp_path / "turned.jpg")
    (task,) = inspected(tmp_path, path)
    (_, region) = task["predictions"][0]["result"]
    assert region == rectangle(1, 7.5, 6.25, 17.5, 6.25)


@pytest.mark.filterwarnings("ignore::patchbank.CalibrationWarning")
def test_regions_of_a_region_of_interest_are_those_of_the_whole_photograph(tmp_path):
    recipe = PatchCore(backbone="efficientnet_lite0", image_size=64, false_alarm_rate=0.2)
    fitted = recipe.fit(parts(5), roi=(16, 12, 60, 48))
    path = tmp_path / "a.png"
    write(path, part(50, defect=9))
    seen = fitted.predict(path)
    (task,) = tasks_of([seen], tmp_path / "tasks.json")
    (_, *found) = task["predictions"][0]["result"]
    assert len(found) == len(seen.regions) > 0
    worst, region = found[0], seen.regions[0]
    assert (worst["original_width"], worst["original_height"]) == (104, 72)
    value = worst["value"]
    assert value["x"] / 100 * 104 == pytest.approx(region.left)
    assert value["y"] / 100 * 72 == pytest.approx(region.top)
    assert value["width"] / 100 * 104 == pytest.approx(region.width)
    assert value["height"] / 100 * 72 == pytest.approx(region.height)
    # The blot is at a quarter of the width and a third of the height of the photograph.
    assert value["x"] < 25 < value["x"] + value["width"]
    assert value["y"] < 100 / 3 < value["y"] + value["height"]


def test_a_file_is_replaced_when_all_tasks_are_written_and_not_before(tmp_path):
    path = tmp_path / "tasks.json"
    path.write_text("old")
    seen = detector().predict(write(tmp_path / "a.png", photograph(20)))

    def stopped():
        yield seen
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_tasks(path, stopped())
    assert path.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["a.png", "tasks.json"]
    (task,) = inspected(tmp_path, tmp_path / "a.png")
    assert task["data"]["verdict"] == "good"


def test_no_photograph_is_an_empty_list(tmp_path):
    assert tasks_of([], tmp_path / "tasks.json") == []


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"tasks\.json: expected to write tasks, got: No such file"):
        write_tasks(tmp_path / "no" / "tasks.json", [])


def test_no_detector_named_is_no_version(tmp_path):
    (task,) = inspected(tmp_path, write(tmp_path / "a.png", photograph(150, SPOT)))
    assert task["predictions"][0]["model_version"] == "patchbank"
