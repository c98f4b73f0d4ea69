"""The page of a threshold in a real browser: what it says is what a count by hand says."""

from __future__ import annotations

import shutil

import pytest
from playwright.sync_api import expect

from patchbank.runtime.percent import percent_at_most
from tests.server.pages.bolts import bolt
from tests.server.pages.screens import WAIT_MS
from tests.server.pages.views import check_views, log_in, opened_views
from tests.server.services import Running, bearer, check_error, make_token

pytestmark = [pytest.mark.browser, pytest.mark.serve]
N_PARTS = 24
PATH = "/products/bolts/threshold"
ROWS = ("flagged", "found", "alarms", "open", "missed")


@pytest.fixture(scope="module")
def bolts(bolts_detector, tmp_path_factory):
    """A service with parts on record: defects, false alarms, some that nobody has reviewed."""
    folder = tmp_path_factory.mktemp("threshold")
    file = shutil.copy(bolts_detector, folder / "bolts.patchbank")
    data = folder / "data"
    secrets = {role: make_token(data, f"a-{role}", role) for role in ("operator", "engineer")}
    secrets["admin"] = make_token(data, "an-admin", "admin")
    with Running(data, file, "--keep-good", "1") as running:
        running.secrets = secrets
        running.own = bearer(secrets["admin"])
        running.http.headers.update(running.own)
        left_out = running.http.get("/v1/products/bolts/scores").json()["left_out"]
        low = {"threshold": left_out[len(left_out) // 2], "reason": "more to review"}
        assert running.http.post("/v1/products/bolts/tune", json=low).status_code == 200
        for seed in range(N_PARTS):
            send(running, seed)
        running.inspect(b"no photograph")
        yield running


def send(running, seed):
    """One part on record; some are reviewed."""
    sent = running.inspect(bolt(300 + seed, nick=seed % 8 == 0), shift="early").json()
    is_defect = seed % 8 == 0 or seed == 5  # one that is called a defect looks good
    if is_defect or (sent["verdict"] == "anomalous" and seed % 3 == 0):
        decision = {"decision": "confirmed_defect" if is_defect else "false_alarm"}
        path = f"/v1/inspections/{sent['id']}/review"
        assert running.http.post(path, json=decision).status_code == 201


def scores(running):
    return running.http.get("/v1/products/bolts/scores").json()


def by_hand(found, threshold):
    """Numbers of parts, each looked at."""
    counts = dict.fromkeys(ROWS, 0)
    for one in found["parts"]:
        is_defect = one["kind"] == "confirmed_defect"
        if one["score"] > threshold:
            counts["flagged"] += 1
            counts["found"] += is_defect
            counts["alarms"] += one["kind"] == "false_alarm"
            counts["open"] += one["kind"] in ("undecided", "good")
        else:
            counts["missed"] += is_defect
    return counts


class Opened:
    """The page, as an engineer sees it."""

    def __init__(self, page, url, secret) -> None:
        self.page, self.errors = page, []
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", lambda dialog: (self.errors.append(dialog.message), dialog.dismiss()))
        log_in(page, url, secret, PATH)
        expect(page.locator("#sides")).to_be_visible()

    def counts(self, column="then"):
        """Numbers of parts in a column of the table."""
        place = "td.then" if column == "then" else "td:nth-of-type(1)"
        found = {}
        for row in ROWS:
            text = self.page.locator(f"[data-row={row}] {place} small").text_content()
            parts, _, all_ = str(text).partition(" of ")
            assert int(all_) == N_PARTS
            found[row] = int(parts)
        return found

    def in_a_shift(self, row):
        """The number in a shift."""
        text = self.page.locator(f"[data-row={row}] td.then").text_content()
        return str(text).split()[0]

    def value(self, name):
        return float(self.page.locator(f"#{name}").input_value())


@pytest.fixture
def opened(chromium, bolts):
    """The page in a browser of its own; it must end without an error of a script."""
    context = chromium.new_context(locale="en-GB", viewport={"width": 1280, "height": 900})
    page = Opened(context.new_page(), bolts.url, bolts.secrets["engineer"])
    yield page
    assert page.errors == []
    context.close()


def test_what_is_counted_is_what_a_look_at_each_part_counts(bolts, opened):
    found, page = scores(bolts), opened.page
    assert opened.counts("now") == opened.counts() == by_hand(found, found["threshold"])
    assert by_hand(found, found["threshold"])["alarms"] > 0
    assert by_hand(found, found["threshold"])["missed"] <= 1
    thresholds = [one["threshold"] for one in found["steps"]]
    slider = page.locator("#slider")
    slider.focus()
    first = int(slider.input_value())
    for n_right in range(1, 4):
        for _ in range(4):
            page.keyboard.press("ArrowRight")
        step = found["steps"][first + 4 * n_right]
        assert opened.counts() == by_hand(found, step["threshold"])
        assert opened.value("threshold") == step["threshold"]
        assert opened.value("rate") == float(f"{100 * step['false_alarm_rate']:.2g}")
    page.keyboard.press("End")
    assert opened.counts() == by_hand(found, thresholds[-1])
    page.keyboard.press("Home")
    assert opened.counts() == by_hand(found, thresholds[0])
    assert opened.counts()["flagged"] > 20
    # As many in a shift as somebody says: 240 parts are ten times those that were counted.
    expect(page.locator("#counted")).to_contain_text(
        "the median of the last 7 days, by the shifts that parts name (1)"
    )
    assert opened.value("shift") == N_PARTS
    page.locator("#shift").fill(str(10 * N_PARTS))
    for row, number in opened.counts().items():
        assert opened.in_a_shift(row) == str(10 * number)
    expected = 10 * N_PARTS * found["steps"][0]["false_alarm_rate"]
    assert float(opened.in_a_shift("expected")) == pytest.approx(expected, abs=0.5)
    expect(page.locator("#left-out")).to_have_text("Left out: 1 that could not be read.")
    expect(page.locator("#warnings")).to_contain_text("Few reviews: ")
    expect(page.locator("#spoken")).to_contain_text("Threshold ")


def test_a_threshold_or_a_rate_is_written_and_the_other_follows_exactly(bolts, opened):
    found, page = scores(bolts), opened.page
    one = sorted(part["score"] for part in found["parts"])[N_PARTS // 2]
    button = page.get_by_role("button", name="Apply")
    expect(button).to_be_disabled()  # nothing was chosen yet
    page.locator("#threshold").fill(repr(one))  # at the score itself, it is not flagged
    expect(button).to_be_enabled()
    exact = bolts.http.get("/v1/products/bolts/threshold", params={"threshold": one}).json()
    assert opened.counts() == by_hand(found, one)
    assert opened.value("rate") == float(f"{100 * exact['false_alarm_rate']:.2g}")
    expect(page.locator("#mode")).to_contain_text("by hand, to ")
    page.locator("#rate").fill("0.7")
    expect(button).to_be_enabled()
    asked = {"false_alarm_rate": 0.007}
    exact = bolts.http.get("/v1/products/bolts/threshold", params=asked).json()
    most = percent_at_most(exact["guaranteed_rate"]).replace(" ", "")
    words = f"Expected 0.7%, at most {most} on average."
    expect(page.locator("#mode")).to_have_text(words)
    expect(page.locator("[data-row=expected] td.then small")).to_have_text("0.7%")
    assert opened.value("threshold") == float(f"{exact['threshold']:.6g}")
    assert opened.counts() == by_hand(found, exact["threshold"])
    expect(page.locator("#warnings")).to_contain_text("12 independent ones show")
    page.locator("#rate").fill("100")
    expect(page.locator("#said")).to_contain_text("false_alarm_rate: expected less than 1")
    expect(button).to_be_disabled()
    page.get_by_role("button", name="Back to the present one").click()
    assert opened.counts() == opened.counts("now")
    expect(button).to_be_disabled()
    assert scores(bolts)["threshold"] == found["threshold"]  # nothing was applied


def test_what_changes_is_first_and_all_is_seen_without_scrolling(opened):
    page = opened.page
    page.locator("#rate").fill("0.7")
    expect(page.locator("#mode")).to_contain_text("Expected 0.7%, at most ")
    rows = page.locator("#effects tr")
    assert rows.evaluate_all("rows => rows.map(row => row.dataset.row)") == [
        "expected",
        "flagged",
        "found",
        "missed",
    ]
    weight = rows.first.locator("td").last.evaluate("one => getComputedStyle(one).fontWeight")
    assert weight == "700"
    for width, height in ((1280, 800), (1920, 1080)):
        page.set_viewport_size({"width": width, "height": height})
        for name in ("Apply", "Back to the present one"):
            box = page.get_by_role("button", name=name).bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= height, (width, name)
    page.get_by_text("Where these numbers come from").click()
    expect(page.locator("#bound")).to_contain_text("of good parts are flagged")


@pytest.mark.page_tools
def test_the_page_at_all_sizes(bolts, chromium):
    with opened_views(chromium) as pages:
        views = [Opened(page, bolts.url, bolts.secrets["engineer"]) for page in pages.values()]
        for one in views:
            one.page.locator("#slider").fill("90")
            one.page.locator("#reason").fill("too many false alarms in lot L42")
            expect(one.page.get_by_role("button", name="Apply")).to_be_enabled()
            one.page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
        check_views(pages, "threshold", scrolls=True)
        assert [one.errors for one in views] == [[]] * len(views)


def test_a_threshold_is_applied_with_a_reason_and_undone(bolts, opened):
    before, page = scores(bolts)["threshold"], opened.page
    reason = "<img src=x onerror=alert(1)> too many false alarms"
    page.locator("#rate").fill("2")
    button = page.get_by_role("button", name="Apply")
    expect(button).to_be_enabled()
    chosen = opened.value("threshold")
    button.click()
    assert scores(bolts)["threshold"] == before  # not without a reason
    page.locator("#reason").fill(reason)
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_contain_text("Applied: the threshold is ")
    product = bolts.http.get("/v1/products/bolts").json()
    assert product["threshold"] == pytest.approx(chosen, rel=1e-5)
    assert product["false_alarm_rate"] == 0.02
    audit = bolts.http.get("/v1/audit").json()["audit"]
    entry = next(one for one in audit if one["action"] == "detector tuned")
    assert (entry["by"], entry["details"]["reason"]) == ("a-engineer", reason)
    assert entry["details"]["threshold_before"] == before
    newest = page.locator("#changes tr").first
    expect(newest).to_contain_text(reason)
    expect(newest).to_contain_text("a-engineer")
    expect(newest).to_contain_text("threshold changed")
    assert len(scores(bolts)["parts"]) == N_PARTS  # their scores still compare
    assert opened.counts("now") == by_hand(scores(bolts), product["threshold"])
    page.locator("#undo-reason").fill("it was a test")
    page.get_by_role("button", name="Undo the last change").click()
    expect(page.locator("#said")).to_contain_text("Undone: the threshold is ")
    assert scores(bolts)["threshold"] == before
    expect(newest).to_contain_text("change undone")
    expect(page.locator("#undo")).to_be_hidden()


def test_an_operator_sees_no_threshold(bolts, chromium):
    own = bearer(bolts.secrets["operator"])
    for path in ("scores", "threshold?threshold=1"):
        check_error(bolts.http.get(f"/v1/products/bolts/{path}", headers=own), 403)
    context = chromium.new_context(locale="en-GB")
    page = context.new_page()
    log_in(page, bolts.url, bolts.secrets["operator"], PATH)
    expect(page.get_by_role("heading")).to_have_text("This did not work")
    expect(page.locator(".message")).to_contain_text("role engineer")
    context.close()
