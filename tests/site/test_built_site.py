"""The site that `make docs` has built, read from its files and in real Chromium."""

from __future__ import annotations

import threading
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

from tests.pages import ROOT

pytestmark = [pytest.mark.site]

SITE = (ROOT / "build" / "site").resolve()
FIRST = "docs/index.html"
MOST_BYTES = 300_000
WIDTHS = {"desktop": (1920, 1080), "phone": (390, 844)}
LOADED = {("img", "src"), ("script", "src"), ("link", "href"), ("source", "src")}


def pages():
    """Addresses of all pages below the site; pages of copied files are not ours."""
    found = [path.relative_to(SITE) for path in SITE.rglob("*.html")]
    return sorted(
        p.as_posix() for p in found if p.parts[0] not in ("_downloads", "_static", "files")
    )


class Links(HTMLParser):
    """Anchors, links and loaded files of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors, self.links, self.loaded = {""}, set(), set()
        self.has_title = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.has_title |= tag == "title"
        self.anchors |= {given[key] for key in ("id", "name") if given.get(key)}
        if tag == "a" and given.get("href"):
            self.links.add(given["href"])
        for key in ("src", "href"):
            if (tag, key) in LOADED and given.get(key):
                self.loaded.add(given[key])


@pytest.fixture(scope="module")
def read():
    return {page: Links(SITE / page) for page in pages()}


def is_outside(address):
    return "//" in address.partition("?")[0] or address.startswith(("mailto:", "data:"))


def test_every_link_leads_to_a_file_and_an_anchor(read):
    broken = []
    for page, links in read.items():
        for link in links.links | links.loaded:
            if is_outside(link):
                continue
            address, anchor = urldefrag(link)
            target = (
                SITE / unquote(address.partition("?")[0]) if link.startswith("/") else SITE / page
            )
            if address and not link.startswith("/"):
                target = target.parent / unquote(address.partition("?")[0])
            target = target.resolve()
            if target.is_dir():
                target /= "index.html"
            known = read.get(target.relative_to(SITE).as_posix())
            if not target.is_file() or (known and unquote(anchor) not in known.anchors):
                broken.append(f"{page}: {link}")
    assert broken == []


def test_no_page_loads_a_file_of_another_host(read):
    assert [(p, u) for p, links in read.items() for u in links.loaded if is_outside(u)] == []


def test_pages_of_all_kinds_are_there(read):
    expected = {
        "README.html",
        "docs/start.html",
        "docs/settings.html",
        "docs/service.html",
        "docs/gallery.html",
        "docs/guides/threshold.html",
        "docs/methods/patchcore.html",
        "docs/notebooks/first_detector.html",
        "docs/adr/0046-the-site-is-made-by-sphinx.html",
        "benchmarks/README.html",
    }
    assert expected <= set(read)
    assert all(links.has_title for links in read.values())


@pytest.mark.parametrize("name", ["first_detector", "few_shots", "comparing_methods"])
def test_a_notebook_has_outputs_and_a_picture(name):
    text = (SITE / "docs" / "notebooks" / f"{name}.html").read_text(encoding="utf-8")
    assert "cell_output" in text
    assert text.count("_images/") >= 1


@pytest.mark.parametrize("name", ["patchcore", "padim", "spade", "graphcore", "simplenet"])
def test_equations_are_mathml_in_the_page(name):
    text = (SITE / "docs" / "methods" / f"{name}.html").read_text(encoding="utf-8")
    assert '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">' in text


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without a line for each."""

    def log_message(self, *_):
        """Nothing."""


@pytest.fixture(scope="module")
def address():
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def chromium():
    from tests.server.pages.screens import launched

    with launched() as browser:
        yield browser


class Visit:
    """A page of a browser that refuses other hosts, and notes what went wrong."""

    def __init__(self, chromium, address, size):
        self.address, self.wrong, self.sizes = address, [], []
        self.context = chromium.new_context(viewport={"width": size[0], "height": size[1]})
        self.page = self.context.new_page()
        self.page.route("**/*", self._decide)
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("response", self._weigh)

    def _decide(self, route):
        if route.request.url.startswith((self.address, "data:")):
            route.continue_()
        else:
            self.wrong.append(f"a request to {route.request.url}")
            route.abort()

    def _note(self, message):
        if message.type in ("error", "warning"):
            self.wrong.append(message.text)

    def _weigh(self, response):
        if response.status >= 400:
            self.wrong.append(f"{response.status} {response.url}")
        self.sizes.append(int(response.headers.get("content-length", 0)))

    def open(self, page):
        """Open a page of the site, and wait until it has loaded."""
        self.page.goto(f"{self.address}/{page}", wait_until="load")
        return self


@pytest.mark.browser
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_opens_without_another_host_an_error_or_a_page_that_scrolls_sideways(
    chromium, address, width
):
    visit, found = Visit(chromium, address, WIDTHS[width]), []
    for page in pages():
        if page == "index.html":  # leads to another page, as a test of its own says
            continue
        visit.open(page)
        wide = visit.page.evaluate("document.documentElement.scrollWidth")
        if wide > WIDTHS[width][0]:
            visit.wrong.append(f"{wide} pixels wide")
        found += [f"{page}: {wrong}" for wrong in visit.wrong]
        visit.wrong.clear()
    visit.context.close()
    assert found == []


@pytest.mark.browser
def test_the_first_page_is_small(chromium, address):
    visit = Visit(chromium, address, WIDTHS["desktop"]).open(FIRST)
    visit.page.wait_for_load_state("networkidle")
    assert visit.wrong == []
    assert visit.sizes
    assert sum(visit.sizes) <= MOST_BYTES
    visit.context.close()


@pytest.mark.browser
def test_the_address_of_the_site_leads_to_its_first_page(chromium, address):
    visit = Visit(chromium, address, WIDTHS["phone"]).open("")
    visit.page.wait_for_url(f"{address}/{FIRST}")
    visit.context.close()


@pytest.mark.browser
def test_the_search_finds_a_setting(chromium, address):
    visit = Visit(chromium, address, WIDTHS["desktop"]).open("search.html?q=false_alarm_rate")
    found = visit.page.locator('ul.search li a[href*="docs/settings.html"]')
    found.first.wait_for()  # results come one after the other
    assert visit.wrong == []
    visit.context.close()
