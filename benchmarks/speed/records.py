"""How quick are the records with a million inspections, and how many commits do they take?

    python benchmarks/speed/records.py

On SQLite, and with `--postgres postgresql://USER@HOST/EMPTY` on PostgreSQL too.  The inspections
are drawn: two products, 0.8 % flagged, a lot of 500 parts after the other, three shifts, four
stations, serial numbers, one in twenty of the flagged ones reviewed; lines of `predict --json` with
the regions that flagged ones have.  They are recorded by `Records.add` in groups of 1,000; on
PostgreSQL the first 20,000 are, and the server draws the others alike, which is quicker.  Then each
question is asked warm; how long it takes is wall time.  Commits are measured afterwards, on top of
all the others: the service gathers what is waiting, so groups of 1, 8 and 32 are added at once.
"""

from __future__ import annotations

import io
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from contract import Run, arguments, measured
from patchbank.server.records.database import checked_url
from patchbank.server.records.entries import Fields, Filter, NewInspection
from patchbank.server.records.store import Records

BEGIN = datetime(2026, 1, 5, 6, 0, tzinfo=timezone.utc)
GROUP = 1000
BEFORE_SERVER = 20_000
DETECTOR = "5e" * 32
THRESHOLD = 41.5


INSERT_DRAWN = """
INSERT INTO inspections (
    id, time, product, verdict, score, p_value, threshold, detector_sha256, image, width, height,
    regions, result, serial_number, lot, station, shift, photograph_sha256, photograph, source, by,
    instance, idempotency_key
)
SELECT
    n + 1, timestamptz '2026-01-05 06:00Z' + n * interval '1 second',
    CASE WHEN n % 3 > 0 THEN 'bolts' ELSE 'nuts' END,
    CASE WHEN score > 41.5 THEN 'anomalous' ELSE 'good' END,
    score, least(1, power(10, -(score - 30) / 5)), 41.5, repeat('5e', 32),
    to_char(n, 'FM000000000') || '.png', 1600, 1200, (score > 41.5)::int,
    json_build_object(
        'schema_version', 1, 'version', '0.1.0', 'detector_sha256', repeat('5e', 32),
        'image', to_char(n, 'FM000000000') || '.png', 'size', json_build_array(1600, 1200),
        'score', score, 'p_value', least(1, power(10, -(score - 30) / 5)), 'threshold', 41.5,
        'anomalous', score > 41.5, 'regions', json_build_array(), 'unlike', json_build_array(),
        'error', null, 'error_type', null
    )::text,
    'SN' || to_char(n, 'FM000000000'), 'L' || to_char(n / 500, 'FM000000'), 'station-' || n % 4,
    (ARRAY['early', 'late', 'night'])[n / 28800 % 3 + 1],
    encode(sha256(n::text::bytea), 'hex'),
    CASE WHEN score > 41.5 THEN encode(sha256(n::text::bytea), 'hex') || '.png' END,
    'http', 'camera-1', 'benchmark', md5(n::text)
FROM (
    SELECT n, CASE WHEN random() > 0.005 THEN 36 + 2 * z ELSE 50 + 4 * z END AS score
    FROM (
        SELECT n, sqrt(-2 * ln(1 - random())) * cos(2 * pi() * random()) AS z
        FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n
    ) AS normal
) AS drawn
"""
INSERT_TALLIES = """
INSERT INTO tallies (kind, hour, product, value, verdict, review, number, first_id, last_id)
SELECT '{kind}', floor(extract(epoch FROM time) / 3600), product, {value}, verdict, '', count(*),
    min(id), max(id)
FROM inspections
GROUP BY 2, 3, 4, 5
"""


def drawn(number: int, seed: int = 0) -> Iterator[NewInspection]:
    """So many inspections, a second after the other."""
    rng = random.Random(seed)
    for at in range(number):
        score = rng.gauss(36, 2) if rng.random() > 0.005 else rng.gauss(50, 4)
        region = {"left": 80, "top": 60, "width": 40, "height": 30, "area": 700, "score": score}
        yield NewInspection(
            time=BEGIN + timedelta(seconds=at),
            product="bolts" if at % 3 else "nuts",
            fields=Fields(
                serial_number=f"SN{at:09}",
                lot=f"L{at // 500:06}",
                station=f"station-{at % 4}",
                shift=("early", "late", "night")[at // 28800 % 3],
            ),
            result={
                "schema_version": 1,
                "version": "0.1.0",
                "detector_sha256": DETECTOR,
                "image": f"{at:09}.png",
                "size": [1600, 1200],
                "score": score,
                "p_value": min(1.0, 10 ** (-(score - 30) / 5)) if score > 30 else 1.0,
                "threshold": THRESHOLD,
                "anomalous": score > THRESHOLD,
                "regions": [region] if score > THRESHOLD else [],
                "unlike": [],
                "error": None,
                "error_type": None,
            },
            photograph_sha256=f"{rng.getrandbits(256):064x}",
            source="http",
            by="camera-1",
            idempotency_key=f"{rng.getrandbits(128):032x}",
            photograph=f"{rng.getrandbits(256):064x}.png" if score > THRESHOLD else None,
        )


def filled(records: Records, number: int, by_server: str | None) -> float:
    """Record so many inspections, review some, and return inspections per second."""
    recorded = min(number, BEFORE_SERVER) if by_server else number
    source, began = drawn(recorded), time.perf_counter()
    while group := list(islice(source, GROUP)):
        records.add(group)
    seconds = time.perf_counter() - began
    if by_server:
        drawn_by_server(by_server, recorded, number)
    flagged = records.inspections(Filter(verdict="anomalous"), limit=1000).inspections
    for inspection in flagged[::20]:
        records.add_review(inspection.id, "false_alarm", "anna")
    return recorded / seconds


def drawn_by_server(url: str, first: int, number: int) -> None:
    """Let PostgreSQL draw inspections like those of `drawn`, and count all of them anew."""
    engine = create_engine(checked_url(url))
    with engine.begin() as connection:
        connection.execute(text(INSERT_DRAWN), {"first": first, "last": number - 1})
        connection.execute(text("DELETE FROM tallies"))
        for kind, value in (
            ("all", "''"),
            ("shift", "shift"),
            ("lot", "lot"),
            ("station", "station"),
        ):
            connection.execute(text(INSERT_TALLIES.format(kind=kind, value=value)))
        connection.execute(
            text("SELECT setval('inspections_id_seq', (SELECT max(id) FROM inspections))")
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    engine.dispose()


def questions(records: Records, number: int) -> dict[str, Callable[[], Any]]:
    """The questions by their words."""
    middle = BEGIN + timedelta(seconds=number // 2 + 1234)
    day, week = timedelta(days=1), timedelta(days=7)
    far = f"L{number // 1000:06}"

    def listed(**filters: Any) -> Callable[[], Any]:
        return lambda: records.inspections(Filter(**filters), limit=50)

    def second_page() -> Any:
        first = records.inspections(Filter(verdict="anomalous"), limit=500)
        return records.inspections(Filter(verdict="anomalous"), limit=50, cursor=first.cursor)

    return {
        "list: newest 50": listed(),
        "list: newest 1,000": lambda: records.inspections(limit=1000),
        "filter: product": listed(product="nuts"),
        "filter: flagged": listed(verdict="anomalous"),
        "filter: flagged, further pages": second_page,
        "filter: unread (none)": listed(verdict="unread"),
        "filter: serial number": listed(fields=Fields(serial_number=f"SN{number // 2:09}")),
        "filter: lot of long ago": listed(fields=Fields(lot=far)),
        "filter: lot, flagged": listed(fields=Fields(lot=far), verdict="anomalous"),
        "filter: station, product, flagged": listed(
            fields=Fields(station="station-1"), product="nuts", verdict="anomalous"
        ),
        "filter: station that is none": listed(fields=Fields(station="station-9")),
        "filter: a day of long ago": listed(since=middle, until=middle + day),
        "filter: a minute of long ago": listed(since=middle, until=middle + timedelta(minutes=1)),
        "filter: until long ago, flagged": listed(until=middle, verdict="anomalous"),
        "filter: score above the highest": listed(min_score=1000.0),
        "filter: high scores": listed(min_score=60.0),
        "filter: scores above 30": listed(min_score=30.0),
        "filter: false alarms": listed(review="false_alarm"),
        "filter: flagged without a review": listed(verdict="anomalous", review="none"),
        "count: by shift": lambda: records.counts("shift"),
        "count: by shift, product, a week": lambda: records.counts(
            "shift", product="nuts", since=middle - week, until=middle
        ),
        "count: by day": lambda: records.counts("day"),
        "count: by hour": lambda: records.counts("hour"),
        "count: by lot, a week": lambda: records.counts("lot", since=middle - week, until=middle),
        "count: by lot": lambda: records.counts("lot"),
    }


class Nothing(io.RawIOBase):
    """A file that keeps nothing."""

    def write(self, content: Any) -> int:
        """Count what would be written."""
        return len(content)


def commits(records: Records, seconds: float) -> list[dict[str, float]]:
    """Commits and inspections per second by the size of a group."""
    found = []
    source = drawn(10**9, seed=1)
    for size in (1, 8, 32):
        records.add(list(islice(source, size)), ["mqtt"])
        number, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            records.add(list(islice(source, size)), ["mqtt"])
            number += 1
        took = time.perf_counter() - began
        found.append(
            {
                "group": size,
                "commits_per_s": number / took,
                "inspections_per_s": number * size / took,
            }
        )
    return found


def measure(url: str, number: int, repeats: int, by_server: bool) -> dict[str, Any]:
    """All figures of one database."""
    records = Records.open(url, instance="benchmark")
    per_second = filled(records, number, url if by_server else None)
    asked = {}
    for words, question in questions(records, number).items():
        times, _ = measured(question, repeats=repeats, warm_up=1)
        asked[words] = {**times.to_json(), "highest_s": max(times.all_s)}
        print(f"{words}: {1e3 * times.median_s:.1f} ms", flush=True)
    exports = {}
    for form in ("csv", "jsonl", "parquet"):
        began, cpu = time.perf_counter(), time.process_time()
        rows = records.export(Filter(), form, Nothing())
        exports[form] = {
            "rows_per_s": rows / (time.perf_counter() - began),
            "rows_per_cpu_s": rows / (time.process_time() - cpu),
        }
        print(form, exports[form], flush=True)
    found = {
        "inspections": number,
        "recorded_per_s_in_groups_of_1000": per_second,
        "questions": asked,
        "exports": exports,
        "commits": commits(records, 5.0),
    }
    records.close()
    return found


def main() -> None:
    """Measure and write."""
    parser = arguments(__doc__)
    parser.add_argument("--inspections", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--postgres", metavar="URL", help="of an empty database")
    given = parser.parse_args()
    run = Run(__file__, __doc__, given)
    results = {}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        path = Path(folder) / "records.sqlite"
        results["sqlite"] = measure(f"sqlite:///{path}", given.inspections, given.repeats, False)
        results["sqlite"]["megabytes"] = path.stat().st_size / 1e6
    if given.postgres:
        results["postgresql"] = measure(given.postgres, given.inspections, given.repeats, True)
    run.write(results)


if __name__ == "__main__":
    main()
