"""Photographs as pages show them: with the marks, without what a caption would say."""

from __future__ import annotations

import io
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from patchbank.server.service import pictures
from tests.server.services import Running, check_error, png

pytestmark = pytest.mark.serve
WIDTH, HEIGHT = 2000, 1300


@pytest.fixture(scope="module")
def inspected(fitted, tmp_path_factory):
    """A service, and the number of a large part with a defect."""
    folder = tmp_path_factory.mktemp("photographs")
    with Running(folder / "data", shutil.copy(fitted, folder / "parts.patchbank")) as running:
        content = png(3, defect=400, size=(HEIGHT, WIDTH))
        answer = running.inspect(content, "large.png").json()
        assert answer["verdict"] == "anomalous"
        yield running, answer["id"]


def pixels(running, path) -> np.ndarray:
    answer = running.http.get(path)
    assert answer.headers["content-type"] == "image/jpeg"
    return np.asarray(Image.open(io.BytesIO(answer.content))).astype(int)


@pytest.mark.parametrize("name", ["plain", "marked"])
def test_a_picture_has_the_sides_of_the_photograph_at_both_sizes(inspected, name):
    running, number = inspected
    assert pixels(running, f"/parts/{number}/{name}").shape == (1040, 1600, 3)
    full = f"/parts/{number}/{name}?size=full"
    assert pixels(running, full).shape == (HEIGHT, WIDTH, 3)
    check_error(running.http.get(f"/parts/{number}/{name}?size=huge"), 422)
    check_error(running.http.get(f"/parts/{number + 1}/{name}"), 404)


def test_marks_lie_over_the_plain_photograph_and_programs_get_the_caption_too(inspected):
    running, number = inspected
    plain = pixels(running, f"/parts/{number}/plain?size=full")
    marked = pixels(running, f"/parts/{number}/marked?size=full")
    overlay = pixels(running, f"/v1/inspections/{number}/overlay")
    caption = overlay.shape[0] - HEIGHT
    assert caption == WIDTH // 40
    assert np.abs(overlay[caption:] - marked).mean() < 3  # two JPEG files
    assert np.abs(plain - marked).max() > 60


def test_small_ones_are_remembered_by_photograph_and_size_until_it_is_deleted(inspected):
    running, number = inspected
    tile, strip = f"/history/{number}/small", f"/line/parts/parts/{number}/small"
    first = [running.http.get(path).content for path in (tile, strip)]
    assert [running.http.get(path).content for path in (tile, strip)] == first
    assert pixels(running, strip).shape == (416, 640, 3)
    assert pixels(running, tile).shape != pixels(running, strip).shape
    second = running.inspect(png(4, defect=200, size=(240, 320)), "other.png").json()["id"]
    assert pixels(running, f"/line/parts/parts/{second}/small").shape == (240, 320, 3)
    kept = [path for path in (running.data / "pictures").rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        path.unlink()
    for path in (tile, strip):
        check_error(running.http.get(path), 410, "gone")


def test_no_more_small_ones_are_remembered_than_fit_and_the_oldest_go_first(monkeypatch):
    monkeypatch.setattr(pictures, "MOST_SMALL", 2)
    made = pictures.MadePictures(None, SimpleNamespace(read=lambda name: name.encode()))
    worked = []

    def small(name, longest_px=64):
        inspection = SimpleNamespace(id=1, photograph=name)
        return made.small(inspection, longest_px, lambda content: worked.append(content) or content)

    assert [small(name) for name in ("a", "b", "a", "b")] == [b"a", b"b", b"a", b"b"]
    assert worked == [b"a", b"b"]
    small("a", 32)  # another size is another picture: the oldest one is forgotten
    assert [small(name) for name in ("b", "a")] == [b"b", b"a"]
    assert worked == [b"a", b"b", b"a", b"a"]
