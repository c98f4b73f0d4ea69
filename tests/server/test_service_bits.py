"""One photograph has one score: by HTTP, by Python and on the command line, to the last bit."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from patchbank.detector.loading import load
from tests.photographs import part
from tests.server.services import run

pytestmark = pytest.mark.serve
KEYS = ("size", "score", "p_value", "threshold", "anomalous", "regions", "unlike", "error")


def encoded(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def deep(array):
    """16 bits a channel in grey."""
    return Image.fromarray(array[..., 0].astype(np.uint16) * 257)


def turned(array):
    """A JPEG file that says it has to be turned by a quarter."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(Image.fromarray(np.rot90(array)), "JPEG", quality=95, exif=exif)


def with_alpha(array):
    alpha = np.full((*array.shape[:2], 1), 255, np.uint8)
    alpha[:10] = 0
    return Image.fromarray(np.concatenate([array, alpha], axis=2))


KINDS = {
    "colour.png": lambda a: encoded(Image.fromarray(a), "PNG"),
    "colour.jpg": lambda a: encoded(Image.fromarray(a), "JPEG", quality=90),
    "grey.png": lambda a: encoded(Image.fromarray(a).convert("L"), "PNG"),
    "deep.png": lambda a: encoded(deep(a), "PNG"),
    "deep.tif": lambda a: encoded(deep(a), "TIFF"),
    "cmyk.jpg": lambda a: encoded(Image.fromarray(a).convert("CMYK"), "JPEG", quality=95),
    "turned.jpg": turned,
    "alpha.png": lambda a: encoded(with_alpha(a), "PNG"),
    "palette.png": lambda a: encoded(Image.fromarray(a).convert("P"), "PNG"),
}


@pytest.fixture(scope="module")
def lines(fitted, tmp_path_factory):
    """Each kind with its bytes and the line that `patchbank predict --json` writes."""
    folder = tmp_path_factory.mktemp("kinds")
    content = {name: make(part(201, defect=6)) for name, make in KINDS.items()}
    for name, data in content.items():
        (folder / name).write_bytes(data)
    done = run("predict", fitted, *(folder / name for name in KINDS), "--json", "-")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {name: (content[name], line) for name, line in zip(KINDS, found, strict=True)}


@pytest.mark.parametrize("name", KINDS)
def test_http_python_and_the_command_line_give_the_same_bits(service, fitted, lines, name):
    content, line = lines[name]
    sent = service.inspect(content, name)
    assert sent.status_code == 200, sent.text
    answer, python = sent.json(), load(fitted).predict(content).to_json()
    for key in (*KEYS, "version", "detector_sha256"):
        assert answer[key] == line[key], key
    for key in KEYS:
        assert answer[key] == python[key], key
    raw = service.http.post("/v1/inspections", params={"name": name}, content=content).json()
    assert [raw[key] for key in KEYS] == [answer[key] for key in KEYS]
    assert list(answer)[: len(line)] == list(line)


def test_the_kinds_are_seen_as_different_photographs(lines):
    """The scores would be equal for nothing if all kinds were read as the same pixels."""
    scores = [line["score"] for _, line in lines.values()]
    assert len(set(scores)) >= 5


def test_scores_under_load_are_those_of_one_photograph_alone(service, fitted):
    from concurrent.futures import ThreadPoolExecutor

    contents = [encoded(Image.fromarray(part(seed, defect=4)), "PNG") for seed in range(12)]
    detector = load(fitted)
    alone = [detector.predict(content).score for content in contents]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda content: service.inspect(content).json(), contents))
    assert [one["score"] for one in together] == alone


AS_THEY_ARE = ("colour.png", "colour.jpg", "grey.png")


@pytest.mark.parametrize("name", KINDS)
def test_a_trial_has_the_very_line_and_a_photograph_that_browsers_show(service, lines, name):
    content, line = lines[name]
    before = len(service.on_record())
    sent = service.http.post("/v1/trials", files={"image": (name, content)})
    assert sent.status_code == 200, sent.text
    answer = sent.json()
    assert {key: answer[key] for key in line} == {**line, "image": name}
    assert [*answer][: len(line)] == [*line]
    assert answer["verdict"] == ("anomalous" if line["anomalous"] else "good")
    raw = service.http.post("/v1/trials", params={"name": name}, content=content).json()
    assert [raw[key] for key in KEYS] == [answer[key] for key in KEYS]
    assert service.http.get(answer["links"]["self"]).json() == answer
    shown = service.http.get(answer["links"]["photograph"])
    picture = Image.open(io.BytesIO(shown.content))
    assert (shown.content == content) == (name in AS_THEY_ARE)
    assert picture.get_format_mimetype() == shown.headers["content-type"]
    assert picture.format in ("PNG", "JPEG")
    assert picture.getexif().get(0x0112, 1) == 1
    read = load_pixels(content)
    if name != "colour.jpg":  # the decoder of a JPEG file is that of the package
        assert (np.asarray(picture.convert("RGB")) == read).all()
    assert picture.size == (read.shape[1], read.shape[0]) == tuple(line["size"])
    assert len(service.on_record()) == before  # nothing of it is recorded


def load_pixels(content):
    from patchbank.images.source import read_image

    return read_image(content)
