"""`patchbank predict --label-studio` and ``--fiftyone``."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from patchbank import PatchCore, load
from patchbank.cli.path_lists import Given
from patchbank.cli.predict import Outputs, inspect_paths
from patchbank.errors import DataError
from patchbank.integrations.fiftyone import map_pictures
from tests.command_line import run
from tests.labelling import ODD_NAME, write_folder
from tests.painted import detector, photograph, write
from tests.photographs import part, parts, save

pytestmark = pytest.mark.filterwarnings("ignore::patchbank.CalibrationWarning")


def inspect(*paths, **outputs):
    """Inspect as the command does."""
    return inspect_paths(detector(), [Given(Path(p), False) for p in paths], Outputs(**outputs))


def tasks_of(path):
    return json.loads(path.read_text(encoding="utf-8"))


def samples_of(folder):
    return tasks_of(folder / "samples.json")["samples"]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """-> the file of a detector."""
    path = tmp_path_factory.mktemp("fitted") / "a.patchbank"
    recipe = PatchCore(backbone="efficientnet_lite0", image_size=64, false_alarm_rate=0.2)
    recipe.fit(parts(6)).save(path)
    return path


def test_both_are_written_with_the_detector_and_agree_with_the_lines(
    fitted, tmp_path, capsys, monkeypatch
):
    save(tmp_path / "in" / "bad.png", part(50, defect=9))
    save(tmp_path / "in" / "good.png", part(3))
    (tmp_path / "in" / "no.png").write_bytes(b"no image")
    monkeypatch.chdir(tmp_path)
    options = ("--label-studio", "t.json", "--url-prefix", "/data/local-files/?d=")
    status, out, _ = run(
        capsys, "predict", fitted, "in", "--json", "-", *options, "--fiftyone", "dataset"
    )
    assert status == 1  # one of them could not be read
    lines = {Path(line["image"]).name: line for line in map(json.loads, out.splitlines())}
    sha256 = load(fitted).sha256
    tasks = {task["data"]["image"]: task for task in tasks_of(Path("t.json"))}
    samples = {Path(each["filepath"]).name: each for each in samples_of(Path("dataset"))}
    assert len(lines) == len(tasks) == len(samples) == 3
    for name in ("bad.png", "good.png"):
        line, task = lines[name], tasks[f"/data/local-files/?d=in/{name}"]
        sample = samples[name]
        (prediction,) = task["predictions"]
        assert prediction["model_version"] == f"patchbank {sha256[:12]}"
        assert prediction["score"] == 1 - line["p_value"]
        assert len(prediction["result"]) == 1 + len(line["regions"])
        assert sample["detector_sha256"] == sha256
        assert sample["score"] == task["data"]["score"] == line["score"]
        assert [r["score"] for r in sample["regions"]["detections"]] == [
            r["score"] for r in line["regions"]
        ]
    assert lines["bad.png"]["regions"]
    assert "predictions" not in tasks["/data/local-files/?d=in/no.png"]
    assert samples["no.png"]["verdict"]["label"] == "unread"
    # Pictures that were drawn while the photograph was inspected are those drawn afterwards.
    with Image.open(Path("dataset") / samples["bad.png"]["heat_map"]["map_path"]) as image:
        drawn = np.asarray(image)
    (tmp_path / "again.png").write_bytes(map_pictures(load(fitted).predict("in/bad.png")).heat_map)
    with Image.open("again.png") as image:
        np.testing.assert_array_equal(drawn, np.asarray(image))
    assert Path("t.label_config.xml").is_file()


def test_good_photographs_are_left_out_where_only_anomalous_ones_are_wanted(tmp_path):
    folder = write_folder(tmp_path / "in")
    targets = {"label_studio": tmp_path / "t.json", "fiftyone": tmp_path / "dataset"}
    count = inspect(folder, **targets, only_anomalous=True)
    assert (count.good, count.anomalous, count.unread) == (1, 2, 1)
    names = [folder / "b" / ODD_NAME, folder / "c.png", folder / "d.png"]
    assert [t["data"]["image"] for t in tasks_of(tmp_path / "t.json")] == list(map(str, names))
    assert [s["filepath"] for s in samples_of(tmp_path / "dataset")] == list(map(str, names))


def test_a_photograph_without_an_address_ends_it_before_the_work(tmp_path, monkeypatch, capsys):
    write(tmp_path / "in" / "a.png", photograph(20))
    write(tmp_path / "other" / "b.png", photograph(20))
    monkeypatch.chdir(tmp_path / "in")
    with pytest.raises(DataError, match=r"b\.png: expected a photograph below .*in, which"):
        inspect(
            "a.png",
            tmp_path / "other" / "b.png",
            label_studio=tmp_path / "t.json",
            url_prefix="https://photos.local/",
            fiftyone=tmp_path / "dataset",
        )
    assert capsys.readouterr().out == ""
    assert sorted(os.listdir(tmp_path)) == ["in", "other"]


def test_files_of_before_stay_where_a_list_of_photographs_is_empty(tmp_path):
    (tmp_path / "t.json").write_text("old")
    with pytest.raises(DataError, match="expected photographs, got an empty list"):
        inspect(label_studio=tmp_path / "t.json", fiftyone=tmp_path / "dataset")
    assert (tmp_path / "t.json").read_text() == "old"
    assert os.listdir(tmp_path) == ["t.json"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--url-prefix", "x"], "url-prefix: expected together with --label-studio"),
        (["--label-studio", "no/t.json"], "--label-studio: expected a file in a folder that"),
        (["--label-studio", "in/a.png"], "--label-studio: expected a file for the result"),
        (["--label-studio", "t.json", "--csv", "t.json"], "--label-studio: expected a file of"),
        (
            ["--label-studio", "t.json", "--csv", "t.label_config.xml"],
            r"--label-studio \(configuration\): expected a file of its own",
        ),
        (["--fiftyone", "in/dataset"], "--fiftyone: expected a folder outside of in"),
        (["--fiftyone", "full"], "expected a folder for a dataset that is new or empty"),
        (["--fiftyone", "dataset", "--parquet", "p"], "--fiftyone: expected without --parquet"),
        (["--label-studio", "t.json", "--parquet", "p"], "--label-studio: expected without --p"),
    ],
)
def test_what_cannot_be_written_is_said_before_the_work(
    fitted, tmp_path, monkeypatch, capsys, options, message
):
    write(tmp_path / "in" / "a.png", photograph(20))
    write(tmp_path / "full" / "a.png", photograph(20))
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, "predict", fitted, "in", *options)
    assert (status, out) == (2, "")
    assert re.search(message, err)
    assert sorted(os.listdir(tmp_path)) == ["full", "in"]
