"""`patchbank send`: have photographs inspected by a service, which records each verdict."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from patchbank.cli import output
from patchbank.cli.option_records import with_options
from patchbank.cli.options import JsonPath
from patchbank.cli.statuses import status_of
from patchbank.cli.targets import check_distinct, check_json
from patchbank.errors import DataError, ParameterError
from patchbank.runtime.printable import json_text
from patchbank.settings.rules import Integer, Number

if TYPE_CHECKING:
    from patchbank.cli.path_lists import Given, StandardInput
    from patchbank.client import Client, Verdict

TOKEN = "PATCHBANK_TOKEN"
OF_ONE_PHOTOGRAPH = (413, 500)
"""Statuses of a photograph that is too large, or at which the service fails: others go on."""
Text = Optional[str]


@dataclass(frozen=True, kw_only=True)
class SendOptions:
    """Options of `patchbank send`."""

    url: Annotated[
        str, typer.Argument(metavar="URL", help="The service, such as http://127.0.0.1:8760.")
    ]
    paths: Annotated[
        Optional[list[Path]],
        typer.Argument(
            metavar="PATH...", help="Photographs or folders; - reads paths from standard input."
        ),
    ] = None
    product: Annotated[
        Text, typer.Option("--product", metavar="NAME", help="Needed where there are several.")
    ] = None
    serial_number: Annotated[
        Text, typer.Option("--serial-number", help="Of the part, in its record.")
    ] = None
    lot: Annotated[Text, typer.Option("--lot", help="In the record.")] = None
    station: Annotated[Text, typer.Option("--station", help="In the record.")] = None
    shift: Annotated[Text, typer.Option("--shift", help="In the record.")] = None
    operator: Annotated[Text, typer.Option("--operator", help="In the record.")] = None
    camera: Annotated[Text, typer.Option("--camera", help="In the record.")] = None
    paths_from: Annotated[
        Optional[Path],
        typer.Option("--paths-from", metavar="FILE", help="Send the paths in FILE, one a line."),
    ] = None
    null: Annotated[
        bool,
        typer.Option("--null", "-0", help="Paths of a list end with NUL, as `find -print0` does."),
    ] = False
    to_json: JsonPath = None
    token_file: Annotated[
        Optional[Path],
        typer.Option(
            "--token-file",
            metavar="FILE",
            help=f"File with the token; without it, the environment variable {TOKEN} has it.",
        ),
    ] = None
    ca: Annotated[
        Optional[Path],
        typer.Option(
            "--ca", metavar="FILE", help="Authorities that have signed the service's certificate."
        ),
    ] = None
    at_once: Annotated[
        int, typer.Option("--at-once", help="Photographs under way at a time."), Integer(1, 64)
    ] = 4
    timeout_s: Annotated[
        float,
        typer.Option("--timeout-s", help="Time after which no further attempt is made."),
        Number(0, 86_400, open_low=True, unit="s"),
    ] = 120.0
    fail_on_anomaly: Annotated[
        bool, typer.Option("--fail-on-anomaly", help="Exit with status 3 if one is found.")
    ] = False

    @property
    def fields(self) -> dict[str, str | None]:
        """Facts of the parts, for the record."""
        from patchbank.client.verdict import FIELDS

        return {name: getattr(self, name) for name in FIELDS}

    def token(self) -> str | None:
        """The token, which is no argument: others see those in lists of processes.

        Raises:
            DataError: the file cannot be read.
        """
        if self.token_file is None:
            return os.environ.get(TOKEN) or None
        try:
            return self.token_file.read_text(encoding="utf-8").strip() or None
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no UTF-8"
            raise DataError(
                f"--token-file: expected a file with a token, got {self.token_file} ({reason})"
            ) from None


@dataclass(slots=True)
class Count:
    """Number of photographs by their outcome."""

    good: int = 0
    anomalous: int = 0
    unread: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of one photograph."""

    verdict: Verdict | None
    """The record; None for one that has none."""
    error: str | None
    line: Mapping[str, Any]
    """The object that is written as JSON."""


@with_options(SendOptions)
def send(options: SendOptions) -> None:
    """Have photographs inspected by a service; each verdict is on record there.

    The lines are those of `predict`. A photograph is sent again where the service is busy or not
    reachable, and recorded once.
    """
    from patchbank.cli.path_lists import Given, with_lists

    given = with_lists(options.paths or [], options.paths_from, null=options.null)
    check_json(options.to_json)
    sources = [one.path for one in given if isinstance(one, Given)]
    check_distinct({"--json": options.to_json}, [*sources, *filter(None, [options.paths_from])])
    try:
        from patchbank.client import Client
    except ImportError:
        raise ParameterError(
            "send: expected the package httpx, got none; pip install 'patchbank[serve]'"
        ) from None
    ca = None if options.ca is None else str(options.ca)
    with Client(options.url, options.token(), total_s=options.timeout_s, ca=ca) as client:
        count = _send_all(client, given, options)
    raise typer.Exit(
        status_of(
            anomalous=count.anomalous,
            unread=count.unread,
            fail_on_anomaly=options.fail_on_anomaly,
        )
    )


def _send_all(
    client: Client, given: Sequence[Given | StandardInput], options: SendOptions
) -> Count:
    """Send photographs in the order in which they were given, and print what comes of each."""
    from patchbank.cli.path_lists import batches
    from patchbank.cli.pictures import list_photographs

    count = Count()
    target = options.to_json
    with ExitStack() as stack:
        stream = None if target is None else stack.enter_context(output.json_lines(target))
        for batch in batches(given):
            listed = list_photographs(batch)
            count.unread += listed.not_read
            for line in listed.lines:
                output.note(line)
            for outcome in _outcomes(client, [path for path, _ in listed.images], options):
                _tally(count, outcome)
                if target != "-":
                    _print(outcome)
                elif outcome.error is not None:
                    output.error(outcome.error)
                if stream is not None and target is not None:
                    output.write_line(stream, target, json_text(outcome.line))
    if count.good + count.anomalous + count.unread == 0:
        raise DataError("PATH: expected photographs, got an empty list")
    if target != "-":
        output.totals(count.good, count.anomalous, count.unread)
    return count


def _outcomes(client: Client, paths: Sequence[Path], options: SendOptions) -> Iterator[Outcome]:
    """Outcomes in the order of the paths, of which several are under way."""
    with ThreadPoolExecutor(options.at_once, thread_name_prefix="send") as pool:
        sent: list[Future[Outcome]] = []
        try:
            for path in paths:
                if len(sent) >= 2 * options.at_once:
                    yield sent.pop(0).result()
                sent.append(pool.submit(_outcome, client, path, options))
            while sent:
                yield sent.pop(0).result()
        finally:
            for future in sent:
                future.cancel()


def _outcome(client: Client, path: Path, options: SendOptions) -> Outcome:
    """Send one photograph.

    Raises:
        ClientError: the service does not inspect at all.
    """
    from patchbank.client import ClientError, Unread
    from patchbank.detector.inspection import FailedInspection

    try:
        verdict = client.inspect(path, options.product, **options.fields)
    except Unread as error:
        if error.inspection_id is None:
            return Outcome(None, str(error), FailedInspection.of(str(path), error).to_json())
        verdict = client.inspection(error.inspection_id)
        return Outcome(verdict, verdict.error, verdict.content)
    except ClientError as error:
        if error.status not in OF_ONE_PHOTOGRAPH:
            raise
        return Outcome(None, str(error), FailedInspection.of(str(path), error).to_json())
    except DataError as error:
        return Outcome(None, str(error), FailedInspection.of(str(path), error).to_json())
    return Outcome(verdict, None, verdict.content)


def _tally(count: Count, outcome: Outcome) -> None:
    verdict = outcome.verdict
    if outcome.error is not None or verdict is None:
        count.unread += 1
    elif verdict.is_good:
        count.good += 1
    else:
        count.anomalous += 1


def _print(outcome: Outcome) -> None:
    verdict = outcome.verdict
    if outcome.error is not None or verdict is None:
        output.error(outcome.error or "")
        return
    assert verdict.score is not None
    assert verdict.p_value is not None
    output.verdict(
        verdict.image,
        is_anomalous=verdict.is_anomalous,
        score=verdict.score,
        p_value=verdict.p_value,
        regions=verdict.regions,
    )
