"""Write the findings about a set of photographs as one HTML page."""

from __future__ import annotations

from pathlib import Path

from patchbank.check.findings import Finding, PhotographCheck
from patchbank.report import Gallery, Picture, draw_photograph, render, write_page

MOST_PICTURES = 24
"""Photographs of a finding that are drawn at most, those of a group at most a quarter of it."""


def write_check_report(found: PhotographCheck, folder: Path) -> Path:
    """Write one self-contained page into a folder, which is made if it is not there.

    Args:
        found: by `check_photographs`.
        folder: in which the page is written as ``index.html``.

    Returns:
        The path of the page.

    Raises:
        DataError: the page cannot be written.
    """
    page = render(
        "patchbank.check.report",
        found=found,
        sentence=_sentence(found),
        figures=_figures(found),
        sections=[(finding, _galleries(finding, found)) for finding in found.findings],
    )
    return write_page(folder, page)


def _sentence(found: PhotographCheck) -> str:
    """Whether a fit can follow, in one or two sentences."""
    if not found.findings:
        return "Nothing was found. Go on with the fit."
    n, total = len(found.accused), len(found.findings)
    kinds = "1 finding" if total == 1 else f"{total} findings"
    about = "1 photograph or file" if n == 1 else f"{n:,} photographs or files"
    text = f"{kinds} about {about}. A fit can follow; decide about them first."
    unreadable = found.finding("unreadable")
    if unreadable is None:
        return text
    return f"{kinds} about {about}. A fit would stop at what cannot be read: mend that first."


def _figures(found: PhotographCheck) -> list[tuple[str, str]]:
    figures = [
        (f"{len(found.accused):,}", "to decide about"),
        (f"{found.n_good:,}", "photographs to learn from"),
    ]
    if found.n_test:
        figures.append((f"{found.n_test:,}", "to test on"))
    return figures


def _galleries(finding: Finding, found: PhotographCheck) -> list[Gallery]:
    """The photographs of a finding, one gallery for each group; none of files that show nothing."""
    if finding.kind in ("unreadable", "skipped"):
        return []
    if not finding.groups:
        names = finding.names
        pictures = tuple(_picture(name, finding, found) for name in names[:MOST_PICTURES])
        return [Gallery("", _more(names[MOST_PICTURES:]), pictures)]
    galleries: list[Gallery] = []
    n_drawn = 0
    for number, group in enumerate(finding.groups, 1):
        if n_drawn >= MOST_PICTURES:
            names = tuple(" = ".join(rest) for rest in finding.groups[number - 1 :])
            galleries.append(Gallery("", _more(names), ()))
            break
        drawn = group[: MOST_PICTURES // 4]
        n_drawn += len(drawn)
        pictures = tuple(_picture(name, finding, found) for name in drawn)
        title = f"Group {number}: {len(group)} photographs"
        galleries.append(Gallery(title, _more(group[len(drawn) :]), pictures))
    return galleries


def _picture(name: str, finding: Finding, found: PhotographCheck) -> Picture:
    text = finding.details[name]
    return draw_photograph(f"{name} · {text}" if text else name, found.sources[name])


def _more(names: tuple[str, ...]) -> str:
    return f"not drawn: {', '.join(names)}" if names else ""
