"""The operator's screen in a real browser, over a real service."""

from __future__ import annotations

import shutil
from dataclasses import fields
from itertools import groupby

import pytest
from playwright.sync_api import expect

from patchbank.server.records.entries import NewInspection
from tests.server.pages.screens import Screen, wait_for
from tests.server.services import Running, make_token, png, records_of

pytestmark = [pytest.mark.browser, pytest.mark.serve]
NAMES = iter(f"N-{number:03d}" for number in range(1000))


def good(line, seed=1, **fields):
    """A good part on record.  -> its serial number."""
    return _sent(line, png(seed), "good", fields)


def bad(line, seed=2, **fields):
    """A part with a defect on record.  -> its serial number."""
    return _sent(line, png(seed, defect=9), "anomalous", fields)


def unread(line, **fields):
    """A photograph that nobody can read, on record.  -> its serial number."""
    return _sent(line, b"no photograph", None, fields)


def _sent(line, content, verdict, fields):
    serial = fields.pop("serial_number", None) or next(NAMES)
    answer = line.inspect(content, serial_number=serial, **fields).json()
    assert answer.get("verdict") == verdict or verdict is None, answer
    return serial


def record_of(line, serial):
    page = line.http.get("/v1/inspections", params={"serial_number": serial}).json()
    (found,) = page["inspections"]
    return found


def test_a_good_part_fills_the_screen_with_the_word(line, screen):
    serial = good(line)
    screen.says("OK", serial)
    expect(screen.page.locator("#share")).to_contain_text("% of the threshold")
    expect(screen.page.locator("#small")).to_be_visible()
    expect(screen.page.locator("#pictures")).to_be_hidden()
    expect(screen.page.locator("#shape")).to_have_attribute("href", "#shape-ok")
    field = screen.page.locator(".field").bounding_box()
    assert field["width"] == 1280
    assert screen.page.locator("#word").bounding_box()["height"] > 200
    expect(screen.page.locator("#false-alarm")).to_be_disabled()


def test_a_defect_makes_room_for_the_photograph_and_the_nearest_good_part(line, screen):
    serial = bad(line)
    screen.says("NG", serial)
    expect(screen.page.locator("#shape")).to_have_attribute("href", "#shape-ng")
    for name in ("overlay", "odd", "nearest"):
        image = screen.page.locator(f"#{name}")
        expect(image).to_be_visible()
        assert image.evaluate("one => one.width") > 100
        assert image.get_attribute("aria-label")
    overlay = screen.page.locator("#overlay").bounding_box()
    assert overlay["width"] > 450
    # No picture of the part before is seen with the word of the next one.
    good(line)
    screen.says("OK")
    expect(screen.page.locator("#overlay")).to_be_hidden()


def test_a_photograph_that_cannot_be_read_is_its_own_state(line, screen):
    serial = unread(line)
    screen.says("UNREAD", serial)
    expect(screen.page.locator("#share")).to_have_text("Could not be inspected: not a good part")
    expect(screen.page.locator("main")).to_have_attribute("data-state", "unread")
    expect(screen.page.locator("#confirmed-defect")).to_be_disabled()


def test_pictures_that_are_gone_are_named_in_words(line, screen):
    address = screen.page.url
    screen.page.goto("about:blank")
    serial = bad(line, 3)
    shutil.rmtree(line.data / "pictures")
    screen.page.goto(address)
    screen.live().says("NG", serial)
    expect(screen.page.locator("#overlay-absent")).to_have_text("The photograph is not kept.")
    expect(screen.page.locator("#nearest-absent")).to_contain_text("no picture of a good part")
    screen.press("a")
    screen.errors.clear()  # the blank page


def test_the_last_dozen_parts_are_a_strip_and_a_tap_shows_one_again(line, screen):
    first = bad(line)
    names = [first, *(good(line, seed) for seed in range(40, 51))]
    screen.says("OK", names[-1])
    expect(screen.page.locator("#strip li")).to_have_count(12)
    assert screen.strip == names[::-1]
    screen.page.locator("#strip button").last.click()
    screen.says("NG", first)
    expect(screen.page.locator("#note")).to_have_text("Earlier part")
    screen.page.keyboard.press("Escape")
    screen.says("OK", names[-1])
    expect(screen.page.locator("#note")).to_be_hidden()
    screen.page.locator("#strip button").nth(3).click()
    screen.says("OK", names[-4])
    screen.says("OK", names[-4])
    newest = good(line)  # does not hide what somebody has asked for
    expect(screen.page.locator("#strip button").first).to_contain_text(newest)
    screen.says("OK", names[-4])
    late = bad(line)  # this does
    screen.says("NG", late)


def test_counts_are_those_of_the_shift(line, screen):
    for verdict in (good, good, good, bad, unread):
        verdict(line, shift="night <b>")
    expect(screen.page.locator("#since")).to_have_text("parts · Shift night <b>")
    expect(screen.page.locator("#counts")).to_have_text("4 parts · 1 NG (25%) · 1 unread")


def test_a_review_by_key_by_button_and_undone(line, screen):
    serial = bad(line)
    screen.says("NG", serial).press("f").said(f"{serial}: False alarm")
    assert record_of(line, serial)["review"] == "false_alarm"
    assert screen.review_of(serial) == "False alarm"
    expect(screen.page.locator("#review")).to_have_text("False alarm")
    screen.page.locator("#confirmed-defect").click()
    screen.said(f"{serial}: Confirmed defect")
    assert record_of(line, serial)["review"] == "confirmed_defect"
    screen.press("z").said(f"{serial}: review withdrawn")
    assert record_of(line, serial)["review"] == "false_alarm"
    assert screen.review_of(serial) == "False alarm"
    good(line)
    screen.page.locator("#undo").click()  # of the part before, which it shows again
    screen.says("NG", serial)
    expect(screen.page.locator("#undo")).to_be_disabled()
    assert record_of(line, serial)["review"] is None
    number = record_of(line, serial)["id"]
    said = line.http.get(f"/v1/inspections/{number}/reviews").json()["reviews"]
    assert [one["decision"] for one in said] == [
        "false_alarm",
        "confirmed_defect",
        "withdrawn",
        "withdrawn",
    ]


def test_a_defect_that_passed_is_said_and_keys_can_be_switched_off(line, screen):
    serial = good(line)
    screen.says("OK", serial)
    expect(screen.page.locator("#confirmed-defect")).to_contain_text("This is a defect")
    screen.press("f")  # a good part is no false alarm
    screen.press("d").said(f"{serial}: Confirmed defect")
    assert record_of(line, serial)["review"] == "confirmed_defect"
    other = bad(line)
    screen.says("NG", other).choose("keys", False).press("d")
    screen.page.wait_for_timeout(300)
    assert record_of(line, other)["review"] is None
    screen.page.reload()
    screen.live()
    assert not screen.page.locator("#keys").is_checked()


def test_a_key_that_was_meant_for_the_part_before_does_nothing(line, screen):
    first = bad(line)
    screen.says("NG", first).settled()
    screen.page.evaluate(
        """() => new MutationObserver(() => document.dispatchEvent(
            new KeyboardEvent("keydown", {key: "f"})))
            .observe(document.getElementById("serial"), {childList: true})"""
    )
    second = bad(line)
    screen.says("NG", second).said("A new part has just come: press again.")
    assert record_of(line, second)["review"] is None


def test_what_another_person_has_reviewed_since_is_not_undone(line, screen):
    serial = bad(line)
    screen.says("NG", serial).press("n").said(f"{serial}: False alarm")
    number = record_of(line, serial)["id"]
    content = {"decision": "confirmed_defect", "by": "quality"}
    assert line.http.post(f"/v1/inspections/{number}/review", json=content).status_code == 201
    screen.press("z")
    expect(screen.page.locator("#said")).to_contain_text("Not recorded: decision: expected")
    assert record_of(line, serial)["review"] == "confirmed_defect"


def test_defects_are_held_one_after_the_other_until_acknowledged(line, screen):
    good(line)
    screen.choose("freeze", True)
    first = bad(line)
    screen.says("NG", first)
    second, third = unread(line), bad(line)
    last = good(line)
    expect(screen.page.locator("#strip button").first).to_contain_text(last)
    screen.says("NG", first)
    expect(screen.page.locator("#acknowledge")).to_contain_text("Next: 2 more")
    screen.press("a").says("UNREAD", second)
    screen.page.reload()  # nothing that was held is lost
    screen.live().says("UNREAD", second)
    screen.page.locator("#acknowledge").click()
    screen.says("NG", third)
    expect(screen.page.locator("#acknowledge")).to_contain_text("Acknowledge")
    screen.press("d").said(f"{third}: Confirmed defect")  # who has decided has seen it
    screen.says("OK", last)
    assert record_of(line, third)["review"] == "confirmed_defect"
    screen.press("z").says("NG", third)
    screen.choose("freeze", False)


def test_a_defect_is_seen_however_soon_the_next_part_comes(line, screen):
    flagged, passed = (record_of(line, made(line))["id"] for made in (bad, good))
    screen.says("OK").page.evaluate(
        """() => { const main = document.getElementById("main"); window.drawn = [];
        new MutationObserver(() => requestAnimationFrame(() => drawn.push(main.dataset.state)))
        .observe(main, {attributes: true}); }"""
    )
    names = [field.name for field in fields(NewInspection)]
    with records_of(line.data) as records:
        flagged, passed = (records.inspection(number) for number in (flagged, passed))
        burst = [
            NewInspection(**{name: getattr(one, name) for name in names})
            for one in (flagged, passed, flagged, passed)
        ]
        records.add(burst)
    screen.says("NG").says("OK")
    assert [state for state, _ in groupby(screen.page.evaluate("drawn"))] == ["ng", "ok"]
    assert screen.strip[:4] == [one.fields.serial_number for one in burst[::-1]]


def test_sound_is_off_at_first_and_plays_once_for_each_defect(line, screen):
    screen.page.evaluate(
        """() => { window.tones = 0; const start = OscillatorNode.prototype.start;
            OscillatorNode.prototype.start = function (...all) {
                window.tones++; return start.apply(this, all); }; }"""
    )
    screen.says("NG", bad(line))
    assert screen.page.evaluate("tones") == 0
    screen.choose("sound", True)
    expect(screen.page.locator("#sound")).to_be_checked()
    wait_for(screen.page, "tones === 2")  # so it is heard what was chosen
    screen.says("OK", good(line))
    screen.says("NG", bad(line))
    wait_for(screen.page, "tones === 4")
    screen.says("UNREAD", unread(line))
    wait_for(screen.page, "tones === 6")
    screen.choose("sound", False)


@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", "\"'><script>alert(2)</script>"])
def test_script_in_what_senders_say_is_shown_as_text(line, screen, text):
    alerts = []
    screen.page.on("dialog", lambda dialog: (alerts.append(dialog.message), dialog.dismiss()))
    bad(line, serial_number=text, lot=text, shift=text)
    screen.says("NG", text)
    expect(screen.page.locator("#since")).to_have_text(f"parts · Shift {text}")
    assert screen.strip[0] == text
    answer = line.inspect(png(5, defect=9), name=text).json()
    screen.says("NG", answer["image"])
    assert answer["image"] in (text, text.replace('"', "%22"))
    assert screen.page.locator("main canvas").count() == 4
    assert screen.page.locator("main img, #strip img").count() == 0
    screen.page.reload()
    screen.live().says("NG", answer["image"])
    assert alerts == []


def test_the_browser_chooses_the_language(line, chromium):
    context = chromium.new_context(locale="de-DE")
    screen = Screen(context.new_page(), line.url).open()
    serial = bad(line)
    screen.says("NG", serial)
    expect(screen.page.locator("#false-alarm")).to_contain_text("Fehlalarm: das ist normal")
    expect(screen.page.locator("#share")).to_contain_text("der Schwelle")
    assert screen.page.locator("html").get_attribute("lang") == "de"
    screen.press("f").said(f"{serial}: Fehlalarm")
    unread(line)
    screen.says("UNGEPRÜFT")
    assert screen.errors == []
    context.close()


def test_a_screen_says_when_it_is_not_live_and_misses_no_defect(chromium, fitted, tmp_path):
    file = shutil.copy(fitted, tmp_path / "parts.patchbank")
    context = chromium.new_context(locale="en-GB")
    with Running(tmp_path / "data", file) as running:
        port, url = running.port, running.url
        screen = Screen(context.new_page(), url).open()
        last = good(running)
        screen.says("OK", last)
        running.process.kill()
        screen.says("NOT LIVE")
        expect(screen.page.locator("#share")).to_contain_text("No connection since")
        expect(screen.page.locator("#serial")).to_contain_text(f"Last part: OK {last}")
        expect(screen.page.locator("main")).to_have_attribute("data-state", "not_live")
        expect(screen.page.locator("#confirmed-defect")).to_be_disabled()
        expect(screen.page.locator("#small")).to_be_hidden()
    context.set_offline(True)  # so that it comes back after the parts, and not between them
    with Running(tmp_path / "data", file, port=port) as running:
        missed = [bad(running), good(running), unread(running), bad(running), good(running)]
        context.set_offline(False)
        screen.live().says("NG", missed[0])
        expect(screen.page.locator("#note")).to_have_text("While the screen was not live")
        screen.press("a").says("UNREAD", missed[2])
        screen.press("a").says("NG", missed[3])
        newer = good(running)
        screen.press("a").says("OK", newer)
        expect(screen.page.locator("#counts")).to_have_text("6 parts · 2 NG (33.3%) · 1 unread")
        assert screen.strip == [newer, *missed[::-1], last]
    screen.says("NOT LIVE")
    assert screen.errors == []
    context.close()


def test_parts_since_the_last_look_are_shown_after_a_reload(line, screen):
    good(line)
    screen.says("OK")
    address = screen.page.url
    screen.page.goto("about:blank")
    first, second = bad(line), bad(line)
    good(line)
    screen.page.goto(address)
    screen.live().says("NG", first).press("a").says("NG", second).press("a").says("OK")
    screen.errors.clear()  # the blank page


def test_who_is_logged_out_or_revoked_sees_the_login(chromium, fitted, tmp_path):
    data = tmp_path / "data"
    secret, admin = make_token(data, "press", "operator"), make_token(data, "root", "admin")
    with Running(data, shutil.copy(fitted, tmp_path / "parts.patchbank")) as running:
        running.http.headers["Authorization"] = f"Bearer {admin}"
        context = chromium.new_context(locale="en-GB")
        screen = Screen(context.new_page(), running.url)
        page = screen.page
        page.goto(screen.url)
        assert "/login?next=" in page.url
        page.get_by_label("Token").fill("pb_wrong")
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("alert")).to_contain_text("unknown, revoked or expired")
        page.get_by_label("Token").fill(secret)
        page.keyboard.press("Enter")
        expect(page).to_have_url(screen.url)
        (cookie,) = [one for one in context.cookies() if one["name"] == "patchbank_session"]
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        serial = bad(running)
        screen.live().says("NG", serial).press("f").said(f"{serial}: False alarm")
        number = record_of(running, serial)["id"]
        said = running.http.get(f"/v1/inspections/{number}/reviews").json()["reviews"]
        assert said[0]["by"] == "press"
        page.locator("#settings summary").click()
        page.get_by_role("button", name="Log out (press)").click()
        expect(page).to_have_url(f"{running.url}/login")
        page.goto(screen.url)
        page.get_by_label("Token").fill(secret)
        page.keyboard.press("Enter")
        screen.live()
        assert running.http.delete("/v1/tokens/press").status_code == 200
        expect(page.get_by_label("Token")).to_be_visible(timeout=40_000)
        assert screen.errors == []
        context.close()


def test_a_screen_works_behind_a_path(chromium, fitted, tmp_path):
    with Running(tmp_path / "data", fitted, "--root-path", "/inspect") as running:
        context = chromium.new_context()
        screen = Screen(context.new_page(), f"{running.url}/inspect").open()
        serial = bad(running)
        screen.says("NG", serial)
        expect(screen.page.locator("#overlay")).to_be_visible()
        expect(screen.page.locator("#nearest")).to_be_visible()
        screen.press("d").said(f"{serial}: Confirmed defect")
        assert screen.errors == []
        context.close()
