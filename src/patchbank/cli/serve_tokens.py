"""`patchbank serve token`: make, list and revoke the tokens of the service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Optional

import typer

from patchbank.cli import output
from patchbank.cli.option_records import with_options
from patchbank.cli.records import opened
from patchbank.errors import DataError
from patchbank.settings.rules import Integer

if TYPE_CHECKING:
    from patchbank.server.records.store import Records

LONGEST_DAYS = 36_500
DataDir = Annotated[
    Path,
    typer.Option("--data", metavar="DIR", help="Folder of records, pictures and versions."),
]
DatabaseUrl = Annotated[
    Optional[str],
    typer.Option(
        "--database",
        metavar="URL",
        help="Keep the records there, such as postgresql://USER:PASSWORD@HOST/NAME, instead of in "
        "a file in --data.",
    ),
]
TokenName = Annotated[str, typer.Argument(metavar="NAME", help="Name of who uses it.")]

tokens = typer.Typer(
    name="token",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=True,
)


@tokens.callback()
def _tokens() -> None:
    """Tokens of the service: who may ask what."""


@dataclass(frozen=True, kw_only=True)
class AddOptions:
    """Options of `patchbank serve token add`."""

    name: TokenName
    role: Annotated[
        Literal["operator", "engineer", "admin"],
        typer.Option(
            "--role",
            help="operator inspects, reads and reviews; engineer changes detectors and exports, "
            "too; admin adds products, makes tokens and reads the audit, too.",
        ),
    ]
    expires_days: Annotated[
        Optional[int],
        typer.Option("--expires-days", help="Days that it is valid."),
        Integer(1, LONGEST_DAYS),
    ] = None
    data: DataDir = Path("patchbank-data")
    database: DatabaseUrl = None


@tokens.command("add")
@with_options(AddOptions)
def add(options: AddOptions) -> None:
    """Make a token, and print it this once: it is not kept, only its digest is.

    A folder of the service that is not there is made, and named.
    """
    expires = None
    if options.expires_days is not None:
        expires = datetime.now(timezone.utc) + timedelta(days=options.expires_days)
    with _opened_or_made(options.data, options.database) as records:
        output.say(records.add_token(options.name, options.role, expires))


@tokens.command("list")
def list_tokens(data: DataDir = Path("patchbank-data"), database: DatabaseUrl = None) -> None:
    """List the tokens, without their secrets."""
    with opened(data, database) as records:
        found = records.tokens()
    if not found:
        output.say("no tokens")
    for one in found:
        until = "" if one.expires is None else f", until {one.expires:%Y-%m-%d %H:%M} UTC"
        if one.revoked is not None:
            until = f", revoked {one.revoked:%Y-%m-%d %H:%M} UTC"
        output.say(f"{one.name}: {one.role}, made {one.created:%Y-%m-%d %H:%M} UTC{until}")


@tokens.command("revoke")
def revoke(
    name: TokenName, data: DataDir = Path("patchbank-data"), database: DatabaseUrl = None
) -> None:
    """Revoke a token for good; a service that runs refuses it within five seconds."""
    with opened(data, database) as records:
        if not records.revoke_token(name):
            raise DataError(f"token: expected the name of a valid one, got {name!r}")
    output.say(f"{name}: revoked")


@contextmanager
def _opened_or_made(data: Path, database: str | None) -> Iterator[Records]:
    """The records of a data folder; one that is made is named."""
    from patchbank.server.records.data_folder import DataFolder
    from patchbank.server.records.store import Records

    folder = DataFolder(data)
    is_there = folder.database.is_file() if database is None else data.is_dir()
    folder.make()
    records = Records.open(database or folder.url, instance=folder.instance())
    if not is_there:
        output.note(f"note: {data.absolute()}: made, as there was no data folder of a service")
    try:
        yield records
    finally:
        records.close()
