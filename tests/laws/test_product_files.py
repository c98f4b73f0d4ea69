"""Files of many products: digests, records, names, and the shelf that opens what is used."""

import csv
import json
import tempfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patchbank import DataError, PatchCore, fit_each, load
from patchbank.datasets import TrainingImages
from patchbank.products.fitting.found import find_products
from patchbank.products.fitting.record import (
    detector_path,
    photographs_sha256,
    read_record,
    record_path,
    settings_sha256,
    write_record,
)
from patchbank.products.routing import shelf
from patchbank.products.routing.shelf import Shelf
from patchbank.products.routing.usual import Distances, Usual
from tests.painted import detector as painted
from tests.photographs import parts, save

SIZES = {"a": 10, "b": 20, "c": 30, "large": 100}
LIMIT = 50


@pytest.fixture(scope="module")
def detectors(tmp_path_factory):
    """Files of known sizes, next to some that are no detectors."""
    folder = tmp_path_factory.mktemp("shelf")
    for name, size in SIZES.items():
        (folder / f"{name}.patchbank").write_bytes(name[0].encode() * size)
    for name in ("._a.patchbank", "~$b.patchbank", "notes.txt", "c.patchbank.part"):
        (folder / name).write_bytes(b"no detector")
    return folder


@settings(max_examples=100, deadline=None)
@given(asked=st.lists(st.sampled_from(sorted(SIZES)), max_size=20))
def test_the_detectors_that_were_used_last_are_open_and_no_more_than_fit(detectors, asked):
    opened = []

    def open_file(file):
        opened.append(file.stem)
        return replace(painted(), content_sha256=file.read_text())

    expected, misses = OrderedDict(), []
    networks = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shelf, "LIMIT_BYTES", LIMIT)
        there = Shelf(detectors, open_file)
        assert (list(there), len(there), "notes" in there) == (sorted(SIZES), len(SIZES), False)
        for name in asked:
            if name not in expected:
                misses.append(name)
            expected[name] = SIZES[name]
            expected.move_to_end(name)
            while sum(expected.values()) > LIMIT and len(expected) > 1:
                expected.popitem(last=False)
            detector = there[name]
            assert detector.sha256 == name[0] * SIZES[name]
            assert there.open_bytes == sum(expected.values())
            networks.add(id(detector.members[0].extractor))
    assert opened == misses
    assert len(networks) <= 1


DISTANCES = st.floats(0, 9)


@given(ordinary=DISTANCES, largest=DISTANCES, more=st.floats(1, 3), known=st.booleans())
def test_a_spot_never_makes_a_part_another_and_distance_never_makes_it_the_same(
    ordinary, largest, more, known
):
    usual = Usual(1.0, 1.0, 2.0, *((1.0, 1.5) if known else ()))
    found = Distances(ordinary, max(ordinary, largest), ordinary if known else None)
    spot = replace(found, largest=found.largest * more)
    assert usual.is_another(spot) <= usual.is_another(found)
    farther = Distances(*(value and value * more for value in (ordinary, found.largest)), None)
    if known:
        farther = replace(farther, uncovered=ordinary * more)
    assert usual.is_another(found) <= usual.is_another(farther)
    assert not usual.is_another(Distances(1.0, 9.0, 1.0 if known else None))


NAMES = st.sampled_from(["1.png", "2.png", "ä/1.png", "lot 1/2.png"])
PHOTOGRAPHS = st.dictionaries(NAMES, st.sampled_from([b"", b"one", b"two", None]), max_size=3)


def digest_of(photographs, folder, groups=None):
    """Digest of photographs: names -> bytes, None for one that is not there."""
    for name, content in photographs.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            (folder / name).write_bytes(content)
    images = tuple(folder / name for name in photographs)
    return photographs_sha256(TrainingImages(images, groups=groups), folder)


@settings(max_examples=100, deadline=None)
@given(one=PHOTOGRAPHS, other=PHOTOGRAPHS)
def test_photographs_have_one_digest_only_where_names_order_and_contents_are_the_same(one, other):
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory() as there:
        digests = digest_of(one, Path(here)), digest_of(other, Path(there))
    assert (digests[0] == digests[1]) == (list(one.items()) == list(other.items()))


def test_groups_and_settings_count_in_digests(tmp_path):
    groups = (None, ("a",), ("b",), (None,))
    assert len({digest_of({"1.png": b"1"}, tmp_path, one) for one in groups}) == len(groups)
    assert settings_sha256([{"a": 1, "b": 2}]) == settings_sha256([{"b": 2, "a": 1}])
    assert len({settings_sha256(one) for one in ([1, 2], [2, 1], [[1, 2]], ["1", "2"], [])}) == 5


TINY = PatchCore(backbone="efficientnet_lite0", image_size=64, bank_limit=60, scales=(1.0,))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Photographs of one product, and the folder of its detector."""
    root = tmp_path_factory.mktemp("each")
    for number, image in enumerate(parts(4)):
        save(root / "in" / "bolts" / f"{number}.png", image)
    fit_each(root / "in", root / "out", recipe=TINY, device="cpu")
    return root


def test_a_record_that_lacks_anything_is_none_and_one_of_another_product_too(fitted):
    out = fitted / "out"
    whole = json.loads(record_path(out, "bolts").read_bytes())
    content = detector_path(out, "bolts").read_bytes()
    own = {**whole, "product": "p"}
    write_record(out, own)
    assert read_record(out, "p") == own
    for name in own:
        lacking = {key: value for key, value in own.items() if key != name}
        record_path(out, "p").write_text(json.dumps(lacking))
        assert read_record(out, "p") is None, name
    for text in ("", "[]", "null", json.dumps(whole)[:-9], json.dumps(whole)):
        record_path(out, "p").write_text(text)
        assert read_record(out, "p") is None
    record_path(out, "p").unlink()
    record_path(out, "bolts").write_text(json.dumps({**whole, "product": "nuts"}))
    (fit,) = fit_each(fitted / "in", out, recipe=TINY, device="cpu")
    assert (fit.product, fit.error, fit.is_kept) == ("bolts", None, False)
    assert detector_path(out, "bolts").read_bytes() == content
    assert load(fit.file, device="cpu").calibration.threshold == fit.threshold


def test_a_record_that_cannot_be_written_is_an_error_of_one_line(tmp_path):
    (tmp_path / "records").write_text("")
    with pytest.raises(
        DataError, match=r"^[^\n]*p\.json: expected to write the record, got: [^\n]+$"
    ):
        write_record(tmp_path, {"product": "p"})
    assert read_record(tmp_path, "p") is None


PIXELS = parts(1)[0][:3, :5]
CATEGORIES = st.text(st.sampled_from('aä./\\ ~$:*\n,"%部'), min_size=1, max_size=6)


@settings(max_examples=80, deadline=None)
@given(
    names=st.sets(CATEGORIES.filter(str.strip), min_size=1, max_size=3), long=st.integers(190, 210)
)
def test_products_of_a_table_have_files_that_the_shelf_finds_again_or_an_error(names, long):
    with tempfile.TemporaryDirectory() as folder:
        table, out = Path(folder, "t.csv"), Path(folder, "out")
        with table.open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["path", "label", "split", "category"])
            for number, name in enumerate([*names, "n" * long]):
                save(Path(folder, f"{number}.png"), PIXELS)
                rows.writerow([f"{number}.png", "good", "train", name])
        products = find_products(table)
        out.mkdir()
        for product in products:
            if product.error is None:
                assert detector_path(out, product.name).parent == out
                detector_path(out, product.name).write_bytes(b"")
            else:
                assert product.error.startswith("category: expected one that a file can be named")
                assert "\n" not in product.error
        good = [product.name for product in products if product.error is None]
        assert ("n" * long in good) == (long <= 200)
        if good:
            assert sorted(Shelf(out, lambda file: None)) == sorted(good)
