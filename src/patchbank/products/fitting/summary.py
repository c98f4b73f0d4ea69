"""The page and the JSON of all products that were fitted together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from patchbank.errors import DataError
from patchbank.images.folders import few
from patchbank.products.fitting.record import ProductFit
from patchbank.report import Gallery, Picture, render, write_page
from patchbank.runtime.atomic_file import replace_file
from patchbank.runtime.percent import percent
from patchbank.runtime.printable import json_text

SCHEMA_VERSION = 1
"""Version of `docs/schemas/products.schema.json`."""
FILE = "products.json"


def write_summary(fits: Sequence[ProductFit], out: Path) -> Path:
    """Write ``products.json`` and the page ``index.html`` of all products.  -> path of the page.

    Raises:
        DataError: they cannot be written.
    """
    try:
        replace_file(out / FILE, (json_text(to_json(fits), indent=2) + "\n").encode())
    except OSError as error:
        raise DataError(f"{out / FILE}: expected to write it, got: {error.strerror}") from None
    failed = [fit for fit in fits if fit.error is not None]
    fitted = [fit for fit in fits if fit.error is None]
    page = render(
        "patchbank.products.fitting",
        sentence=_sentence(fits, failed),
        state="unread" if failed else "ok",
        rates=[(f"{len(fitted):,}", "detectors"), (f"{len(failed):,}", "without a detector")],
        failed=failed,
        fitted=[(number, fit, _row(fit), has_details(fit)) for number, fit in enumerate(fitted)],
        details=[
            (number, fit, _findings(fit), _gallery(fit))
            for number, fit in enumerate(fitted)
            if has_details(fit)
        ],
    )
    return write_page(out, page)


def to_json(fits: Sequence[ProductFit]) -> dict[str, Any]:
    """The content of ``products.json``."""
    return {"schema_version": SCHEMA_VERSION, "products": [fit.to_json() for fit in fits]}


def has_details(fit: ProductFit) -> bool:
    """Whether the page has more to say of a product than its row."""
    return bool(fit.oddest or fit.remarks or fit.unread or fit.findings)


def _sentence(fits: Sequence[ProductFit], failed: Sequence[ProductFit]) -> str:
    """One or two sentences about all of them."""
    if failed:
        return (
            f"{len(failed)} of {len(fits)} products have no detector. Mend what the lines below "
            "name, and run the same command again: the others are kept."
        )
    kept = sum(fit.is_kept for fit in fits)
    to_decide = sum(fit.n_to_decide > 0 for fit in fits)
    text = f"All {len(fits)} products have a detector."
    if kept:
        text += f" {kept} of them were fitted before with the same photographs and settings."
    if to_decide:
        verb = "has" if to_decide == 1 else "have"
        text += f" {to_decide} {verb} photographs to decide about."
    return text


def _row(fit: ProductFit) -> list[str]:
    """Cells of the table, after the name."""
    rate = "not known" if fit.false_alarm_rate is None else percent(fit.false_alarm_rate)
    return [
        f"{fit.photographs:,}",
        f"{fit.threshold:.4g}",
        rate,
        str(fit.n_to_decide or "none"),
        f"{fit.seconds:.1f} s",
        f"{(fit.file_bytes or 0) / 1e6:.1f} MB",
    ]


def _findings(fit: ProductFit) -> list[tuple[str, str]]:
    """Each finding in a line with the first names, and the advice."""
    return [
        (
            f"{len(one['photographs'])} {one['title']}: "
            f"{few([each['name'] for each in one['photographs']], 'photograph')}",
            f"{one['advice'][0].upper()}{one['advice'][1:]}.",
        )
        for one in fit.findings
    ]


def _gallery(fit: ProductFit) -> Gallery:
    pictures = tuple(
        Picture(
            f"{one['image']} · score {one['score']:.4g}"
            + (" · above the threshold" if one["above_threshold"] else ""),
            one["picture"],
            error="" if one["picture"] else "it cannot be read any more",
            opens=False,
        )
        for one in fit.oddest
    )
    return Gallery("", "", pictures)
