"""How long from an inspection to the word on the operator's screen, and until each page is loaded?

    python benchmarks/speed/page.py DETECTOR PHOTOGRAPHS [--parts 100] [--out FILE]

In Chromium on the same machine.  The first is the time from the end of an inspection (before it is
on the disk) to the first frame with its word.  A page is loaded in a new profile, with nothing
kept, in a window that is open already; its bytes are those of all that it loads but photographs.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.server.pages.screens import Screen, launched
from tests.server.services import Running

from contract import Run, arguments, summary

WATCH = """() => { window.shown = {}; const main = document.getElementById("main");
    new MutationObserver(() => requestAnimationFrame(() => {
        shown[main.dataset.part] ??= performance.timeOrigin + performance.now(); }))
    .observe(main, {attributes: true}); }"""
LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd"
PAGES = (
    "/login",
    "/line",
    "/line/{product}",
    "/review",
    "/history",
    "/history/1",
    "/products",
    "/products/{product}",
    "/products/{product}/threshold",
    "/products/new",
    "/try",
)
LOADS = 7
WINDOW_MS = 1500
"""A new window loads pages of the browser's own (its address bar) for about a second."""
PICTURES = ("image/jpeg", "image/png", "image/webp")


def delays_ms(browser: Browser, service: Running, product: str, files: list[Path], n: int) -> Any:
    """Times from the end of each inspection to the frame with its word."""
    page = browser.new_page(viewport={"width": 1920, "height": 1080})
    Screen(page, service.url, product).open()
    page.evaluate(WATCH)
    found = []
    for number in range(n):
        answer = service.inspect(files[number % len(files)].read_bytes(), lot="7").json()
        page.wait_for_function("id => id in shown", arg=str(answer["id"]))
        done = datetime.fromisoformat(answer["time"].replace("Z", "+00:00")).timestamp()
        found.append(page.evaluate("id => shown[id]", str(answer["id"])) - 1000 * done)
    page.close()
    low, *_, high = statistics.quantiles(found, n=20)
    return {**summary(found, "_ms"), "from_5_percent_ms": low, "to_95_percent_ms": high}


def loaded(browser: Browser, url: str) -> dict[str, Any]:
    """Time and bytes of a page, loaded again and again in new profiles."""
    times = []
    for _ in range(LOADS):
        context = browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.wait_for_timeout(WINDOW_MS)
        answered = page.goto(url)
        assert answered is not None, url
        assert answered.ok, url
        times.append(page.evaluate(LOADED))
        context.close()
    n_bytes = bytes_without_photographs(browser, url)
    return {**summary(times, "_ms"), "bytes_without_photographs": n_bytes}


def bytes_without_photographs(browser: Browser, url: str) -> int:
    """Bytes that a page loads, in a load that is not timed: listening costs the browser time."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    answers: list[Any] = []
    page.on("response", lambda answer: answers.append(answer))  # it cannot hold a built-in method
    page.goto(url)
    found = sum(
        len(one.body())
        for one in answers
        if one.ok
        and one.headers.get("content-type", "").partition(";")[0]
        not in (*PICTURES, "text/event-stream")
    )
    page.close()
    return found


def main() -> None:
    """Measure."""
    parser = arguments(__doc__)
    parser.add_argument("detector", type=Path)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--parts", type=int, default=100)
    run = Run(__file__, __doc__, given := parser.parse_args())
    product = given.detector.stem
    files = sorted(path for path in given.photographs.iterdir() if path.is_file())
    content: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory() as data,
        launched() as browser,
        Running(Path(data), given.detector.resolve(), "--keep-good", "1") as service,
    ):
        content["inspection_to_word"] = delays_ms(browser, service, product, files, given.parts)
        content["pages"] = {
            path: loaded(browser, service.url + path.format(product=product)) for path in PAGES
        }
    run.write(content)


if __name__ == "__main__":
    main()
