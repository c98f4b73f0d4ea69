"""How many parts a second do reviewers decide by keyboard, and does each part go to one of them?

    python benchmarks/speed/review.py [--parts 500] [--reviewers 2]

Drawn bolts with a nick are flagged by a real service; records of these inspections are put on
record so often, with their kept pictures.  Each reviewer is a Chromium of its own, in which a
script presses a key as soon as the photograph of the next part is seen.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from playwright.sync_api import TimeoutError
from tests.server.pages.bolts import bolt
from tests.server.pages.reviewing import UNSEEN_MS, ReviewPage, copied
from tests.server.pages.screens import launched
from tests.server.services import Running, records_of, run

from contract import Run, arguments, summary

LOT, DRAWN, KEYS = "bench", 8, "dnu"
AGAIN_MS = 3000
NEXT = """id => { const part = document.getElementById("part");
    return part.dataset.state === "empty" || (part.dataset.id !== id
        && !document.getElementById("photograph").hidden); }"""


def fitted(folder: Path) -> Path:
    """The file of a detector of drawn bolts."""
    (folder / "good").mkdir()
    for seed in range(12):
        (folder / "good" / f"{seed}.png").write_bytes(bolt(seed))
    file = folder / "bolts.patchbank"
    options = ("--preset", "fast", "--image-size", 128, "--false-alarm-rate", 0.1)
    done = run("fit", folder / "good", "--out", file, *options)
    if done.returncode:
        sys.exit(done.stderr)
    return file


def fill(service: Running, parts: int) -> list[int]:
    """Put flagged parts on record.  -> their numbers."""
    flagged = [service.inspect(bolt(200 + n, nick=True)).json()["id"] for n in range(DRAWN)]
    with records_of(service.data) as records:
        found = [records.inspection(number) for number in flagged]
        added = records.add(
            [copied(found[n % DRAWN], lot=LOT, serial_number=f"P-{n:04}") for n in range(parts)]
        )
    return [answer.inspection.id for answer in added]


def review(url: str, ready: threading.Barrier, times: list[float], errors: list[str]) -> None:
    """Decide about parts until none is left; notes the moment of each decision."""
    with launched() as browser:
        page = ReviewPage(browser.new_page(viewport={"width": 1280, "height": 800}), url)
        page.open(lot=LOT)
        ready.wait(120)
        shown = ""
        while True:
            try:
                page.page.wait_for_function(NEXT, arg=shown, timeout=AGAIN_MS)
            except TimeoutError:  # the key came too soon after a part that came by itself
                page.page.keyboard.press(KEYS[0])
                continue
            part = page.page.locator("#part")
            if part.get_attribute("data-state") != "empty":
                shown = str(part.get_attribute("data-id"))
                times.append(time.perf_counter())
                page.page.keyboard.press(KEYS[len(times) % len(KEYS)])
            elif page.page.locator("#others").inner_text() == "":
                break
            else:
                page.page.wait_for_timeout(UNSEEN_MS)
        page.page.evaluate("() => new Promise(resolve => setTimeout(resolve, 1000))")
        errors += page.errors


def main() -> None:
    """Measure."""
    parser = arguments(__doc__)
    parser.add_argument("--parts", type=int, default=500)
    parser.add_argument("--reviewers", type=int, default=2)
    given = parser.parse_args()
    measured = Run(__file__, __doc__, given)
    with tempfile.TemporaryDirectory() as folder:
        file = fitted(Path(folder))
        with Running(Path(folder) / "data", file) as service:
            numbers = fill(service, given.parts)
            measured.write(results(service, numbers, given.reviewers))


def results(service: Running, numbers: list[int], reviewers: int) -> dict[str, Any]:
    """Decisions of all reviewers, their times, and how often each part was decided."""
    ready, errors = threading.Barrier(reviewers), list[str]()
    times: list[list[float]] = [[] for _ in range(reviewers)]
    threads = [
        threading.Thread(target=review, args=(service.url, ready, own, errors)) for own in times
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with records_of(service.data) as records:
        decided = [len(records.reviews(number)) for number in numbers]
    waits = [after - before for own in times for before, after in pairwise(own)]
    return {
        "parts": len(numbers),
        "decided_once": decided.count(1),
        "decided_otherwise": len(decided) - decided.count(1),
        "errors_of_scripts": errors,
        "decisions_of_reviewers": [len(own) for own in times],
        "decisions_a_second_of_reviewers": [
            (len(own) - 1) / (own[-1] - own[0]) for own in times if len(own) > 1
        ],
        "decisions_a_second_of_all": sum(map(len, times))
        / (max(own[-1] for own in times if own) - min(own[0] for own in times if own)),
        "from_one_decision_to_the_next": summary(waits, "_s"),
    }


if __name__ == "__main__":
    main()
