"""Rows of the table of inspections, and the entries that they stand for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sqlalchemy import Row

from patchbank.errors import ParameterError
from patchbank.runtime.printable import json_text, printable
from patchbank.server.records.base import check_text, check_time
from patchbank.server.records.entries import Fields, NewInspection, StoredInspection
from patchbank.server.records.tables import PRODUCT_LENGTH

FIELD_NAMES = tuple(field.name for field in fields(Fields))
PLAIN = (
    "time",
    "product",
    "photograph_sha256",
    "source",
    "by",
    "idempotency_key",
    "photograph",
    "overlay",
    "map",
    "is_border",
)
"""Columns that are attributes of an inspection."""


def check(new: NewInspection) -> None:
    """Check what is to be recorded.

    Raises:
        ParameterError: a text cannot be kept, or the time has no zone.
    """
    check_time("time", new.time)
    check_text("product", new.product, PRODUCT_LENGTH)
    check_text("by", new.by, PRODUCT_LENGTH)
    check_text("idempotency_key", new.idempotency_key)
    for name in FIELD_NAMES:
        check_text(name, getattr(new.fields, name))
    if "detector_sha256" not in new.result:
        raise ParameterError("result: expected the key detector_sha256, got none")


def to_row(new: NewInspection, instance: str) -> dict[str, Any]:
    """The row of an inspection that is to be recorded."""
    return {
        **{name: getattr(new, name) for name in PLAIN},
        **{name: getattr(new.fields, name) for name in FIELD_NAMES},
        "verdict": new.verdict,
        "score": new.result.get("score"),
        "p_value": new.result.get("p_value"),
        "threshold": new.result.get("threshold"),
        "detector_sha256": new.result["detector_sha256"],
        **_of_result(new.result),
        "result": json_text(new.result),
        "instance": instance,
    }


def _of_result(result: Mapping[str, Any]) -> dict[str, Any]:
    """Columns for whoever reads tables; the result itself has all of it, and more."""
    width, height = result.get("size") or (None, None)
    regions = result.get("regions")
    texts = {name: result.get(name) for name in ("image", "error")}
    return {
        **{name: None if text is None else printable(text) for name, text in texts.items()},
        "width": width,
        "height": height,
        "regions": None if regions is None else len(regions),
    }


def stored(new: NewInspection, number: int, instance: str) -> StoredInspection:
    """A new inspection that has its number."""
    given = {field.name: getattr(new, field.name) for field in fields(NewInspection)}
    return StoredInspection(**given, id=number, instance=instance)


def from_row(row: Row[Any]) -> StoredInspection:
    """The inspection of a row with all columns."""
    values = row._mapping
    return StoredInspection(
        **{name: values[name] for name in PLAIN},
        fields=Fields(**{name: values[name] for name in FIELD_NAMES}),
        result=json.loads(values["result"]),
        id=values["id"],
        instance=values["instance"],
        review=values["review"],
    )
