"""Every screen at three sizes, light and dark: nothing is cut off, and the rules of access hold.

`PATCHBANK_PICTURES=docs/pictures/page pytest tests/server/pages/test_page_pictures.py` writes the
pictures of the guide.
"""

from __future__ import annotations

import shutil
from contextlib import ExitStack

import pytest
from playwright.sync_api import expect

from tests.server.pages.bolts import bolt
from tests.server.pages.screens import Screen, small_targets, violations
from tests.server.pages.views import check_views, opened_views
from tests.server.services import Running, bearer, make_token

pytestmark = [pytest.mark.browser, pytest.mark.page_tools, pytest.mark.serve]
PARTS = 11


class Views:
    """The screen of one line in browsers of each size, light and dark."""

    def __init__(self, running, secret, screens) -> None:
        self.running, self.secret, self.screens = running, secret, screens

    def send(self, content, serial) -> None:
        """Have a photograph inspected."""
        self.running.inspect(
            content, serial_number=serial, shift="early", headers=bearer(self.secret)
        )

    def check(self, name: str) -> None:
        """Check what all of them show, and keep pictures."""
        check_views({view: one.page for view, one in self.screens.items()}, name)


@pytest.fixture(scope="module")
def views(chromium, bolts_detector, tmp_path_factory):
    folder = tmp_path_factory.mktemp("views")
    file = shutil.copy(bolts_detector, folder / "bolts.patchbank")
    secret = make_token(folder / "data", "press-1", "operator")
    with Running(folder / "data", file, "--keep-good", "1") as running, ExitStack() as stack:
        pages = stack.enter_context(opened_views(chromium))
        screens = {view: Screen(page, running.url, "bolts") for view, page in pages.items()}
        yield Views(running, secret, screens)


def test_the_login(views):
    for screen in views.screens.values():
        screen.page.goto(screen.url)
        expect(screen.page.get_by_label("Token")).to_be_focused()
    views.check("login")


def test_the_screens_of_the_line(views):
    for screen in views.screens.values():
        screen.page.goto(f"{views.running.url}/login?next=/line")
        screen.page.get_by_label("Token").fill(views.secret)
        screen.page.keyboard.press("Enter")
        expect(screen.page.get_by_role("link", name="bolts")).to_be_visible()
    views.check("lines")


def test_a_good_part(views):
    for screen in views.screens.values():
        screen.open().says("READY")
        assert violations(screen.page) == []
    for seed in range(PARTS):
        views.send(bolt(100 + seed), f"A-{1001 + seed}")
    for screen in views.screens.values():
        screen.says("OK", f"A-{1000 + PARTS}")
        expect(screen.page.locator("#small")).to_be_visible()
        expect(screen.page.locator("#counts")).to_contain_text(f"{PARTS} parts")
    views.check("ok")


def test_a_part_with_a_defect(views):
    views.send(bolt(200, nick=True), "A-1017")
    for screen in views.screens.values():
        screen.says("NG", "A-1017")
        for name in ("overlay", "odd", "nearest"):
            expect(screen.page.locator(f"#{name}")).to_be_visible()
        expect(screen.page.locator("#counts")).to_contain_text("1 NG")
    views.check("ng")


def test_an_earlier_part_and_the_settings(views):
    for screen in views.screens.values():
        screen.page.locator("#strip button").nth(1).click()
        screen.says("OK")
        screen.page.locator("#settings summary").click()
        expect(screen.page.get_by_label("Sound on NG")).to_be_visible()
    views.check("settings")
    for screen in views.screens.values():
        screen.page.keyboard.press("Escape")
        expect(screen.page.get_by_label("Sound on NG")).to_be_hidden()
        screen.says("NG", "A-1017")


def test_a_photograph_that_cannot_be_read(views):
    views.send(b"no photograph", "A-1018")
    for screen in views.screens.values():
        screen.says("UNREAD", "A-1018")
        expect(screen.page.locator("#counts")).to_contain_text("1 unread")
    views.check("unread")


def test_a_page_of_an_error(views):
    screen = views.screens["phone-dark"]
    page = screen.page.context.new_page()
    page.goto(f"{views.running.url}/line/none")
    expect(page.get_by_role("heading")).to_have_text("This did not work")
    assert violations(page) == []
    assert small_targets(page) == []
    page.close()


def test_a_service_that_is_gone(views):
    views.running.process.kill()
    for screen in views.screens.values():
        screen.says("NOT LIVE")
        expect(screen.page.locator("#serial")).to_contain_text("Last part: UNREAD A-1018")
    views.check("not-live")
    for view, screen in views.screens.items():
        assert screen.errors == [], view
