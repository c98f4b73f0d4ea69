"""The operator's screen through a night: eight hours of parts in ten minutes, and five crashes.

    python benchmarks/quality/night.py [--minutes 10] [--parts 3600] [--crashes 5]

A service with a detector of drawn bolts is fed with photographs, of which one in fifty is flagged
and one in five hundred cannot be read.  It is killed (SIGKILL) several times, and started again
after a few seconds; the sender repeats what was not answered, under the same key.  A real Chromium
shows the screen of the line all the time, and an operator presses Acknowledge where it asks for it.

Afterwards every flagged or unread part on record has to have been on the screen with its word; the
screen has to have said NOT LIVE after each crash; and its memory must be flat.  Writes night.json
and night.md.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import CDPSession, Page

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parents[1])]
from tests.server.pages.bolts import bolt
from tests.server.pages.screens import Screen, launched
from tests.server.real_servers import free_port
from tests.server.services import Running, run

from environment import write_results
from patchbank.client import Client, Unread

HERE = Path(__file__).parent
PRODUCT = "bolts"
FLAGGED_ONE_IN, UNREAD_ONE_IN = 50, 500
DOWN_S, LOOK_S, MEMORY_S, LAST_S = 5.0, 0.25, 10.0, 20.0
HOURS = 8
WATCH = """(() => {
  window.night = {parts: {}, states: []};
  addEventListener("DOMContentLoaded", () => {
    const main = document.getElementById("main");
    const look = () => requestAnimationFrame(() => {
      const {part, state} = main.dataset;
      if (night.states.at(-1)?.[1] !== state) night.states.push([Date.now(), state]);
      if (part && state !== "not_live") night.parts[`${part} ${state}`] ??= Date.now();
    });
    new MutationObserver(look).observe(main, {attributes: true});
    look();
  });
})()"""
SEEN = """() => { const seen = night; window.night = {parts: {}, states: seen.states.slice(-1)};
  return seen; }"""
STATES = {"anomalous": "ng", "unread": "unread"}
Result = dict[str, Any]


class Sender(threading.Thread):
    """Sends photographs at an even pace, each until it is answered."""

    def __init__(self, url: str, n_parts: int, pause_s: float) -> None:
        super().__init__(daemon=True)
        self.url, self.n_parts, self.pause_s = url, n_parts, pause_s
        self.good = [bolt(1000 + seed) for seed in range(40)]
        self.bad = [bolt(2000 + seed, nick=True) for seed in range(10)]
        self.n_answered = 0

    def run(self) -> None:
        """Send all of them."""
        begun = time.monotonic()
        with Client(self.url, timeout_s=5, total_s=300) as client:
            for number in range(self.n_parts):
                time.sleep(max(begun + number * self.pause_s - time.monotonic(), 0))
                name, key = f"{number:04}.png", f"night/{number}"
                with contextlib.suppress(Unread):  # it is on record
                    client.inspect(
                        self._photograph(number),
                        PRODUCT,
                        name=name,
                        idempotency_key=key,
                        serial_number=f"N-{number:04}",
                        shift="night",
                    )
                self.n_answered += 1

    def _photograph(self, number: int) -> bytes:
        if number % UNREAD_ONE_IN == UNREAD_ONE_IN - 1:
            return self.good[0][:500]
        if number % FLAGGED_ONE_IN == FLAGGED_ONE_IN - 1:
            return self.bad[number // FLAGGED_ONE_IN % len(self.bad)]
        return self.good[number % len(self.good)]


class Watcher:
    """Looks at the screen, and acknowledges what it holds."""

    def __init__(self, page: Page, session: CDPSession) -> None:
        self.page, self.session = page, session
        self.seen: dict[str, int] = {}
        self.states: list[tuple[int, str]] = []
        self.memory: list[Result] = []
        self._measured_s = 0.0

    def look(self) -> None:
        """Look once."""
        button = self.page.locator("#acknowledge")
        if button.is_visible():
            button.click()
        found = self.page.evaluate(SEEN)
        for part, moment in found["parts"].items():
            self.seen.setdefault(part, moment)
        for moment, state in found["states"]:
            if not self.states or self.states[-1] != (moment, state):
                self.states.append((moment, state))
        if time.monotonic() - self._measured_s > MEMORY_S:
            self._measured_s = time.monotonic()
            self._measure()

    def _measure(self) -> None:
        self.session.send("HeapProfiler.collectGarbage")
        metrics = self.session.send("Performance.getMetrics")["metrics"]
        named = {one["name"]: one["value"] for one in metrics}
        self.memory.append(
            {
                "heap_mb": named["JSHeapUsedSize"] / 1e6,
                "nodes": int(named["Nodes"]),
                "listeners": int(named["JSEventListeners"]),
                "renderers_mb": _renderers_mb(),
            }
        )


def _renderers_mb() -> float:
    """Resident memory of the processes of this browser that draw pages."""
    total = 0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "--type=renderer" in process.cmdline():
                total += process.memory_info().rss
    return total / 1e6


def fitted(folder: Path) -> Path:
    """Fit a small detector of drawn bolts.  -> its file."""
    (folder / "good").mkdir()
    for seed in range(24):
        (folder / "good" / f"{seed}.png").write_bytes(bolt(seed))
    file = folder / f"{PRODUCT}.patchbank"
    options = ("--preset", "fast", "--image-size", 128, "--false-alarm-rate", 0.05)
    done = run("fit", folder / "good", "--out", file, *options)
    assert done.returncode == 0, done.stderr
    return file


def night(folder: Path, minutes: float, n_parts: int, n_crashes: int) -> Result:
    """Let the night pass.  -> what was seen of it."""
    file, port = fitted(folder), free_port()

    def started() -> Running:
        return Running(folder / "data", file, "--keep-good", "1", port=port)

    service, crashes = started(), []
    with launched() as browser:
        page = browser.new_page(viewport={"width": 1920, "height": 1080})
        page.add_init_script(WATCH)
        screen = Screen(page, service.url, PRODUCT).open()
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        watcher = Watcher(page, session)
        sender = Sender(service.url, n_parts, 60 * minutes / n_parts)
        begun = time.monotonic()
        sender.start()
        due = [begun + 60 * minutes * (one + 1) / (n_crashes + 1) for one in range(n_crashes)]
        while sender.is_alive():
            watcher.look()
            time.sleep(LOOK_S)
            if due and time.monotonic() > due[0]:
                due.pop(0)
                crashes.append(1000 * time.time())
                service.kill()
                end = time.monotonic() + DOWN_S
                while time.monotonic() < end:
                    watcher.look()
                    time.sleep(LOOK_S)
                service = started()
                print(f"crash {len(crashes)}: {sender.n_answered} parts", flush=True)
        end = time.monotonic() + LAST_S
        while time.monotonic() < end:
            watcher.look()
            time.sleep(LOOK_S)
        counts = page.locator("#counts").inner_text()
        errors = list(screen.errors)
    try:
        return _judged(service.on_record(), watcher, crashes, n_parts) | {
            "counts_at_the_end": counts,
            "errors_of_scripts": errors,
        }
    finally:
        service.stop()


def _judged(recorded: list[Result], watcher: Watcher, crashes: list[float], n: int) -> Result:
    must = [f"{one['id']} {STATES[one['verdict']]}" for one in recorded if one["verdict"] != "good"]
    after = [
        next((at - crash for at, state in watcher.states if at >= crash and state == "not_live"), 0)
        for crash in crashes
    ]
    third = max(len(watcher.memory) // 3, 1)
    first, last = watcher.memory[1 : third + 1], watcher.memory[-third:]
    return {
        "parts_sent": n,
        "parts_on_record": len(recorded),
        "flagged_or_unread": len(must),
        "not_shown": [one for one in must if one not in watcher.seen],
        "parts_shown": len(watcher.seen),
        "crashes": len(crashes),
        "not_live_after_ms": [round(one) for one in after],
        "states": [state for _, state in watcher.states],
        "memory": {
            name: {
                "first_third": statistics.median(one[name] for one in first),
                "last_third": statistics.median(one[name] for one in last),
            }
            for name in watcher.memory[0]
        },
        "memory_course": watcher.memory,
    }


def page(written: Result) -> str:
    """The results as a table."""
    found, given = written["results"], written["settings"]
    rows = [
        ("parts sent, on record", f"{found['parts_sent']:,}, {found['parts_on_record']:,}"),
        ("flagged or unread, of these not shown with their word",
         f"{found['flagged_or_unread']}, {len(found['not_shown'])}"),
        ("crashes, each said NOT LIVE after",
         f"{found['crashes']}, {', '.join(map(str, found['not_live_after_ms']))} ms"),
        ("errors of scripts", str(len(found["errors_of_scripts"]))),
    ]  # fmt: skip
    titles = {
        "heap_mb": "JavaScript heap, MB",
        "nodes": "nodes of the document",
        "listeners": "listeners",
        "renderers_mb": "resident memory of the processes that draw, MB",
    }
    for name, title in titles.items():
        each = found["memory"][name]
        rows.append((f"{title}, first and last third (medians)",
                     f"{each['first_third']:.1f}, {each['last_third']:.1f}"))  # fmt: skip
    machine = written["environment"]
    return "\n".join(
        [
            "# The operator's screen through a night",
            "",
            f"`{written['command']}`: {HOURS} hours of parts in {given['minutes']:g} minutes.",
            "",
            "| what | figure |",
            "|---|---|",
            *(f"| {name} | {figure} |" for name, figure in rows),
            "",
            f"{machine['processor']}, {machine['cores']} cores, load {machine['load_average']:.1f}",
            "",
        ]
    )


def main() -> None:
    """Run it and write what was seen."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--parts", type=int, default=3600)
    parser.add_argument("--crashes", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = night(Path(folder), given.minutes, given.parts, given.crashes)
    question = "Does the screen show every flagged part through a night, and say when not live?"
    write_results(HERE / "night.json", question, vars(given), found, page)
    print((HERE / "night.md").read_text())


if __name__ == "__main__":
    main()
