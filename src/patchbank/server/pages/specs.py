"""All routes of the service: those for programs, and the pages for people."""

from __future__ import annotations

from patchbank.server.pages import (
    line,
    login,
    photographs,
    products,
    review,
    setting_up,
    start,
    static,
    threshold,
    try_it,
)
from patchbank.server.pages.history import lists, parts, screens, sheet
from patchbank.server.service.app import SPECS as FOR_PROGRAMS
from patchbank.server.service.guarding import Spec

PAGES: tuple[Spec, ...] = (
    *start.SPECS,
    *static.SPECS,
    *login.SPECS,
    *photographs.SPECS,
    *line.SPECS,
    *review.SPECS,
    *try_it.SPECS,
    *threshold.SPECS,
    *setting_up.SPECS,  # before those with the name of a product in the same path
    *products.SPECS,
    *lists.SPECS,
    *screens.SPECS,
    *sheet.SPECS,  # before that of a part by its number
    *parts.SPECS,
)
SPECS: tuple[Spec, ...] = (
    *(start.shared(spec) if spec.path == start.PATH else spec for spec in FOR_PROGRAMS),
    *PAGES,
)
