"""Products in a browser: from an empty service to an inspected part, and changes of a detector."""

from __future__ import annotations

import re
from types import SimpleNamespace

import httpx
import pytest
from playwright.sync_api import expect

from tests.server.pages.bolts import bolt
from tests.server.pages.screens import Screen
from tests.server.pages.views import check_views, log_in, opened_views
from tests.server.services import Running, bearer, check_error, make_token

pytestmark = [pytest.mark.browser, pytest.mark.page_tools, pytest.mark.serve]
SCRIPT = "<img src=x onerror=document.title='run'>.png"
WORK_MS = 300_000
"""Longest time of a check or a fit, in a process that lets others have the cores first."""
PNG = "image/png"
CSRF = re.compile(r'data-csrf="(\w+)"')


@pytest.fixture(scope="module")
def desk(chromium, tmp_path_factory):
    """A service without a product; a person with the role admin at it, in windows of all sizes."""
    folder = tmp_path_factory.mktemp("desk")
    secrets = {
        role: make_token(folder / "data", name, role)
        for name, role in (("eva", "admin"), ("emil", "engineer"), ("press-1", "operator"))
    }
    with (
        Running(folder / "data", "--keep-good", "1") as running,
        opened_views(chromium) as views,
    ):
        running.http.headers.update(bearer(secrets["admin"]))
        page = chromium.new_context(locale="en-GB", viewport={"width": 1280, "height": 900})
        found = SimpleNamespace(
            running=running, views=views, secrets=secrets, page=page.new_page(), errors=[]
        )
        found.page.on("pageerror", lambda error: found.errors.append(str(error)))
        for each in (found.page, *views.values()):
            log_in(each, running.url, secrets["admin"], "/products")
        yield found
        assert found.errors == []
        page.close()


def shown(desk, path, name, *, at=None, scrolls=True):
    """Check a page in windows of all sizes, and keep pictures of it."""
    for page in desk.views.values():
        page.goto(f"{desk.running.url}{path}")
        page.wait_for_load_state("networkidle")
        if at is not None:
            page.locator(at).evaluate("one => one.scrollIntoView()")
    check_views(desk.views, name, scrolls=scrolls)


def files() -> list[dict]:
    good = [{"name": f"{n}.png", "mimeType": PNG, "buffer": bolt(n)} for n in range(6)]
    return [
        *good,
        {"name": "nick.png", "mimeType": PNG, "buffer": bolt(50, nick=True)},
        {"name": SCRIPT, "mimeType": PNG, "buffer": bolt(60)},
        {"name": "cut.png", "mimeType": PNG, "buffer": bolt(61)[:3000]},
        {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no photograph"},
    ]


def test_a_product_is_set_up_from_nothing(desk):
    page, url = desk.page, desk.running.url
    shown(desk, "/products", "products-first", scrolls=False)
    page.goto(f"{url}/products")
    page.get_by_role("link", name="Set up the first product").click()
    name = page.get_by_label("Name of the product")
    name.fill("Größe links 2")
    page.keyboard.press("Enter")
    assert name.evaluate("one => one.validationMessage") == (
        "Letters, digits, dots, hyphens and underscores: try Grosse-links-2"
    )
    name.fill("new")
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("expected another name than that of a page")
    page.get_by_label("Name of the product").fill("bolts")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/products/bolts/new/[0-9a-f]{16}$"))
    assert page.get_by_role("button", name="Check the photographs").is_disabled()

    # Photographs are sent: what is none is refused by name, and names stay text.
    page.set_input_files("#files", files())
    expect(page.locator("#sent")).to_have_text("9 added · 1 refused")
    expect(page.locator("#refused li")).to_contain_text("notes.txt: expected a PNG")
    expect(page.locator("#gallery figure")).to_have_count(9)
    expect(page.locator("#gallery")).to_contain_text("_img src_x onerror_document.title__run__.png")
    page.set_input_files("#files", files()[:1])
    expect(page.locator("#sent")).to_have_text("0 added · 1 were there already")
    dropped = """async ([name, bytes]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
        const event = new DragEvent("drop", {dataTransfer: transfer, bubbles: true});
        document.getElementById("drop").dispatchEvent(event);
    }"""
    page.evaluate(dropped, ["../../dropped.png", list(bolt(70))])
    expect(page.locator("#sent")).to_have_text("1 added")
    expect(page.locator("#count")).to_have_text("10 photographs to learn from, 0 left out")
    page.get_by_role("button", name="Show dropped.png in full").click()
    expect(page.locator("#large-picture")).to_be_visible()
    page.get_by_role("button", name="Close").click()

    needs = page.locator("#rate-needs")
    expect(needs).to_contain_text("at least 99 different photographs; there are 10.")
    page.get_by_label("False alarms that you accept").select_option("0.1")
    expect(needs).to_contain_text("at least 9 different photographs")
    expect(page.get_by_role("button", name="Fit without a check")).to_be_enabled()

    # A page that is loaded again in the middle shows the same work.
    page.get_by_role("button", name="Check the photographs").click()
    expect(page.locator("#working")).to_be_visible()
    page.reload()
    expect(page.locator("#working")).to_be_visible()
    expect(page.get_by_role("button", name="Check again")).to_be_enabled(timeout=WORK_MS)
    unread = page.get_by_role("region", name="cannot be read")
    unread.get_by_role("button", name="Leave out").click()
    expect(unread.get_by_role("button", name="Take in again")).to_be_visible()
    odd = page.get_by_role("region", name="probably defects")
    expect(odd.locator("figure")).to_contain_text(["nick.png"])
    odd.get_by_role("button", name="Leave out").first.click()
    expect(page.locator("#count")).to_have_text("8 photographs to learn from, 2 left out")
    shown(desk, page.url.removeprefix(url), "setup-check", at="#title-check")


def test_a_fit_is_cancelled_and_done_and_its_detector_put_to_use(desk):
    page, url = desk.page, desk.running.url
    page.get_by_label("Fast").check()
    page.get_by_label("False alarms that you accept").select_option("0.1")
    page.get_by_role("button", name="Fit", exact=True).click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("The last step was cancelled.")).to_be_visible()
    expect(page.locator("#count")).to_have_text("8 photographs to learn from, 2 left out")
    expect(page.get_by_label("Fast")).to_be_checked()
    expect(page.get_by_label("False alarms that you accept")).to_have_value("0.1")
    page.get_by_role("button", name="Fit", exact=True).click()
    expect(page.get_by_text("Learned from 8 photographs.")).to_be_visible(timeout=WORK_MS)
    expect(page.get_by_role("heading", name="What it has learned")).to_be_focused()
    expect(page.locator("#said")).to_have_text("The fit is done: see what it has learned.")
    expect(page.get_by_label("Fast")).to_be_checked()
    shown(desk, page.url.removeprefix(url), "setup-fitted", at="#title-fitted")
    nick = {"name": "new.png", "mimeType": PNG, "buffer": bolt(51, nick=True)}
    page.set_input_files("#trial", nick)
    expect(page.locator("#tried-verdict")).to_have_text("NG", timeout=WORK_MS)
    seen = page.locator("#tried-picture")
    expect(seen).to_be_visible()
    assert (
        seen.evaluate("one => one.decode().then(() => one.naturalWidth / one.naturalHeight)") == 1.5
    )
    expect(page.get_by_label("Reason, for the audit")).to_have_value(
        "First detector of this product"
    )
    page.get_by_role("button", name="Activate").click()
    expect(page.get_by_role("heading", name="bolts is in use")).to_be_focused()
    expect(page.get_by_role("button", name="Leave out")).to_have_count(0)
    expect(page.get_by_role("button", name="Discard this set-up")).to_have_count(0)
    shown(desk, page.url.removeprefix(url), "setup-in-use", at="#title-activate")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Full report of the fit").click()
    expect(opened.value.locator("h1")).to_contain_text("8")
    opened.value.close()
    page.get_by_role("link", name="To the line").click()
    page.goto(f"{url}/products")
    learned = page.locator(".product img")
    expect(learned).to_have_attribute("src", "/products/bolts/photograph")
    expect(learned).to_have_js_property("complete", True)
    assert learned.evaluate("one => one.naturalWidth") > 0
    page.goto(f"{url}/line/bolts")
    screen = Screen(page, url, "bolts").live()
    for seed, nick, word in ((100, False, "OK"), (101, True, "NG")):
        desk.running.inspect(bolt(seed, nick=nick), serial_number=f"A-{seed}")
        screen.says(word, f"A-{seed}")
    page.goto(f"{url}/products")
    card = page.locator(".product", has_text="bolts")
    expect(card.locator(".chip")).to_have_text(["OK 1", "NG 1", "UNREAD 0"])
    expect(card.locator("img")).to_be_visible()
    expect(page.get_by_text("Set-ups under way")).to_be_hidden()
    shown(desk, "/products", "products", scrolls=False)
    shown(desk, "/line", "lines", scrolls=False)
    expect(page.locator(".bar")).not_to_contain_text("no log-in")


def test_the_name_of_a_product_that_exists_is_asked_about(desk):
    page, running = desk.page, desk.running
    n_before = len(running.http.get("/v1/setups").json()["setups"])
    page.goto(f"{running.url}/products/new")
    page.get_by_label("Name of the product").fill("bolts")
    page.keyboard.press("Enter")
    expect(page.locator("#exists")).to_have_text(
        re.compile(r"bolts exists already: fit a new detector for it\?")
    )
    assert len(running.http.get("/v1/setups").json()["setups"]) == n_before
    page.keyboard.press("Enter")  # the one button has the focus
    expect(page.get_by_role("heading", name="New detector for bolts")).to_be_visible()


def test_changes_of_a_detector_need_a_reason_and_can_be_compared_and_undone(desk):
    page, running = desk.page, desk.running
    tuned = {"threshold": 1000.0, "reason": "<b>nothing</b> is NG"}
    assert running.http.post("/v1/products/bolts/tune", json=tuned).status_code == 200
    page.goto(f"{running.url}/products")
    page.get_by_role("link", name="Detectors").click()
    expect(page.get_by_role("heading", name="bolts")).to_be_visible()
    expect(page.locator(".why", has_text="<b>nothing</b> is NG").first).to_be_visible()
    shown(desk, "/products/bolts", "product")
    for one in desk.views["phone-light"].get_by_role("button").all():
        box = one.bounding_box()
        assert box is None or box["x"] + box["width"] <= 390, one.inner_text()

    page.get_by_role("button", name="Compare").click()
    page.wait_for_url(re.compile("/comparisons/[0-9a-f]{16}$"), timeout=WORK_MS)
    expect(page.locator(".sentence")).to_have_text(
        "1 of 2 verdicts differ: 1 from OK to NG, 0 from NG to OK."
    )
    expect(page.locator(".photograph img")).to_have_count(1)
    shown(desk, page.url.removeprefix(running.url), "comparison")
    page.get_by_role("button", name="Activate").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Activate").click()
    expect(dialog).to_be_visible()  # a reason is missing
    page.get_by_label("Reason, for the audit").fill("the defect was missed")
    dialog.get_by_role("button", name="Activate").click()
    expect(page.locator("#said")).to_contain_text("In use: the detector of")
    assert running.http.get("/v1/products/bolts").json()["false_alarm_rate"] == 0.1
    entry = running.http.get("/v1/audit").json()["audit"][0]
    assert (entry["by"], entry["details"]["reason"]) == ("eva", "the defect was missed")

    # The same detector is in the list twice; the one that came last is in use.
    page.goto(f"{running.url}/products/bolts")
    listed = page.locator("section", has=page.locator("#title-detectors"))
    expect(listed.locator(".chip", has_text="In use")).to_have_count(1)
    expect(listed.locator("tbody tr").first).to_contain_text("In use")
    expect(listed.get_by_text("same as the one in use")).to_have_count(1)
    expect(listed.get_by_role("button", name="Activate")).to_have_count(1)

    page.get_by_role("button", name="Send a detector file").click()
    page.get_by_label("Detector file", exact=True).set_input_files(
        {"name": "x.patchbank", "mimeType": PNG, "buffer": b"no detector"}
    )
    page.get_by_label("Reason, for the audit").fill("a test")
    dialog.get_by_role("button", name="Send").click()
    expect(page.locator("#said")).to_contain_text("expected a detector file, got something else")

    assert running.http.post("/v1/products/bolts/tune", json=tuned).status_code == 200
    page.reload()
    page.get_by_role("button", name="Undo the last change").click()
    expect(dialog.get_by_role("heading")).to_contain_text("Undo: threshold changed, ")
    page.get_by_label("Reason, for the audit").fill("it was a slip")
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")  # nothing happens
    expect(page.locator("#ask")).to_be_hidden()
    assert running.http.get("/v1/products/bolts").json()["threshold"] == 1000.0
    page.get_by_role("button", name="Undo the last change").click()
    page.get_by_label("Reason, for the audit").fill("it was a slip")
    dialog.get_by_role("button", name="Undo").click()
    expect(page.locator("#said")).to_contain_text("Undone. Threshold")
    assert running.http.get("/v1/products/bolts").json()["threshold"] < 1000.0


def test_roles_see_what_they_may_do_and_no_more(desk, chromium):
    running = desk.running
    context = chromium.new_context(locale="en-GB")
    page = context.new_page()
    log_in(page, running.url, desk.secrets["operator"], "/products")
    expect(page.locator(".product")).to_have_count(1)
    for name in ("Threshold", "Set up a product"):
        expect(page.get_by_role("link", name=name)).to_have_count(0)
    page.get_by_role("link", name="Detectors").click()
    expect(page.get_by_role("heading", name="Detectors of this product")).to_be_visible()
    for name in ("Activate", "Compare", "Undo", "Send", "Go back"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    for path in ("/products/new", "/products/bolts/new"):
        assert page.goto(f"{running.url}{path}").status == 403
        expect(page.get_by_role("heading")).to_have_text("This did not work")
    context.clear_cookies()
    for name in ("bolts", "nuts"):
        running.http.post("/v1/setups", json={"product": name})
    log_in(page, running.url, desk.secrets["engineer"], "/products")
    expect(page.locator(".set-ups a")).to_have_text(["bolts"])  # nuts are for the role admin
    page.goto(f"{running.url}/products/bolts/new")
    expect(page.get_by_role("heading", name="New detector for bolts")).to_be_visible()
    assert page.goto(f"{running.url}/products/new").status == 403
    context.close()


def test_no_page_of_another_site_begins_or_fills_a_set_up(desk):
    running = desk.running
    n_before = len(running.http.get("/v1/setups").json()["setups"])
    with httpx.Client(base_url=running.url, timeout=30) as http:
        cookies = {one["name"]: one["value"] for one in desk.page.context.cookies()}
        http.cookies.update(cookies)
        setup = running.http.post("/v1/setups", json={"product": "bolts"}).json()["id"]
        path = f"/v1/setups/{setup}/photographs"
        own = CSRF.search(http.get("/products").text)[1]
        for headers in ({}, {"x-csrf-token": own, "Sec-Fetch-Site": "cross-site"}):
            body = {"files": [("image", ("1.png", bolt(1)))], "headers": headers}
            check_error(http.post(path, **body), 403, "csrf")
            begun = http.post("/v1/setups", json={"product": "bolts"}, headers=headers)
            check_error(begun, 403, "csrf")
        allowed = http.post(
            path, files=[("image", ("1.png", bolt(1)))], headers={"x-csrf-token": own}
        )
        assert allowed.json()["added"] == ["1.png"]
    assert len(running.http.get("/v1/setups").json()["setups"]) == n_before + 1
