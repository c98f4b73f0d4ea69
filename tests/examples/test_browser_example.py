"""The example page says in real Chromium what the detector says."""

import json
import re
import shutil
import threading
import zlib
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image
from playwright.sync_api import expect

from patchbank.export.precision import TOLERANCES
from tests.examples.exported import EXAMPLES, is_close
from tests.examples.unusual import CLEAR, deep_pngs, deep_tiffs, transparent_files, turned
from tests.requirements import PAGE_TOOLS
from tests.server.pages.screens import launched, small_targets, violations

pytestmark = [pytest.mark.browser, pytest.mark.page_tools]

TOLERATED = {"float16": TOLERANCES["float16"].score, "int8": 1e-2}
"""Share of a score: WebAssembly rounds between layers in int8 in its own way."""
NUMBERS = re.compile(r"score (\S+), p-value (\S+)")
RED_SHARE = """() => {
    const {width, height} = document.querySelector("#regions");
    const context = document.querySelector("#regions").getContext("2d");
    const pixels = context.getImageData(0, 0, width, height).data;
    let red = 0;
    for (let at = 0; at < pixels.length; at += 4) red += pixels[at] > 2 * pixels[at + 2] + 40;
    return [height, width, red / (height * width)];
}"""


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, and prints nothing."""

    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".mjs": "text/javascript"}  # noqa: RUF012

    def log_message(self, *_):
        """Nobody reads it."""


@contextmanager
def served(folder, graph):
    """The page as a user serves it, with a graph: URL."""
    shutil.copytree(EXAMPLES / "browser", folder)
    shutil.copy(graph, folder / "detector.onnx")
    (folder / "node_modules").symlink_to(PAGE_TOOLS / "node_modules")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def site(tmp_path_factory, small):
    """The page with a graph in float32: URL."""
    with served(tmp_path_factory.mktemp("browser") / "page", small.graph) as url:
        yield url


@pytest.fixture(scope="module")
def opened(site):
    """The page on a phone with a camera that shows something drawn, and what went wrong on it."""
    problems: list[str] = []
    camera = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with launched(*camera) as browser:
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: _check(request.url, site, problems))
        page.goto(site)
        expect(page.locator("#verdict")).to_have_text("Ready")
        yield page, problems


@pytest.fixture
def page(opened):
    """The page, on which nothing must go wrong."""
    page, problems = opened
    yield page
    assert problems == []


def _check(url, site, problems):
    if not url.startswith((site, "blob:", "data:")):
        problems.append(f"a request to {url}")


def inspect(page, file):
    """Choose a photograph -> score, p-value, verdict."""
    page.locator("#file").set_input_files(file)
    expect(page.locator("#file")).to_be_enabled()
    expect(page.locator("#numbers")).to_have_text(NUMBERS)
    score, p_value = NUMBERS.match(page.locator("#numbers").inner_text()).groups()
    return float(score), float(p_value), page.locator("#verdict").inner_text()


def test_the_page_says_what_the_detector_says(page, small):
    for case in small.cases:
        inspection = case.inspection
        score, p_value, verdict = inspect(page, case.file)
        assert is_close(score, case)
        assert p_value == pytest.approx(inspection.p_value, rel=0.01)
        assert verdict == ("Anomalous" if inspection.is_anomalous else "Good")
        height, width, red = page.evaluate(RED_SHARE)
        share = float((inspection.anomaly_map > inspection.pixel_threshold).mean())
        assert (height, width) == inspection.anomaly_map.shape
        assert red == pytest.approx(share, abs=0.1)


def test_graphs_that_round_give_the_detector_s_verdicts(opened, rounded, tmp_path):
    browser = opened[0].context.browser
    with served(tmp_path / "page", rounded.graph) as url, browser.new_page() as page:
        page.goto(url)
        expect(page.locator("#verdict")).to_have_text("Ready")
        for case in rounded.cases:
            score, _, verdict = inspect(page, case.file)
            assert score == pytest.approx(case.inspection.score, rel=TOLERATED[rounded.precision])
            assert verdict == ("Anomalous" if case.inspection.is_anomalous else "Good")


def test_colours_of_a_file_with_another_gamma_are_not_converted(page, small, tmp_path):
    case, other = small.cases[1], tmp_path / "gamma.png"
    content = case.file.read_bytes()
    chunk = b"gAMA" + (100_000).to_bytes(4, "big")
    chunk = b"\0\0\0\4" + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    other.write_bytes(content[:33] + chunk + content[33:])  # after the header
    with Image.open(other) as image:
        assert image.info["gamma"] == 1.0
    assert is_close(inspect(page, other)[0], case)


def test_a_photograph_of_the_camera_is_inspected(page):
    page.locator("#camera").click()
    expect(page.locator("#camera")).to_have_text("Take the photograph")
    page.locator("#camera").click()
    expect(page.locator("#numbers")).to_have_text(NUMBERS)
    assert page.evaluate(RED_SHARE)[0] > 0


def test_a_file_that_is_no_photograph_is_said_to_be_none(page, small, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"text")
    page.locator("#file").set_input_files(broken)
    expect(page.locator("#verdict")).to_contain_text("could not be inspected")
    assert is_close(inspect(page, small.cases[0].file)[0], small.cases[0])


def refused(page, file):
    """What the page says of a photograph that it does not inspect."""
    page.locator("#file").set_input_files(file)
    expect(page.locator("#file")).to_be_enabled()
    expect(page.locator("#verdict")).to_contain_text("could not be inspected")
    assert page.locator("#numbers").inner_text() == ""
    assert not page.locator("#regions").is_visible()
    return page.locator("#verdict").inner_text()


def test_what_is_transparent_is_black_and_in_between_it_is_refused(page, small, tmp_path):
    for file in transparent_files(tmp_path):
        if CLEAR in file.name:
            assert is_close(inspect(page, file)[0], small.inspected(file)), file
            assert page.locator("#regions").is_visible()
        else:
            assert "expected opaque pixels" in refused(page, file)


def test_numbers_of_more_than_8_bits_and_other_formats_are_refused(page, tmp_path):
    for file in deep_pngs(tmp_path):
        assert "expected 8 bits a channel, got 16" in refused(page, file)
    for file in deep_tiffs(tmp_path):
        assert "expected a PNG or JPEG" in refused(page, file)


def test_a_photograph_without_a_score_is_refused(opened, cropped, tmp_path):
    graph, file = cropped
    browser = opened[0].context.browser
    with served(tmp_path / "page", graph) as url, browser.new_page() as page:
        page.goto(url)
        expect(page.locator("#verdict")).to_have_text("Ready")
        assert "got 300 x 40" in refused(page, file)


def test_a_photograph_that_was_taken_sideways_is_turned_upright(page, small, tmp_path):
    case = small.cases[1]
    assert is_close(inspect(page, turned(tmp_path / "sideways.png", case.file))[0], case)


def test_the_page_is_accessible(page, small):
    inspect(page, small.cases[1].file)
    assert violations(page) == []
    assert small_targets(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_the_page_asks_for_the_package_that_is_tested():
    asked = json.loads((EXAMPLES / "browser" / "package.json").read_text())["dependencies"]
    tested = json.loads((PAGE_TOOLS / "package.json").read_text())["devDependencies"]
    assert asked.items() <= tested.items()
