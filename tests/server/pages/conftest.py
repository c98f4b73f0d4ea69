"""Fixtures: a browser that several tests share, and a screen of its own for each."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture(scope="module")
def chromium():
    """Debian's Chromium."""
    from tests.server.pages.screens import launched

    with launched() as browser:
        yield browser


@pytest.fixture(scope="module")
def line(fitted, tmp_path_factory):
    """A service with the product `parts` alone; tests of a module feed it one after the other."""
    from tests.server.services import Running

    folder = tmp_path_factory.mktemp("line")
    file = shutil.copy(fitted, folder / "parts.patchbank")
    with Running(folder / "data", file, "--keep-good", "1") as running:
        yield running


@pytest.fixture
def screen(chromium, line):
    """The screen of the line in a new browser profile; it must end without an error of a script."""
    from tests.server.pages.screens import Screen

    context = chromium.new_context(locale="en-GB", viewport={"width": 1280, "height": 800})
    opened = Screen(context.new_page(), line.url).open()
    yield opened
    assert opened.errors == []
    context.close()
