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


@pytest.fixture(scope="session")
def bolts_detector(tmp_path_factory):
    """The file of a detector of drawn bolts; a test copies it."""
    from tests.server.pages.bolts import bolt
    from tests.server.services import run

    folder = tmp_path_factory.mktemp("bolts")
    (folder / "good").mkdir()
    for seed in range(12):
        (folder / "good" / f"{seed}.png").write_bytes(bolt(seed))
    file = folder / "bolts.patchbank"
    fit = ("--preset", "fast", "--image-size", 128, "--false-alarm-rate", 0.1)
    done = run("fit", folder / "good", "--out", file, *fit)
    assert done.returncode == 0, done.stderr
    return file


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
