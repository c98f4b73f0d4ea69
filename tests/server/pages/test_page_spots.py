"""Odd spots next to those of good parts, where the detector has no pictures of any."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.server.pages.bolts import bolt
from tests.server.services import Running, run

pytestmark = [pytest.mark.browser, pytest.mark.serve]


def test_no_spots_of_good_parts_are_announced_where_the_file_has_no_pictures(tmp_path, chromium):
    for seed in range(6):
        (tmp_path / f"{seed}.png").write_bytes(bolt(seed))
    fit = ("--preset", "fast", "--image-size", 128, "--no-keep-crops")
    file = tmp_path / "bolts.patchbank"
    done = run("fit", tmp_path, "--out", file, *fit)
    assert done.returncode == 0, done.stderr
    with Running(tmp_path / "data", file, "--keep-good", "1") as running:
        page = chromium.new_context(locale="en-GB").new_page()
        content = bolt(200, nick=True)
        number = running.inspect(content).json()["id"]
        page.goto(f"{running.url}/history/{number}")
        page.locator("#spots").scroll_into_view_if_needed()
        expect(page.locator("#spots-said")).to_contain_text("has no small pictures")
        expect(page.locator("#spots figcaption").first).to_have_text(
            "The spot that differs most, enlarged"
        )
        page.goto(f"{running.url}/try")
        page.locator("#file").set_input_files(
            {"name": "1.png", "mimeType": "image/png", "buffer": content}
        )
        expect(page.locator("#compared")).to_contain_text("has no small pictures")
        expect(page.locator("#compared-with")).to_be_hidden()
