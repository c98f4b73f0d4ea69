"""The history in a real Chromium: people find parts, export them, review one, read charts.

`PATCHBANK_PICTURES=docs/pictures/page pytest tests/server/pages/test_history_screens.py` writes the
pictures of the guide.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.server.pages.bolts import bolt
from tests.server.pages.past import days, now
from tests.server.pages.views import check_views, log_in, opened_views
from tests.server.services import Running, bearer, make_token, records_of

pytestmark = [pytest.mark.browser, pytest.mark.page_tools, pytest.mark.serve]
REAL = 14
NICKS = (4, 9)
TABLES = ("desktop-light", "phone-dark")
"""Views in which the table is looked at; the frame around it is that of the pictures."""


@pytest.fixture(scope="module")
def desk(bolts_detector, tmp_path_factory):
    """Seven days of drawn parts until midnight, lots L1 to L7; photographs of bolts today."""
    import patchbank

    folder = tmp_path_factory.mktemp("desk")
    data, file = folder / "data", shutil.copy(bolts_detector, folder / "bolts.patchbank")
    detector = patchbank.load(file)
    facts = {"detector": detector.sha256, "threshold": detector.calibration.threshold}
    secret = make_token(data, "eva", "engineer")
    midnight = now().replace(hour=0, minute=0, second=0, microsecond=0)
    with records_of(data) as records:
        added = records.add(days(7, until=midnight, **facts))
        flagged = [one.inspection for one in added if one.inspection.verdict == "anomalous"]
        for at, one in enumerate(flagged):
            if at % 4:
                decision = "false_alarm" if at % 3 == 0 else "confirmed_defect"
                records.add_review(one.id, decision, "anna")
    with Running(data, file, "--keep-good", "1", TZ="UTC") as running:
        running.secret, running.flagged = secret, flagged
        for seed in range(REAL):
            content = b"no photograph" if seed == 7 else bolt(300 + seed, nick=seed in NICKS)
            # Even just after midnight, no early shift of before began in the last twelve hours.
            fields = {"serial_number": f"A-{1000 + seed}", "lot": "L8", "shift": "early"}
            running.inspect(content, f"bolt-{seed}.png", **fields, headers=bearer(secret))
        yield running


@pytest.fixture
def page(chromium, desk):
    context = chromium.new_context(
        locale="en-GB", timezone_id="UTC", viewport={"width": 1280, "height": 900}
    )
    opened, errors = context.new_page(), []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    log_in(opened, desk.url, desk.secret, "/history")
    yield opened
    assert errors == []
    context.close()


def shown(page) -> list[str]:
    page.wait_for_load_state("domcontentloaded")
    return page.locator(".name, a.open").all_inner_texts()


def drawn(image) -> None:
    """Wait until a picture is there."""
    image.scroll_into_view_if_needed()
    expect(image).to_have_js_property("complete", True)
    assert image.evaluate("one => one.naturalWidth") > 40


def shape_of(image) -> float:
    """Width of a picture, in its heights."""
    return float(image.evaluate("one => one.naturalWidth / one.naturalHeight"))


def test_yesterdays_ng_parts_of_lot_7_are_found(page, desk):
    page.get_by_label("Lot").fill("L7")
    page.get_by_label("Verdict").select_option("NG")
    page.get_by_role("button", name="Yesterday").click()
    expect(page.get_by_role("button", name="Yesterday")).to_have_attribute("aria-current", "true")
    expected = [one.fields.serial_number for one in desk.flagged if one.fields.lot == "L7"]
    assert len(expected) > 1
    assert sorted(shown(page)) == sorted(expected)
    assert page.get_by_label("Lot").input_value() == "L7"
    page.get_by_role("link", name="Table").click()
    assert sorted(shown(page)) == sorted(expected)
    expect(page.get_by_role("status")).to_contain_text(f"Parts: {len(expected)}")
    page.get_by_role("link", name="Clear").click()
    assert page.get_by_label("Lot").input_value() == ""


def test_a_lot_by_another_name_is_not_there_and_those_that_are_stand_below(page):
    page.get_by_label("Lot").fill("7")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No part on record is like this.")).to_contain_text("L8, L7")


def test_the_shift_is_exported(page):
    page.get_by_role("button", name="This shift").click()
    expect(page.get_by_role("status")).to_contain_text(f"Parts: {REAL}")
    expect(page.get_by_role("status")).to_contain_text("the shift that the newest part names")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export these parts as CSV").click()
    with open(download.value.path(), encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(io.StringIO(file.read())))
    assert len(rows) == REAL
    assert {row["Shift"] for row in rows} == {"early"}
    assert rows[-1]["Serial number"] == "A-1000"


def test_older_parts_come_in_pages(page):
    page.get_by_role("link", name="Table").click()
    first = shown(page)
    page.get_by_role("link", name="Older parts").click()
    second = shown(page)
    assert len(first) == len(second) == 50
    assert not set(first) & set(second)
    page.get_by_role("link", name="Newest parts").click()
    assert shown(page) == first


def test_a_part_is_reviewed_with_a_note_and_the_next_one_by_keys(page, desk):
    page.get_by_label("Verdict").select_option("NG")
    page.get_by_role("button", name="Today", exact=True).click()
    page.get_by_role("link", name="A-1009").click()
    for name in ("overlay", "spot-0", "photograph"):
        drawn(page.locator(f"#{name}"))
    assert shape_of(page.locator("#overlay")) == pytest.approx(3 / 2, rel=0.01)  # no caption
    first = page.locator("#spots figcaption").first
    expect(first).to_have_text(
        "The spot that differs most, and the most similar spots of good parts"
    )
    expect(page.locator("#spots-said")).to_have_text("")
    hint = page.get_by_role("button", name="False alarm: this is normal")
    expect(hint.locator("kbd")).to_have_text("N")
    page.get_by_label("Note").fill("a nick, und")  # D and N in a note are letters
    page.get_by_role("button", name="Confirmed defect").click()
    reviews = page.locator("#reviews li")
    expect(reviews).to_have_count(1)
    expect(reviews).to_contain_text("Confirmed defect · eva")
    expect(reviews).to_contain_text("a nick, und")
    page.keyboard.press("z")
    expect(reviews).to_have_count(2)
    expect(reviews.last).to_contain_text("Withdrawn")
    page.keyboard.press("j")
    expect(page.get_by_role("heading", level=1)).to_have_text("A-1004")
    page.keyboard.press("n")
    expect(reviews.last).to_contain_text("False alarm")
    page.keyboard.press("k")
    expect(page.get_by_role("heading", level=1)).to_have_text("A-1009")
    page.get_by_role("link", name="Back to the list").click()
    expect(page.locator(".reviewed")).to_have_text("False alarm")


def test_times_are_those_of_the_browser(chromium, desk):
    context = chromium.new_context(locale="de-DE", timezone_id="Australia/Adelaide")
    page = context.new_page()
    log_in(page, desk.url, desk.secret)
    page.goto(f"{desk.url}/history", wait_until="commit")
    said = "Zeiten sind die dieses Browsers: Australia/Adelaide (UTC+"
    expect(page.get_by_text(said)).to_be_visible()
    assert page.url.endswith("/history?zone=Australia%2FAdelaide")
    one = desk.flagged[-1]
    page.goto(f"{desk.url}/history/{one.id}?zone=Australia%2FAdelaide")
    local = one.time.astimezone(ZoneInfo("Australia/Adelaide"))
    expect(page.locator("dd time")).to_have_text(f"{local:%Y-%m-%d %H:%M:%S}")
    assert "zone=Australia" in page.get_by_role("link", name="Zurück zur Liste").get_attribute(
        "href"
    )
    context.close()


def test_all_of_it_works_without_script(chromium, desk):
    context = chromium.new_context(java_script_enabled=False, locale="en-GB")
    page = context.new_page()
    log_in(page, desk.url, desk.secret, "/history")
    page.get_by_label("Lot").fill("L3")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("status")).to_contain_text("Parts: 60")
    page.locator(".tiles a").first.click()
    page.get_by_role("button", name="Unsure").click()
    expect(page.locator("#reviews li")).to_contain_text("Unsure · eva")
    page.get_by_role("link", name="Back to the list").click()
    page.get_by_role("link", name="Charts").click()
    expect(page.locator("svg.plot")).to_have_count(3)
    page.get_by_role("link", name="Show drift and the lot").click()
    expect(page.get_by_role("heading", name="Lot L3")).to_be_visible()
    context.close()


def test_charts_say_their_values_and_load_the_drift(page):
    page.get_by_role("link", name="Charts").click()
    expect(page.get_by_text("1 of 8 points outside of their limits")).to_be_visible()
    chart = page.locator(".chart").first
    chart.locator(".strip").nth(1).click()
    expect(chart.locator(".value")).to_have_text(re.compile(r"^\d{4}-\d\d-\d\d: .* NG, \d+ of 60;"))
    expect(page.locator("#statements svg")).to_be_visible()
    expect(page.locator("#statements")).to_contain_text("No sign of a change")
    chart.get_by_text("Values as a table").click()
    chart.get_by_role("row").nth(2).get_by_role("link").click()
    expect(page.get_by_role("status")).to_contain_text("Parts: 60")


def test_the_views_of_the_history(chromium, desk):
    number = desk.http.get(
        "/v1/inspections", params={"serial_number": "A-1009"}, headers=bearer(desk.secret)
    ).json()["inspections"][0]["id"]
    with opened_views(chromium) as pages:
        for page in pages.values():
            log_in(page, desk.url, desk.secret, "/history")
            page.goto(f"{desk.url}/history?when=today")
            for image in page.locator(".tiles img").all()[:7]:
                drawn(image)
            page.evaluate("scrollTo(0, 0)")
        check_views(pages, "history", scrolls=True)
        expect(pages["desktop-light"].locator("#filter")).to_be_visible()
        expect(pages["phone-light"].locator("#filter")).to_be_hidden()
        expect(pages["phone-light"].locator(".tiles").first).to_contain_text("of the threshold")
        pages["phone-dark"].get_by_text("Find parts").click()
        expect(pages["phone-dark"].locator("#filter")).to_be_visible()
        for page in pages.values():
            page.goto(f"{desk.url}/history?view=table&verdict=anomalous&shift=late")
        check_views({view: pages[view] for view in TABLES}, "history-table", scrolls=True)
        for page in pages.values():
            page.goto(f"{desk.url}/history/{number}")
            drawn(page.locator("#overlay"))
        check_views(pages, "history-part", scrolls=True)
        for page in pages.values():
            page.goto(f"{desk.url}/history/charts")
            expect(page.locator("#statements svg")).to_be_visible()
            page.locator(".chart summary").first.click()
            page.evaluate("scrollTo(0, 0)")
        check_views(pages, "history-charts", scrolls=True)


def test_the_tile_that_has_the_focus_has_a_ring_around_it(page):
    tiles = page.locator(".tiles a")
    tiles.nth(1).focus()
    page.keyboard.press("Tab")
    box = tiles.nth(2).bounding_box()
    expect(tiles.nth(2)).to_be_focused()
    left = {"x": box["x"] - 6, "y": box["y"] + 30, "width": 6, "height": 40}
    strip = np.asarray(Image.open(io.BytesIO(page.screenshot(clip=left))).convert("RGB")).astype(
        int
    )
    is_ring = np.abs(strip - (11, 87, 208)).max(axis=2) < 40  # --focus of base.css
    assert is_ring.mean() > 0.4
