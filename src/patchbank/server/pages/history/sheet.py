"""Parts of a filter as a file that people open in a spreadsheet program."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from patchbank.server.pages import words
from patchbank.server.pages.history.asked import Asked, Wanted, resolved
from patchbank.server.pages.history.figures import decimal_mark
from patchbank.server.pages.rendering import page_spec
from patchbank.server.records.sheet import Locale
from patchbank.server.service.service import service_of

PATH = "/history/parts.csv"
LONGEST_NAME = 100


def sheet(request: Request, asked: Annotated[Asked, Query()]) -> Response:
    """The parts of a query as CSV in the words, the zone and the order of the page."""
    records, now = service_of(request).records, datetime.now(timezone.utc)
    wanted = resolved(asked, records, now)
    language = words.language_of(request.headers.get("accept-language", ""))
    zone = wanted.zone.key or str(wanted.zone.local(now).tzname())
    locale = Locale(
        words.for_scripts(language, "sheet"), decimal_mark(language), wanted.zone.tz, zone
    )
    parts = records.sheet(wanted.filter, locale)
    first = next(parts)  # what is wrong is raised before the answer begins

    def content() -> Iterator[bytes]:
        yield first.content
        for part in parts:
            yield part.content

    headers = {
        "Content-Disposition": f'attachment; filename="{file_name(wanted)}"',
        "Vary": "Accept-Language, Cookie",
    }
    return StreamingResponse(content(), headers=headers, media_type="text/csv; charset=utf-8")


def file_name(wanted: Wanted) -> str:
    """A name by what is asked for, such as ``screw_2026-11-26_early.csv``.

    Letters without accents, digits, dots and dashes alone are in it, whatever products and lots
    are called.
    """
    asked = wanted.asked
    days = [day.isoformat() for day in dict.fromkeys(wanted.days) if day is not None]
    given = (
        asked.product,
        "_to_".join(days),
        asked.lot,
        asked.shift,
        asked.station,
        asked.serial_number,
        asked.verdict,
        "not_reviewed" if asked.review == "none" else asked.review,
    )
    safe = "_".join(filter(None, (_safe(one) for one in given if one)))
    return f"{safe[:LONGEST_NAME] or 'parts'}.csv"


def _safe(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")


SPECS = (page_spec("GET", PATH, sheet, "engineer"),)
