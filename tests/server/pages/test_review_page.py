"""The page of reviews in a real browser: by keyboard, several reviewers at once, and taught."""

from __future__ import annotations

import io
import re
import shutil
from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import expect

from tests.server.pages.bolts import bolt
from tests.server.pages.past import now
from tests.server.pages.reviewing import UNSEEN_MS, ReviewPage, add_copies, copied
from tests.server.pages.views import check_views, log_in, opened_views
from tests.server.services import Running, bearer, make_token, records_of

pytestmark = [pytest.mark.browser, pytest.mark.page_tools, pytest.mark.serve]
PREVIEW_MS = 90_000  # it is computed, on a machine that may be busy
ROOT = "/inspect"  # of a proxy
SCRIPT = "<img src=x onerror=alert(1)>"


def stamped(seed):
    """The PNG file of a good bolt with a stamp beside it, which is allowed."""
    picture, stream = Image.open(io.BytesIO(bolt(seed))), io.BytesIO()
    ImageDraw.Draw(picture).rectangle([30, 190, 80, 225], fill=(20, 40, 160))
    picture.save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def desk(bolts_detector, tmp_path_factory):
    """A service with a part of each kind that waits for a review, all under tokens."""
    folder = tmp_path_factory.mktemp("desk")
    data, file = folder / "data", shutil.copy(bolts_detector, folder / "bolts.patchbank")
    secrets = {role: make_token(data, f"a-{role}", role) for role in ("operator", "engineer")}
    with Running(data, file, "--keep-good", "1", "--root-path", ROOT) as running:
        running.page_url = running.url + ROOT
        running.secrets, running.file = secrets, file
        running.http.headers.update(bearer(secrets["engineer"]))
        first = running.inspect(bolt(100), lot="made").json()
        tuned = {"threshold": 1.0001 * first["score"], "reason": "a border case"}
        assert running.http.post("/v1/products/bolts/tune", json=tuned).status_code == 200
        running.border = running.inspect(bolt(100), lot="made").json()
        running.flagged = running.inspect(bolt(200, nick=True), lot="made").json()
        running.unread = running.inspect(b"no photograph", lot="made").json()["error"]["inspection"]
        running.stamped = running.inspect(stamped(300), lot="made").json()
        verdicts = [getattr(running, name)["verdict"] for name in ("border", "flagged", "stamped")]
        assert verdicts == ["good", "anomalous", "anomalous"]
        yield running


def add(desk, lot, *serials, of="flagged"):
    """Parts of a lot on record.  -> their numbers by serial number."""
    number = desk.unread if of == "unread" else getattr(desk, of)["id"]
    return dict(zip(serials, add_copies(desk.data, number, lot, list(serials)), strict=True))


def reviews(desk, number):
    """What was said of a part."""
    said = desk.http.get(f"/v1/inspections/{number}/reviews").json()["reviews"]
    return [(one["decision"], one["note"]) for one in said]


@pytest.fixture
def page(chromium, desk):
    """The page of an engineer, in a browser of its own; no script may fail."""
    context = chromium.new_context(locale="en-GB", viewport={"width": 1280, "height": 800})
    opened = ReviewPage(context.new_page(), desk.page_url)
    log_in(opened.page, desk.page_url, desk.secrets["engineer"], "/review")
    yield opened
    assert opened.errors == []
    context.close()


def test_parts_are_reviewed_by_keyboard_alone(desk, page):
    ids = add(desk, "keys", "A-1", "A-2", SCRIPT, "A-4")
    ids |= add(desk, "keys", "A-5", of="border") | add(desk, "keys", "A-6", of="unread")
    page.open(lot="keys").shows("A-1").waits(6).press("t")
    page.says("First press N on a false alarm: then T shows what teaching it would change.")
    expect(page.page.locator("#kinds")).to_have_text("4 NG, 1 unread, 1 near the threshold")
    expect(page.page.locator("#time")).to_have_text(re.compile(r"^(yesterday )?\d\d:\d\d:\d\d$"))
    for name in ("photograph", "odd", "nearest"):
        expect(page.page.locator(f"#{name}")).to_be_visible()
    expect(page.page.locator("#chip")).to_have_text("NG")
    expect(page.page.locator("#photograph")).to_have_attribute("src", re.compile("/marked$"))
    mark = page.page.locator("#mark")
    expect(mark).to_contain_text("Hide mark")
    expect(mark).to_have_attribute("aria-pressed", "true")
    page.press("m")
    expect(mark).to_contain_text("Show mark")
    expect(mark).to_have_attribute("aria-pressed", "false")
    expect(page.page.locator("#photograph")).to_have_attribute("src", re.compile("/plain$"))
    expect(page.page.locator("#photograph-caption")).to_have_text("Without the mark")
    sizes = page.page.evaluate(
        """async () => Promise.all(["plain", "marked"].map(async name => {
            const image = new Image();
            image.src = document.getElementById("photograph").src.replace("plain", name);
            await image.decode();
            return image.naturalWidth / image.naturalHeight; }))"""
    )
    assert sizes[0] == pytest.approx(sizes[1], rel=0.01)
    page.press("m", "j").shows("A-2").press("k").shows("A-1")
    page.press("e").page.keyboard.type(f"dent {SCRIPT}")  # n and d are letters here
    page.press("Enter", "d").shows("A-2").says("A-1: Confirmed defect").waits(5)
    expect(page.page.locator("#kinds")).to_have_text("3 NG, 1 unread, 1 near the threshold")
    page.press("n").shows(SCRIPT).says("A-2: False alarm")
    page.press("f").says(f"{SCRIPT}: False alarm").shows("A-4")
    page.press("u").says("A-4: Unsure").shows("A-5")
    expect(page.page.locator("#chip")).to_have_text("OK, near the threshold")
    expect(page.page.locator("#confirmed-defect")).to_contain_text("This is a defect")
    page.press("n").says("A-5: Normal").shows("A-6")
    expect(page.page.locator("#chip")).to_have_text("UNREAD")
    expect(page.page.locator("#false-alarm")).to_be_disabled()
    expect(page.page.locator("#photograph-absent")).to_contain_text("expected")
    page.press("n").waits(1)
    page.press("d").says("A-6: Confirmed defect").is_empty()
    page.press("z").says("A-6: review withdrawn").shows("A-6").waits(1)
    page.press("z").says("A-5: review withdrawn").shows("A-5").waits(2)
    page.press("d").says("A-5: Confirmed defect").shows("A-6")
    assert reviews(desk, ids["A-1"]) == [("confirmed_defect", f"dent {SCRIPT}")]
    assert reviews(desk, ids["A-2"]) == [("false_alarm", "")]
    assert reviews(desk, ids[SCRIPT]) == [("false_alarm", "")]
    assert reviews(desk, ids["A-4"]) == [("unsure", "")]
    assert [one for one, _ in reviews(desk, ids["A-5"])] == [
        "false_alarm",
        "withdrawn",
        "confirmed_defect",
    ]
    assert [one for one, _ in reviews(desk, ids["A-6"])] == ["confirmed_defect", "withdrawn"]
    # Who wants NG and unread ones alone sees no border case.
    add(desk, "keys", "A-7", of="border")
    page.page.get_by_label("Which").select_option("NG and unread only")
    page.shows("A-6").waits(1)
    expect(page.page.locator("#kinds")).to_have_text("1 unread")
    assert "which=flagged" in page.page.url
    # Whatever is pressed while keys are switched off does nothing.
    page.page.get_by_label("Keys").set_checked(False)
    page.press("d")
    page.page.wait_for_timeout(200)
    page.shows("A-6")
    page.page.get_by_label("Keys").set_checked(True)


def test_two_reviewers_at_once_never_see_the_same_part(desk, page, chromium):
    serials = [f"B-{number:02}" for number in range(20)]
    ids = add(desk, "two", *serials)
    other = ReviewPage(
        page.page.context.new_page(), desk.page_url
    )  # a second tab of the same session
    page.open(lot="two").shows("B-00").waits(20)
    other.open(lot="two").shows("B-12")
    expect(other.page.locator("#others")).to_have_text("12 of them with other reviewers")
    other.open(lot="two", order="newest").shows("B-19")
    # What somebody reviews at the line is not shown any more.
    review = {"decision": "false_alarm", "by": "line"}
    for serial in ("B-00", "B-02"):
        desk.http.post(f"/v1/inspections/{ids[serial]}/review", json=review)
    page.shows("B-01").waits(18).press("d").says(re.compile("B-01|Another part"))
    page.page.wait_for_timeout(UNSEEN_MS)
    for _ in range(3):
        page.press("n")
        other.press("n")
    page.page.close()  # which gives its parts back
    expect(other.page.locator("#others")).to_have_text("")
    while other.page.locator("#part").get_attribute("data-state") == "part":
        other.press("d")
        other.page.wait_for_timeout(100)
    other.is_empty()
    expect(other.page.locator("#empty")).to_contain_text("Nothing waits")
    decided = [reviews(desk, number) for number in ids.values()]
    assert [len(one) for one in decided] == [1] * 20
    assert other.errors == []


def test_what_teaching_would_change_is_shown_before_it_is_applied(desk, page):
    ids = add(desk, "taught", "C-1", SCRIPT, "C-3", of="stamped")
    page.open(lot="taught").shows("C-1").press("n").says("C-1: False alarm").press("n").says(
        f"{SCRIPT}: False alarm"
    )
    expect(page.page.locator("#teach-open")).to_contain_text("Teach 2")
    before = desk.http.get("/v1/products/bolts").json()["detector_sha256"]
    page.press("t")
    dialog = page.page.locator("#teach")
    expect(dialog).to_be_visible()
    expect(dialog.locator("#findings li").first).to_contain_text(
        "pass then: 2 of 2", timeout=PREVIEW_MS
    )
    expect(dialog.locator("#changes li")).not_to_have_count(0)
    expect(dialog.locator("#changes")).to_contain_text("NG → OK")
    expect(dialog.locator("#taught")).to_contain_text(SCRIPT)
    dialog.get_by_role("checkbox").first.uncheck()
    expect(dialog.locator("#apply")).to_be_disabled()
    dialog.locator("#again").click()
    expect(dialog.locator("#findings li").first).to_contain_text(
        "pass then: 1 of 1", timeout=PREVIEW_MS
    )
    page.press("Escape")
    expect(dialog).to_be_hidden()
    assert desk.http.get("/v1/products/bolts").json()["detector_sha256"] == before
    page.press("t")
    expect(dialog.locator("#findings li").first).to_contain_text("2 of 2", timeout=PREVIEW_MS)
    # Another engineer changes the detector meanwhile: what was shown does not hold.
    tuned = {"threshold": desk.border["threshold"] * 1.001, "reason": "meanwhile"}
    assert desk.http.post("/v1/products/bolts/tune", json=tuned).status_code == 200
    dialog.get_by_label("Reason").focus()
    page.page.keyboard.type(f"nicks {SCRIPT}")
    page.press("Enter")
    expect(dialog.locator("#teach-said")).to_contain_text("expected the detector of the preview")
    dialog.locator("#again").click()
    expect(dialog.locator("#apply")).to_be_enabled(timeout=PREVIEW_MS)
    dialog.get_by_label("Reason").press("Enter")
    expect(page.page.locator("#said")).to_have_text(
        "bolts has learned: parts taught 2", timeout=PREVIEW_MS
    )
    expect(page.page.locator("#teach-text")).to_have_text("Teach")
    detectors = desk.http.get("/v1/products/bolts/detectors").json()["detectors"]
    assert (detectors[0]["action"], detectors[0]["reason"]) == ("updated", f"nicks {SCRIPT}")
    assert desk.inspect(stamped(300), lot="none").json()["verdict"] == "good"
    # The review of what the detector has learned stays until that is undone.
    learned = reviews(desk, ids[SCRIPT])
    page.press("z").says(re.compile("was taught, so its review stays"))
    link = page.page.locator("#said").get_by_role("link", name="Changes of bolts")
    assert link.get_attribute("href") == f"{ROOT}/products/bolts"
    assert reviews(desk, ids[SCRIPT]) == learned == [("false_alarm", "")]
    undone = desk.http.post("/v1/products/bolts/undo", json={"reason": "test"})
    assert undone.status_code == 200
    page.press("z").says(f"{SCRIPT}: review withdrawn").shows(SCRIPT)
    assert reviews(desk, ids["C-3"]) == []


def test_a_taught_defect_is_refused_and_what_is_discarded_is_gone(desk, page):
    ids = add(desk, "refused", "D-1", "D-2")
    confirmed = {"decision": "confirmed_defect"}
    desk.http.post(f"/v1/inspections/{ids['D-2']}/review", json=confirmed)
    page.open(lot="refused").shows("D-1").press("n").says("D-1: False alarm").press("t")
    dialog = page.page.locator("#teach")
    expect(dialog.locator("#refusal")).to_contain_text("would be lost: D-2", timeout=PREVIEW_MS)
    expect(dialog.locator("#changes")).to_contain_text("confirmed defect")
    expect(dialog.locator("#apply")).to_be_disabled()
    dialog.get_by_role("button", name="Discard").click()
    expect(page.page.locator("#teach-text")).to_have_text("Teach")
    # It is still a false alarm that was not taught: another page offers it, and nothing is chosen.
    page.open(lot="refused")
    expect(page.page.locator("#teach-open")).to_be_enabled()
    page.press("t")
    expect(dialog.locator("#taught")).to_be_hidden()
    expect(dialog.locator("#earlier-said")).to_contain_text("that were not taught: ")
    expect(dialog.locator("#outcome-said")).to_have_text("Choose at least one part.")
    dialog.get_by_label("D-1").check()
    dialog.locator("#again").click()
    expect(dialog.locator("#refusal")).to_contain_text("would be lost: D-2", timeout=PREVIEW_MS)
    page.press("Escape")


def test_parts_of_a_time_and_of_this_shift_are_chosen(desk, page):
    with records_of(desk.data) as records:
        one = records.inspection(desk.flagged["id"])
        parts = (("T-1", 9, "late"), ("T-2", 3, "late"), ("T-3", 0, "early"), ("T-4", 0, "late"))
        for serial, days, shift in parts:
            new = copied(one, lot="times", serial_number=serial, shift=shift)
            records.add([replace(new, time=now() - timedelta(days=days))])
    page.open(lot="times", product="bolts").shows("T-1").waits(4)
    time = page.page.get_by_label("Time")
    time.select_option("Last 7 days")
    page.shows("T-2").waits(3)
    time.select_option("Today")
    page.shows("T-3").waits(2)
    expect(page.page.locator("#period")).to_have_text("")
    time.select_option("This shift")
    page.shows("T-4").waits(1)
    expect(page.page.locator("#period")).to_have_text(re.compile(r"^shift late, since .*:00:00$"))
    page.page.reload()
    page.shows("T-4").waits(1)
    expect(time).to_have_value("shift")
    page.page.wait_for_timeout(UNSEEN_MS)
    page.press("d").says("T-4: Confirmed defect").is_empty()
    time.select_option("any time")
    page.shows("T-1").waits(3)


def test_a_script_for_a_lot_is_text(desk, page):
    (number,) = add(desk, SCRIPT, "F-1").values()
    page.open(lot=quote(SCRIPT), product="bolts").shows("F-1").waits(1)
    expect(page.page.locator("#lot")).to_have_value(SCRIPT)
    expect(page.page.locator("#of")).to_have_text(f"bolts · lot {SCRIPT}")
    page.page.get_by_label("Lot").fill("another")
    page.press("Enter").is_empty()
    assert "lot=another" in page.page.url
    page.page.get_by_label("Lot").fill(SCRIPT)
    page.press("Enter").shows("F-1")
    assert reviews(desk, number) == []  # no letter in the field was a key


def test_an_operator_reviews_and_teaches_nothing(desk, chromium):
    add(desk, "operator", "E-1")
    context = chromium.new_context(locale="de-DE")
    page = ReviewPage(context.new_page(), desk.page_url)
    log_in_german(page, desk)
    page.open(lot="operator").shows("E-1")
    assert page.page.locator("#teach-open").count() == 0
    page.press("t", "n").says("E-1: Fehlalarm")
    assert page.errors == []
    context.close()


def log_in_german(page, desk):
    page.page.goto(f"{desk.page_url}/login?next=/review")
    page.page.locator("#token").fill(desk.secrets["operator"])
    page.press("Enter")
    page.page.wait_for_url(f"{desk.page_url}/review")


def check_phone(page):
    """On a phone, all of a part and its two decisions are seen at once, and nothing else."""
    boxes = {
        name: page.locator(f"#{name}").bounding_box()
        for name in ("chip", "serial", "share", "photograph", "confirmed-defect", "false-alarm")
    }
    photograph = boxes["photograph"]
    for name in ("chip", "serial", "share"):
        assert boxes[name]["y"] + boxes[name]["height"] <= photograph["y"], name
    assert photograph["height"] > 190
    for name in ("confirmed-defect", "false-alarm"):
        assert photograph["y"] + photograph["height"] <= boxes[name]["y"]
        assert boxes[name]["y"] + boxes[name]["height"] <= page.viewport_size["height"]
    for name in ("unsure", "previous", "mark", "teach-open", "lot", "keys"):
        expect(page.locator(f"#{name}")).to_be_hidden()
    assert page.locator("kbd:visible").count() == 0
    page.get_by_role("button", name="More").click()
    expect(page.locator("#unsure")).to_be_visible()
    expect(page.locator("#more-buttons")).to_have_attribute("aria-expanded", "true")
    page.get_by_text("Which parts").click()
    expect(page.locator("#lot")).to_be_visible()
    page.get_by_text("Which parts").click()


def test_all_states_at_all_sizes(desk, chromium):
    (further,) = add(desk, "further", "A-1003", of="stamped").values()
    said = {"decision": "false_alarm"}
    assert desk.http.post(f"/v1/inspections/{further}/review", json=said).status_code == 201
    with opened_views(chromium) as views:
        pages = {}
        for number, (view, page) in enumerate(views.items()):
            add(desk, f"view-{number}", "A-1017", of="stamped")
            add(desk, f"view-{number}", "A-1018", "A-1019")
            add(desk, f"view-{number}", "A-1020", of="border")
            log_in(page, desk.page_url, desk.secrets["engineer"], "/review")
            pages[view] = ReviewPage(page, desk.page_url).open(lot=f"view-{number}").shows("A-1017")
        for each in pages.values():
            for name in ("photograph", "odd", "nearest"):
                expect(each.page.locator(f"#{name}")).to_be_visible()
        check_views(views, "review")
        check_phone(pages["phone-light"].page)
        for each in pages.values():
            each.press("n").says("A-1017: False alarm").press("t")
            expect(each.page.locator("#findings li").first).to_contain_text(
                "1 of 1", timeout=PREVIEW_MS
            )
            expect(each.page.locator("#earlier-said")).to_be_visible()
            expect(each.page.locator("#earlier")).to_be_hidden()
        check_views(views, "review-teach", scrolls=True)
        for each in pages.values():
            each.press("Escape")
            expect(each.page.locator("#teach")).to_be_hidden()
            each.press("d").shows("A-1019").press("d").shows("A-1020")
            expect(each.page.locator("#chip")).to_have_text("OK, near the threshold")
        for each in pages.values():
            each.press("n").is_empty()
        check_views(views, "review-empty")
        assert all(each.errors == [] for each in pages.values())
