"""The command `patchbank records` and those below it: export, statistics, verify, backup, ..."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Optional

import typer

from patchbank.cli import output
from patchbank.cli.option_records import with_options
from patchbank.cli.options import JsonPath
from patchbank.cli.statuses import Exit
from patchbank.cli.targets import check_file, check_folder, check_json
from patchbank.errors import DataError, ParameterError

if TYPE_CHECKING:
    from patchbank.server.records.counting import Count
    from patchbank.server.records.data_folder import DataFolder
    from patchbank.server.records.entries import Filter
    from patchbank.server.records.store import Records

MOST_SHOWN = 20
"""Faults that are printed."""
FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".parquet": "parquet"}

app = typer.Typer(rich_markup_mode=None)

DataDir = Annotated[
    Path, typer.Option("--data", metavar="DIR", help="Folder of the service, as serve has it.")
]
DatabaseUrl = Annotated[
    Optional[str],
    typer.Option(
        "--database",
        metavar="URL",
        help="Where the records are in PostgreSQL: its URL, as of serve.",
    ),
]
Product = Annotated[Optional[str], typer.Option("--product", help="Of this product only.")]
Since = Annotated[
    Optional[str],
    typer.Option(
        "--since", metavar="TIME", help="From this time on: 2026-03-01, or 2026-03-01T06:00 (UTC)."
    ),
]
Until = Annotated[Optional[str], typer.Option("--until", metavar="TIME", help="Before this time.")]


@app.callback()
def _below() -> None:
    """Records of the service: export, count, verify, back up and restore them."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Options of `patchbank records export`."""

    out: Annotated[Path, typer.Argument(metavar="FILE", help="Ends with .csv, .jsonl or .parquet.")]
    data: DataDir = Path("patchbank-data")
    database: DatabaseUrl = None
    product: Product = None
    verdict: Annotated[
        Optional[Literal["good", "anomalous", "unread"]],
        typer.Option("--verdict", help="With this verdict only."),
    ] = None
    review: Annotated[
        Optional[Literal["confirmed_defect", "false_alarm", "unsure", "none"]],
        typer.Option("--review", help="With this review only; none for those without one."),
    ] = None
    since: Since = None
    until: Until = None
    lot: Annotated[Optional[str], typer.Option("--lot", help="Of this lot only.")] = None
    station: Annotated[Optional[str], typer.Option("--station", help="Of this station only.")] = (
        None
    )
    decimal: Annotated[
        Literal["point", "comma"],
        typer.Option("--decimal", help="Of numbers in CSV; comma separates columns by semicolons."),
    ] = "point"

    def filter(self) -> Filter:
        """The inspections that are wanted."""
        from patchbank.server.records.entries import Fields, Filter

        return Filter(
            product=self.product,
            verdict=self.verdict,
            review=self.review,
            since=_time("--since", self.since),
            until=_time("--until", self.until),
            fields=Fields(lot=self.lot, station=self.station),
        )


@app.command()
@with_options(ExportOptions)
def export(options: ExportOptions) -> None:
    """Write inspections as a table: CSV for spreadsheet programs, JSON lines, or Parquet."""
    form = FORMATS.get(options.out.suffix.lower())
    if form is None:
        raise ParameterError(
            f"FILE: expected a name that ends with {', '.join(FORMATS)}, got {options.out.name}"
        )
    if options.decimal == "comma" and form != "csv":
        raise ParameterError(f"--decimal: expected with a table in CSV, got {options.out.name}")
    check_file("FILE", options.out)
    _folder(options.data)
    from patchbank.runtime.atomic_file import replacing
    from patchbank.server.records.exporting import written

    decimal = "," if options.decimal == "comma" else "."
    with opened(options.data, options.database) as records:
        parts = records.exported(options.filter(), form, decimal=decimal)  # type: ignore[arg-type]
        try:
            with replacing(options.out) as file:
                number = written(parts, file)
        except OSError as error:
            reason = error.strerror or str(error)
            raise DataError(f"{options.out}: expected to write a table, got: {reason}") from None
    output.note(f"{options.out}: {number:,} inspections")


@app.command()
def statistics(
    by: Annotated[
        Literal["hour", "day", "product", "shift", "lot", "station"],
        typer.Option("--by", help="What is counted together."),
    ] = "day",
    data: DataDir = Path("patchbank-data"),
    database: DatabaseUrl = None,
    product: Product = None,
    since: Since = None,
    until: Until = None,
    zone: Annotated[
        str, typer.Option("--zone", metavar="NAME", help="In which days begin: Europe/Berlin.")
    ] = "UTC",
    to_json: JsonPath = None,
) -> None:
    """Count inspections and flagged ones, with rates of false alarms and defects from reviews."""
    check_json(to_json)
    with opened(data, database) as records:
        found = records.counts(
            by,
            product=product,
            since=_time("--since", since),
            until=_time("--until", until),
            zone=_zone(zone),
        )
    if to_json is not None:
        record = {"schema_version": 1, "by": by, "product": product, "zone": zone}
        output.write_json({**record, **found.to_json()}, to_json)
        return
    head = ("good", "anomalous", "unread", "defects", "false alarms", "undecided", "missed")
    output.say(f"{by:<26}" + "".join(f"{name:>13}" for name in head) + "  false-alarm rate")
    for count in found.groups:
        output.say(_line(count))
    if found.is_cut:
        output.note(f"note: earlier ones are left out: {len(found.groups):,} groups are shown")
    output.note("note: defects and false alarms are flagged ones that a person has reviewed so")


@app.command()
def verify(
    data: DataDir = Path("patchbank-data"),
    database: DatabaseUrl = None,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Read all kept pictures, too.")
    ] = False,
) -> None:
    """Verify the database, the chain of the audit, and the counts; name pictures that are gone."""
    folder = _folder(data)
    from patchbank.server.records.verifying import changed_pictures

    with opened(data, database) as records:
        found = records.damage()
        broken = records.verify_audit()
        last = records.audit(1)
        missing = records.missing_pictures(folder.pictures)
    if broken is not None:
        found.append(
            f"audit: expected a whole chain, got a break at entry {broken.number} "
            f"({broken.action}): it, or the one before, was changed, added or removed"
        )
    if pictures:
        found += changed_pictures(folder.pictures)
    for line in found[:MOST_SHOWN]:
        output.error(line)
    if len(found) > MOST_SHOWN:
        output.error(f"{len(found) - MOST_SHOWN:,} more faults")
    if last and broken is None:
        output.say(f"audit: {last[0].number:,} entries, a whole chain; the last is {last[0].hash}")
        output.note("note: keep that hash elsewhere: it shows later that no entry was cut off")
    if missing:
        numbers = ", ".join(map(str, missing[-MOST_SHOWN:]))
        output.note(
            f"note: pictures of {len(missing):,} inspections are not there, the last of them "
            f"{numbers}: deleted as the oldest ones (--pictures-gb, --pictures-days), or lost"
        )
    if not pictures:
        output.note("note: the content of pictures was not read; --pictures does that")
    if found:
        raise typer.Exit(Exit.INCOMPLETE)
    output.say("no fault found")


@app.command()
def backup(
    target: Annotated[
        Path, typer.Argument(metavar="TARGET", help="Folder that is made for the backup.")
    ],
    data: DataDir = Path("patchbank-data"),
    database: DatabaseUrl = None,
) -> None:
    """Back up records, pictures and detectors into a folder, while the service runs."""
    check_folder("TARGET", target)
    folder = _folder(data)
    from patchbank.server.records.backup import back_up

    back_up(folder, database or folder.url, target)
    output.note(f"{target}: whole")


@app.command()
def restore(
    source: Annotated[
        Path, typer.Argument(metavar="BACKUP", help="Folder that `records backup` has made.")
    ],
    data: DataDir = Path("patchbank-data"),
    database: DatabaseUrl = None,
) -> None:
    """Make the folder of a service from a backup; there must be none."""
    check_folder("--data", data)
    folder = _folder(data)
    from patchbank.server.records.backup import restore as restore_backup

    facts = restore_backup(source, folder, database or folder.url)
    output.note(f"{data}: restored from {facts.time}")


@app.command()
def resend(
    channel: Annotated[
        str, typer.Argument(metavar="CHANNEL", help="Name of the channel, as /v1/status has it.")
    ],
    data: DataDir = Path("patchbank-data"),
    database: DatabaseUrl = None,
) -> None:
    """Let messages that a receiver has refused for good be sent again."""
    with opened(data, database) as records:
        number = records.send_refused_again(channel)
        known = records.channels()
    if not number and channel not in known:
        found = f"only {', '.join(known)} have any" if known else "no channel has any"
        output.note(f"{channel}: expected a channel with messages; {found}")
    output.note(f"{channel}: {number:,} messages are sent again")


def _line(count: Count) -> str:
    """A row of the table of statistics."""
    from patchbank.runtime.percent import percent

    numbers = (
        count.good,
        count.anomalous,
        count.unread,
        count.confirmed_defects,
        count.false_alarms,
        count.undecided,
        count.missed_defects,
    )
    rate = count.false_alarm_rate
    shown = "" if rate is None else f"  {percent(rate.least)} to {percent(rate.most)}"
    return f"{count.group or 'none':<26}" + "".join(f"{n:>13,}" for n in numbers) + shown


def _folder(data: Path) -> DataFolder:
    try:
        from patchbank.server.records.data_folder import DataFolder
    except ImportError:
        raise DataError(
            "records: expected the packages of the service, got none; "
            "pip install 'patchbank[serve]'"
        ) from None
    return DataFolder(data)


@contextmanager
def opened(data: Path, database: str | None) -> Iterator[Records]:
    """The records of a service, which must be there.

    Raises:
        DataError: there are none.
    """
    folder = _folder(data)
    from patchbank.server.records.store import Records

    if database is None and not folder.database.is_file():
        raise DataError(f"--data: expected the folder of a service with records, got {data}")
    name = folder.instance() if data.is_dir() else "records"
    records = Records.open(database or folder.url, instance=name, create=False)
    try:
        yield records
    finally:
        records.close()


def _time(option: str, written: str | None) -> datetime | None:
    from patchbank.server.records.times import time_of

    return None if written is None else time_of(option, written)


def _zone(name: str) -> tzinfo:
    from patchbank.server.records.times import zone_of

    return zone_of("--zone", name)
