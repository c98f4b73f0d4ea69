"""How long do the pages of the history take with a million inspections?

    python benchmarks/speed/history.py DETECTOR [--inspections 1000000] [--data FOLDER]

The product is the name of the detector file, such as `bolts`.  The inspections are those of
`records.py`, on SQLite: the first 20,000 are recorded by `Records.add`, the others are copies of
them in SQL with their own times, lots, shifts, serial numbers and keys, and the tallies are counted
anew.  A service runs on them; each page is asked warm, and the median of nine answers is printed,
with the slowest, and what the service used of the processor; then the time until Chromium has
loaded some of them.  `--data` keeps the records for another run.
"""

from __future__ import annotations

import argparse
import sqlite3
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from itertools import islice
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import psutil
from tests.server.services import Running, records_of

import patchbank
from patchbank.server.records.entries import DetectorEntry, Filter
from records import BEFORE_SERVER, BEGIN, DETECTOR, GROUP, THRESHOLD, drawn

LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd"
REPEATS = 9
OWN = {
    "id": "id + :n",
    "time": "strftime('%Y-%m-%d %H:%M:%S', time, '+' || :n || ' seconds') || '.000000'",
    "serial_number": "printf('SN%09d', id - 1 + :n)",
    "lot": "printf('L%06d', (id - 1 + :n) / 500)",
    "shift": "CASE (id - 1 + :n) / 28800 % 3 WHEN 0 THEN 'early' WHEN 1 THEN 'late' "
    "ELSE 'night' END",
    "idempotency_key": "printf('%032d', id + :n)",
}
"""Values of a copied inspection that are its own."""
TALLIES = """
INSERT INTO tallies (kind, hour, product, value, verdict, review, number, first_id, last_id)
SELECT '{kind}', strftime('%s', time) / 3600, product, {value}, verdict, coalesce(review, ''),
    count(*), min(id), max(id)
FROM inspections
GROUP BY 2, 3, 4, 5, 6
"""


def fill(data: Path, number: int, sha256: str, product: str) -> None:
    """Record so many inspections."""
    entry = DetectorEntry(
        product=product,
        sha256=sha256,
        time=BEGIN,
        action="served",
        by="local",
        reason="",
        threshold=THRESHOLD,
        false_alarm_rate=0.01,
    )
    with records_of(data) as records:
        records.detector_taken_up(entry)
        source = drawn(BEFORE_SERVER)
        while group := list(islice(source, GROUP)):
            records.add(group)
    connection = sqlite3.connect(data / "records.sqlite")
    with connection:
        connection.execute(
            "UPDATE inspections SET detector_sha256 = :new, result = replace(result, :old, :new), "
            "product = replace(product, 'bolts', :product)",
            {"new": sha256, "old": DETECTOR, "product": product},
        )
        names = [row[1] for row in connection.execute("PRAGMA table_info(inspections)")]
        values = ", ".join(OWN.get(name, f'"{name}"') for name in names)
        quoted = ", ".join(f'"{name}"' for name in names)
        for first in range(BEFORE_SERVER, number, BEFORE_SERVER):
            connection.execute(
                f"INSERT INTO inspections ({quoted}) SELECT {values} FROM inspections "
                "WHERE id <= :most",
                {"n": first, "most": min(BEFORE_SERVER, number - first)},
            )
        connection.execute("DELETE FROM tallies")
        for kind in ("all", "shift", "lot", "station"):
            value = "''" if kind == "all" else f"coalesce({kind}, '')"
            connection.execute(TALLIES.format(kind=kind, value=value))
    connection.close()
    with records_of(data) as records:
        flagged = records.inspections(Filter(verdict="anomalous"), limit=1000).inspections
        for inspection in flagged[::20]:
            records.add_review(inspection.id, "false_alarm", "anna")


def pages(number: int, product: str) -> dict[str, str]:
    """The pages by their words."""
    day = f"{BEGIN + timedelta(seconds=number // 2):%Y-%m-%d}"
    lot, own = f"lot=L{number // 1000:06}", f"product={product}"
    return {
        "list": "/history",
        "table": "/history?view=table",
        "a day, flagged, of a lot": f"/history?from={day}&to={day}&verdict=anomalous&{lot}",
        "a day": f"/history?from={day}&to={day}",
        "flagged, not reviewed": "/history?verdict=anomalous&review=none",
        "a shift at a station": "/history?shift=late&station=station-1",
        "one part": f"/history/{number // 2}?verdict=anomalous",
        "charts": "/history/charts",
        "charts of a product": f"/history/charts?{own}",
        "charts by hour": f"/history/charts?{own}&by=hour&from=2026-01-01",
        "charts by shift": f"/history/charts?{own}&by=shift",
        "charts by lot": f"/history/charts?{own}&by=lot",
        "charts of a lot": f"/history/charts?{own}&{lot}",
        "charts of a shift at a station": "/history/charts?shift=late&station=station-1",
        "drift, 4,000 parts further": f"/history/drift?{own}",
    }


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("detector", type=Path)
    parser.add_argument("--inspections", type=int, default=1_000_000)
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    product = given.detector.stem
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as temporary:
        data = given.data or Path(temporary) / "data"
        if not (data / "records.sqlite").exists():
            began = time.perf_counter()
            fill(data, given.inspections, patchbank.load(given.detector).sha256, product)
            print(f"recorded in {time.perf_counter() - began:.0f} s", flush=True)
        with Running(data, given.detector.resolve()) as service:
            found = pages(given.inspections, product)
            for words, path in found.items():
                ask(service, words, path)
            load(service, [found["list"], found["one part"], found["charts of a product"]])


def ask(service: Running, words: str, path: str) -> None:
    """Print how long a page takes."""
    times, spent, size = [], [], 0
    process = psutil.Process(service.process.pid)
    for at in range(REPEATS + 1):
        began, before = time.perf_counter(), cpu_s(process)
        answer = service.http.get(path, headers={"Accept": "text/html"})
        answer.raise_for_status()
        size = len(answer.content)
        if at:
            times.append(1000 * (time.perf_counter() - began))
            spent.append(1000 * (cpu_s(process) - before))
    median, work = statistics.median(times), statistics.median(spent)
    figures = f"{median:.0f} ms (to {max(times):.0f}), of the processor {work:.0f} ms"
    print(f"{words}: {figures}, {size:,} bytes", flush=True)


def cpu_s(process: psutil.Process) -> float:
    """Seconds of the processor that a service has used."""
    used = process.cpu_times()
    return float(used.user + used.system)


def load(service: Running, paths: list[str]) -> None:
    """Print how long Chromium takes to load pages."""
    from tests.server.pages.screens import launched

    with launched() as browser:
        for path in paths:
            times = []
            for _ in range(5):
                page = browser.new_context(timezone_id="UTC").new_page()
                page.goto(service.url + path)
                times.append(page.evaluate(LOADED))
                page.context.close()
            print(f"loaded {path}: {statistics.median(times):.0f} ms (to {max(times):.0f})")


if __name__ == "__main__":
    main()
