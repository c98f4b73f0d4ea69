"""How long from an inspection to the word on the operator's screen, in Chromium?

    python benchmarks/speed/page.py DETECTOR PHOTOGRAPHS [--parts 100]

Prints the median, and the range from 5 % to 95 %, of the time from the end of each inspection
(before it is on the disk) to the first frame with its word; and how long pages take to load.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.server.pages.screens import Screen, launched
from tests.server.services import Running

WATCH = """() => { window.shown = {}; const main = document.getElementById("main");
    new MutationObserver(() => requestAnimationFrame(() => {
        shown[main.dataset.part] ??= performance.timeOrigin + performance.now(); }))
    .observe(main, {attributes: true}); }"""
LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd"


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("detector", type=Path)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--parts", type=int, default=100)
    given = parser.parse_args()
    product = given.detector.stem
    files = sorted(path for path in given.photographs.iterdir() if path.is_file())
    with (
        tempfile.TemporaryDirectory() as data,
        launched() as browser,
        Running(Path(data), given.detector.resolve()) as service,
    ):
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        Screen(page, service.url, product).open()
        page.evaluate(WATCH)
        delays = []
        for number in range(given.parts):
            answer = service.inspect(files[number % len(files)].read_bytes()).json()
            page.wait_for_function("id => id in shown", arg=str(answer["id"]))
            done = datetime.fromisoformat(answer["time"].replace("Z", "+00:00")).timestamp()
            delays.append(page.evaluate("id => shown[id]", str(answer["id"])) - 1000 * done)
        low, *_, high = statistics.quantiles(delays, n=20)
        median = statistics.median(delays)
        print(f"inspection to word: {median:.0f} ms ({low:.0f} to {high:.0f})")
        for path in (f"/line/{product}", "/line", "/login"):
            times = []
            for _ in range(5):
                fresh = browser.new_context().new_page()
                fresh.goto(service.url + path)
                times.append(fresh.evaluate(LOADED))
            print(f"{path}: loaded in {statistics.median(times):.0f} ms")


if __name__ == "__main__":
    main()
