"""Edges of tables of photographs and folders of results: columns, names, kinds of files, runs."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
from PIL import Image

import patchbank.images.urls as urls
from patchbank import DataError, predict_to_parquet
from patchbank.bulk.inputs import PhotographTable, blocks
from patchbank.bulk.predict_files import is_table
from patchbank.bulk.results import PartFolder
from tests.painted import detector as painted
from tests.painted import photograph, write

DETECTOR = replace(painted(), content_sha256="5eed" * 16)
MEMORY = fsspec.filesystem("memory")
PART = "part-000000.parquet"


@pytest.fixture
def folder(tmp_path):
    """A good photograph and an anomalous one."""
    write(tmp_path / "in" / "a.png", photograph(20))
    write(tmp_path / "in" / "b.png", photograph(150))
    return tmp_path / "in"


def table_of(folder, columns, name="t.parquet"):
    path = folder / name
    parquet.write_table(pyarrow.table(columns), path)
    return path


def results(photographs, out, **options):
    predict_to_parquet(DETECTOR, photographs, out, **options)
    return parquet.read_table(out).to_pylist()


def refused(photographs, out, **options):
    with pytest.raises(DataError) as said:
        predict_to_parquet(DETECTOR, photographs, out, **options)
    assert "\n" not in str(said.value)
    return str(said.value)


def test_a_column_is_found_by_its_whole_name(folder, tmp_path):
    nested = pyarrow.array([{"path": "a.png"}, {"path": "a.png"}])
    columns = {"photo": nested, "photo.path": ["b.png", "a.png"], "lot": [1, 2]}
    found = results(table_of(folder, columns), tmp_path / "out", column="photo.path")
    assert [row["image"] for row in found] == ["b.png", "a.png"]
    said = refused(table_of(folder, {"photo": nested}), tmp_path / "n", column="photo.path")
    assert "expected a column photo.path with paths or URLs, got photo;" in said


def test_one_name_of_two_columns_is_refused_and_that_of_others_is_not(folder, tmp_path):
    table = pyarrow.Table.from_arrays(
        [pyarrow.array([one]) for one in ("a.png", "b.png", "b.png")], ["photo", "path", "path"]
    )
    parquet.write_table(table, folder / "t.parquet")
    said = refused(folder / "t.parquet", tmp_path / "out")
    assert said.endswith("expected one column path, got 2 of that name; rename the others")
    (row,) = results(folder / "t.parquet", tmp_path / "out", column="photo")
    assert row["image"] == "a.png"


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (pyarrow.array([b"a.png"]), "binary"),
        (pyarrow.array([None], pyarrow.null()), "null"),
        (pyarrow.array([["a.png"]]), "list<element: string>"),
        (pyarrow.array([b"a.png"]).dictionary_encode(), "dictionary<values=binary, "),
        (pyarrow.array([{"path": "a.png"}]), "struct<path: string>"),
    ],
)
def test_what_is_no_text_is_refused_by_its_type(folder, tmp_path, values, named):
    said = refused(table_of(folder, {"path": values}), tmp_path / "out")
    assert f"t.parquet: expected texts in the column path, got {named}" in said
    assert not (tmp_path / "out").exists()


def test_a_text_that_is_no_utf8_is_an_error_that_names_the_table(folder, tmp_path):
    latin = pyarrow.Array.from_buffers(
        pyarrow.string(), 1, pyarrow.array(["größe.png".encode("latin-1")]).buffers()
    )
    said = refused(table_of(folder, {"path": latin}), tmp_path / "out")
    assert said.startswith(f"{folder / 't.parquet'}: expected a Parquet table that can be read")


def test_a_table_without_any_path_is_a_row_each_with_an_error(folder, tmp_path):
    table = table_of(folder, {"path": pyarrow.array([None, None, ""], pyarrow.string())})
    found = results(table, tmp_path / "out")
    assert [row["verdict"] for row in found] == ["unread"] * 3
    assert {row["error"] for row in found} == {
        "photograph: expected a path or a URL, got an empty cell"
    }


@pytest.mark.parametrize(
    "name",
    ["in", ".", "a.png/b.png", "n" * 300 + ".png", "a\0.png", " ", "://a.png", "memory://lines",
     "file://a\0.png", "file:///", "data://", "s3a+b://x", "zip://a.png::memory://none"],
)  # fmt: skip
def test_no_name_stops_a_run_and_none_of_them_has_a_score(folder, tmp_path, name):
    MEMORY.pipe("/lines/a.png", b"")
    table = table_of(folder, {"path": ["a.png", name, "b.png"]})
    errors = []
    good, unread, anomalous = results(table, tmp_path / "out", on_error=errors.append)
    assert (good["score"], anomalous["score"]) == (20.0, 150.0)
    assert (unread["verdict"], unread["image"]) == ("unread", name)
    assert errors == [unread["error"]]
    assert unread["error"].startswith(f"{name}: expected a")
    known = {key for key, value in unread.items() if value is not None}
    assert known == {"row", "image", "verdict", "error", "detector_sha256"}


def test_a_name_means_the_same_however_it_is_written(folder, tmp_path):
    name = "Größe 1 & 50%20 #2?[a]*.png"
    shutil.copy(folder / "b.png", folder / name)
    MEMORY.pipe(f"/lines/{name}", (folder / name).read_bytes())
    file = folder / name
    written = [name, f"./{name}", f"../in/{name}", str(file), f"file://{file}", file.as_uri()]
    written += [f"local://{file}", f"memory://lines/{name}"]
    found = results(table_of(folder, {"path": written}), tmp_path / "out")
    assert [row["image"] for row in found] == written
    assert [row["error"] for row in found] == [None] * len(written)
    assert {row["score"] for row in found} == {150.0}


def test_a_path_of_a_table_is_that_of_its_folder_wherever_one_is(folder, tmp_path, monkeypatch):
    table = table_of(folder, {"path": ["a.png"]})
    write(tmp_path / "elsewhere" / "a.png", photograph(70))
    monkeypatch.chdir(tmp_path / "elsewhere")
    (first,) = results(os.path.relpath(table), tmp_path / "out")
    assert first["score"] == 20.0
    monkeypatch.chdir(tmp_path)
    assert predict_to_parquet(DETECTOR, table, tmp_path / "out").kept == 1
    (listed,) = results(["elsewhere/a.png"], tmp_path / "listed")
    assert listed["score"] == 70.0
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert "whose photographs_sha256 differ" in refused(["elsewhere/a.png"], tmp_path / "listed")


def test_a_file_that_is_too_large_is_not_fetched_and_not_cut(folder, tmp_path, monkeypatch):
    content = (folder / "a.png").read_bytes()
    MEMORY.pipe("/lines/a.png", content)
    table = table_of(tmp_path, {"path": ["memory://lines/a.png"]})
    monkeypatch.setattr(urls, "LARGEST_BYTES", len(content))
    assert results(table, tmp_path / "out")[0]["score"] == 20.0
    monkeypatch.setattr(urls, "LARGEST_BYTES", len(content) - 1)
    (row,) = results(table, tmp_path / "smaller")
    assert row["error"] == (
        f"memory://lines/a.png: expected at most {len(content) - 1:,} bytes, got more"
    )
    assert row["score"] is None


def test_a_photograph_of_any_kind_has_the_result_that_it_has_alone(tmp_path):
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 65536, (32, 40), np.uint16)
    kinds = {
        "deep.png": Image.fromarray(deep),
        "deep.tif": Image.fromarray(deep),
        "grey.png": Image.fromarray((deep >> 8).astype(np.uint8)),
        "tall.png": Image.fromarray(photograph(150, size=(90, 20))),
        "flat.png": Image.fromarray(photograph(20, size=(12, 200))),
        "alpha.png": Image.fromarray(rng.integers(0, 256, (32, 40, 4), np.uint8)),
        "one bit.png": Image.fromarray(deep > 30000),
        "palette.gif": Image.fromarray(photograph(90)).convert("P"),
        "text.png": None,
    }
    for name, image in kinds.items():
        if image is None:
            (tmp_path / name).write_bytes(b"no image")
        else:
            image.save(tmp_path / name)
    paths = [str(tmp_path / name) for name in kinds]
    found = results([*paths, *(f"file://{path}" for path in paths)], tmp_path / "out")
    for path, row, fetched in zip(paths, found, found[len(paths) :], strict=False):
        (alone,) = DETECTOR.inspect([path])
        expected = alone.to_json()
        for one in (row, fetched):
            assert one["score"] == expected["score"], path
            assert (one["score"] is None) == (one["error"] is not None) == path.endswith("text.png")
        assert (row["width"], row["height"], row["regions"]) == (
            *(fetched["width"], fetched["height"], fetched["regions"]),
        )
    assert [row["width"] for row in found[3:5]] == [20, 200]
    assert (found[0]["score"], found[0]["width"]) == (found[1]["score"], 40)


def test_the_record_of_a_run_decides_and_one_that_says_nothing_is_refused(folder, tmp_path):
    out, record = tmp_path / "out", tmp_path / "out" / "_run" / "run.json"
    predict_to_parquet(DETECTOR, folder, out)
    before = (out / PART).read_bytes()
    whole = json.loads(record.read_text())
    for content in ("", "[]", "null", "7", '"run"'):
        record.write_text(content)
        assert "expected the record of a run, got no JSON" in refused(folder, out)
    for name in whole:
        record.write_text(json.dumps({key: whole[key] for key in whole if key != name}))
        assert f"of another run, whose {name} differ" in refused(folder, out)
    record.write_text(json.dumps({**whole, "schema_version": 2}))
    assert "whose schema_version differ" in refused(folder, out)
    assert (out / PART).read_bytes() == before
    record.unlink()
    (out / PART).unlink()  # a run that was killed before it wrote anything
    assert predict_to_parquet(DETECTOR, folder, out).kept == 0
    assert (out / PART).read_bytes() == before
    assert json.loads(record.read_text()) == whole


def test_parts_without_a_run_and_photographs_are_not_written_over(folder, tmp_path):
    out = tmp_path / "out"
    predict_to_parquet(DETECTOR, folder, out)
    shutil.rmtree(out / "_run")
    before = (out / PART).read_bytes()
    assert f"got {PART}" in refused([folder / "b.png", folder / "a.png"], out)
    assert (out / PART).read_bytes() == before
    assert "got a.png, b.png" in refused(folder, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.png"]


def test_a_table_under_another_name_or_time_is_the_same_and_another_column_is_not(folder, tmp_path):
    columns = {"path": ["a.png", "b.png"], "other": ["a.png", "b.png"]}
    table = table_of(folder, columns)
    predict_to_parquet(DETECTOR, table, tmp_path / "out")
    os.utime(table, (1, 1))
    moved = table.rename(folder / "moved.PARQUET")
    assert is_table(moved)
    assert predict_to_parquet(DETECTOR, moved, tmp_path / "out").kept == 2
    assert "whose photographs_sha256 differ" in refused(moved, tmp_path / "out", column="other")
    os.mkdir(folder / "folder.parquet")
    assert not is_table(folder / "folder.parquet")


def test_a_photograph_that_appears_in_a_folder_begins_another_run(folder, tmp_path):
    predict_to_parquet(DETECTOR, folder, tmp_path / "out")
    write(folder / "aa.png", photograph(30))
    said = refused(folder, tmp_path / "out")
    assert "whose photographs_sha256, photographs differ; give another folder" in said


def test_a_place_where_no_folder_can_be_is_an_error_of_one_line(folder, tmp_path):
    (tmp_path / "file").write_text("")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "later")  # a drive that is not there
    for out in (tmp_path / "file" / "out", Path("/proc/no/out"), tmp_path / ("n" * 300), link):
        assert refused(folder, out).startswith(f"{out}: expected a folder for results, got: ")
    (tmp_path / "later").mkdir()
    assert len(results(folder, link)) == 2
    assert (tmp_path / "later" / PART).exists()


def test_a_part_with_rows_but_no_results_is_no_part(folder, tmp_path):
    (block,) = blocks(PhotographTable(table_of(folder, {"path": ["a.png", "b.png"]})), 50)
    there = PartFolder(tmp_path)
    for columns in ({"path": ["a", "b"]}, {"verdict": ["good", "good"]}, {"verdict": [1, 2]}):
        table_of(tmp_path, columns, PART)
        assert there.summary_of(block) is None
    table_of(tmp_path, {"verdict": ["good", "unread"], "error": [None, "no"]}, PART)
    assert there.summary_of(block).errors == ["no"]
    (tmp_path / PART).unlink()
    (tmp_path / PART).mkdir()
    assert there.summary_of(block) is None
