"""Tables of photographs to tables of results: a row each, in order, and the same after any loss."""

import hashlib
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank import DataError, predict_to_parquet
from patchbank.bulk.inputs import PhotographList, PhotographTable, blocks, rows_per_part
from patchbank.detector.result_rows import COLUMNS, row_of
from patchbank.images.urls import fetched, is_url
from patchbank.runtime import digest
from tests.painted import detector as painted
from tests.painted import photograph, write

DETECTOR = replace(painted(), content_sha256="5eed" * 16)
SPOT = (120, slice(2, 4), slice(3, 10))
SCORES = {"good.png": 20.0, "odd.png": 150.0}
"""Photographs that can be read; their threshold is 100."""
NAMES = st.sampled_from([*SCORES, "bad.png", "absent.png", "nosuch://a.png", "", None])
KINDS = [
    pyarrow.string(),
    pyarrow.large_string(),
    pyarrow.string_view(),
    pyarrow.dictionary(pyarrow.int32(), pyarrow.string()),
]
N_ROWS = 170  # four parts, the last one not full


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("laws")
    write(root / "good.png", photograph(20))
    write(root / "odd.png", photograph(150, SPOT))
    (root / "bad.png").write_bytes(b"no image")
    return root


def write_table(path, names, **options):
    parquet.write_table(pyarrow.table({"path": names}), path, **options)
    return path


def contents(out):
    """Bytes of each part, by its name."""
    return {path.name: path.read_bytes() for path in sorted(out.glob("part-*"))}


@settings(max_examples=25, deadline=None)
@given(
    names=st.lists(NAMES, min_size=1, max_size=20).map(lambda names: names * 6),
    group=st.integers(1, 60),
    kind=st.sampled_from(KINDS),
    compression=st.sampled_from(["none", "snappy", "zstd"]),
)
def test_each_row_has_its_result_whatever_the_table_is_made_of(
    root, names, group, kind, compression
):
    texts = pyarrow.array(names, pyarrow.string()).cast(kind)
    table = write_table(root / "t.parquet", texts, row_group_size=group, compression=compression)
    errors = []
    with tempfile.TemporaryDirectory() as out:
        count = predict_to_parquet(DETECTOR, table, out, on_error=errors.append)
        found = parquet.read_table(out).to_pylist()
    assert [row["row"] for row in found] == list(range(len(names)))
    assert [row["image"] for row in found] == [name or "" for name in names]
    assert [row["score"] for row in found] == [SCORES.get(name) for name in names]
    assert errors == [row["error"] for row in found if row["error"] is not None]
    assert count.unread == len(errors) == sum(name not in SCORES for name in names)
    assert (count.good, count.anomalous) == tuple(map(names.count, SCORES))
    assert (count.total, count.kept) == (len(names), 0)


@pytest.fixture(scope="module")
def undisturbed(root):
    """A table of four parts, the bytes of its results, and the count."""
    rng = np.random.default_rng(3)
    names = rng.choice([*SCORES, "bad.png"], N_ROWS).tolist()
    table = write_table(root / "resumed.parquet", names, row_group_size=33)
    count = predict_to_parquet(DETECTOR, table, root / "undisturbed")
    return table, contents(root / "undisturbed"), count


LOSSES = st.dictionaries(
    st.integers(0, 3),
    st.sampled_from(["removed", "foreign", "of another part"]) | st.floats(0, 0.999),
)
"""What happens to a part: a share is the part of its bytes that is left."""


@settings(max_examples=15, deadline=None)
@given(losses=LOSSES)
def test_a_run_that_goes_on_ends_with_the_same_bytes_whatever_was_lost(undisturbed, losses):
    table, before, count = undisturbed
    with tempfile.TemporaryDirectory() as folder:
        out = shutil.copytree(table.parent / "undisturbed", Path(folder, "out"))
        for number, loss in losses.items():
            part = out / f"part-{number:06}.parquet"
            if loss == "removed":
                part.unlink()
            elif loss == "foreign":
                write_table(part, ["good.png"] * 50)
            elif loss == "of another part":
                other = "part-000003.parquet" if number != 3 else "part-000000.parquet"
                part.write_bytes(before[other])
            else:
                part.write_bytes(part.read_bytes()[: int(loss * len(before[part.name]))])
        kept = {part: part.stat().st_mtime_ns for part in out.glob("part-*")}
        again = predict_to_parquet(DETECTOR, table, out)
        assert contents(out) == before
        untouched = set(range(4)) - set(losses)
        assert again == replace(count, kept=sum(20 if n == 3 else 50 for n in untouched))
        for number in untouched:
            part = out / f"part-{number:06}.parquet"
            assert part.stat().st_mtime_ns == kept[part]


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), n_bytes=st.integers(1, 4), cut=st.floats(0, 1) | st.none())
def test_a_damaged_table_is_an_error_of_one_line_and_never_another(root, seed, n_bytes, cut):
    table = write_table(root / "w.parquet", [f"{n % 7}ä.png" for n in range(90)], row_group_size=40)
    content, rng = bytearray(table.read_bytes()), np.random.default_rng(seed)
    for place in rng.integers(0, len(content), n_bytes):
        content[place] = rng.integers(256)
    table.write_bytes(content if cut is None else content[: int(cut * len(content))])
    said = ""
    try:
        assert all(isinstance(name, str | None) for name in PhotographTable(table).names())
    except DataError as error:
        said = str(error)
    assert not said or said.startswith(f"{table}: expected ")
    assert "\n" not in said


@settings(max_examples=60, deadline=None)
@given(n_rows=st.integers(1, 400), group=st.integers(1, 150), size=st.integers(1, 130))
def test_blocks_are_the_table_cut_into_pieces(root, n_rows, group, size):
    names = [f"{number}.png" for number in range(n_rows)]
    table = write_table(root / "cut.parquet", names, row_group_size=group)
    found = list(blocks(PhotographTable(table), size))
    assert [name for block in found for name in block.names] == names
    assert [block.number for block in found] == list(range(len(found)))
    assert all(names[block.first_row] == block.names[0] for block in found)
    assert {len(block.names) for block in found[:-1]} <= {size}


@given(n_rows=st.integers(1, 10**9))
def test_a_longer_table_never_has_smaller_parts(n_rows):
    assert rows_per_part(n_rows) <= rows_per_part(n_rows + 1)


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=4)


@settings(max_examples=50, deadline=None)
@given(one=st.lists(TEXTS, max_size=4), other=st.lists(TEXTS, max_size=4))
def test_lists_have_the_same_digest_only_where_they_are_the_same(one, other):
    digests = PhotographList(one).sha256, PhotographList(other).sha256
    assert (digests[0] == digests[1]) == (one == other)


def test_the_digest_of_a_list_has_the_folder_and_the_names_apart(tmp_path, monkeypatch):
    found = []
    for folder, name in (("a", "b.png"), ("ab", ".png"), ("ab", "b.png")):
        (tmp_path / folder).mkdir(exist_ok=True)
        monkeypatch.chdir(tmp_path / folder)
        found.append(PhotographList([name]).sha256)
    assert len(set(found)) == 3


FILE_NAMES = st.text(st.sampled_from("aä %2025[]*?#&+=部"), min_size=1, max_size=9)
"""Without ``::``, with which fsspec chains file systems."""


@settings(max_examples=80, deadline=None)
@given(name=FILE_NAMES, decoy=st.sampled_from(["a%20b", "a b", "%", "ä", "%25"]))
def test_the_url_of_a_file_leads_to_it_whatever_its_name(name, decoy):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / decoy).write_bytes(b"another file")
        path = Path(folder) / name
        path.write_bytes(name.encode())
        plain = f"file://{path}"
        assert is_url(plain)
        assert not is_url(str(path))
        assert (fetched(plain).name, fetched(plain).content) == (plain, name.encode())
        escaped = path.as_uri()
        of_that_name = Path(escaped.removeprefix("file://"))
        meant = of_that_name if of_that_name.exists() else path
        assert (fetched(escaped).name, fetched(escaped).content) == (escaped, meant.read_bytes())


@settings(max_examples=60, deadline=None)
@given(score=st.integers(0, 255), peak=st.integers(0, 255), height=st.integers(3, 9))
def test_rows_say_what_the_inspection_says_and_only_that(score, peak, height):
    image = photograph(score, (peak, slice(1, height), slice(4, 9)))
    inspection = DETECTOR.predict(image)
    row = row_of(inspection, "c0de")
    assert list(row) == list(COLUMNS)
    assert (row["verdict"] == "anomalous") == (score > row["threshold"]) == inspection.is_anomalous
    assert (row["score"], row["width"], row["height"]) == (score, 40, 32)
    assert (row["error"], row["product"], row["detector_sha256"]) == (None, None, "c0de")
    assert row["regions"] == (peak > 90)
    worst = [row[name] for name in COLUMNS if name.startswith("worst")]
    assert worst == ([4, 1, 5, height - 1, 5 * (height - 1), peak] if peak > 90 else [None] * 6)


@settings(max_examples=30, deadline=None)
@given(n_bytes=st.integers(0, 300), block=st.integers(1, 100))
def test_the_digest_of_a_file_does_not_depend_on_how_it_is_read(root, n_bytes, block):
    content = np.random.default_rng(n_bytes).bytes(n_bytes)
    (root / "file").write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(digest, "BLOCK_BYTES", block)
        assert digest.file_sha256(root / "file") == hashlib.sha256(content).hexdigest()
