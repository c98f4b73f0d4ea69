"""Forms of pages in a real Chromium, with and without tokens; foreign pages send none of them."""

from __future__ import annotations

import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import expect

import patchbank.server.pages
from tests.server.pages.bolts import bolt
from tests.server.pages.views import log_in
from tests.server.services import Running, bearer, make_token

pytestmark = [pytest.mark.browser, pytest.mark.serve]
POSTED = {"base.html", "line.html", "login.html", "history_part.html"}
"""Templates with a form that is sent without a script."""


@pytest.fixture(scope="module")
def local(bolts_detector, tmp_path_factory):
    """A service without tokens."""
    folder = tmp_path_factory.mktemp("local")
    file = shutil.copy(bolts_detector, folder / "bolts.patchbank")
    with Running(folder / "data", file, "--keep-good", "1") as running:
        running.number = running.inspect(bolt(200, nick=True), serial_number="A-1").json()["id"]
        yield running


@pytest.fixture
def page(chromium):
    context = chromium.new_context(locale="en-GB")
    yield context.new_page()
    context.close()


def reviews(running, number=None):
    path = f"/v1/inspections/{number or running.number}/reviews"
    return [(one["decision"], one["note"]) for one in running.http.get(path).json()["reviews"]]


def test_every_form_that_is_sent_without_a_script_is_tried_here():
    templates = Path(patchbank.server.pages.__file__).parent / "templates"
    texts = {file.name: file.read_text() for file in templates.glob("*.html")}
    posts = {name: text.count('method="post"') for name, text in texts.items()}
    assert {name: n for name, n in posts.items() if n} == dict.fromkeys(POSTED, 1)


def test_a_part_is_reviewed_on_a_service_without_tokens(local, page):
    page.goto(f"{local.url}/history/{local.number}")
    page.get_by_label("Note").fill("a nick")
    with page.expect_request(lambda one: one.method == "POST") as sent:
        page.get_by_role("button", name="Confirmed defect").click()
    assert sent.value.all_headers()["origin"] == local.url
    expect(page.locator("#reviews li")).to_contain_text("a nick")
    assert reviews(local) == [("confirmed_defect", "a nick")]
    assert page.get_by_label("Note").input_value() == ""


def test_what_is_not_saved_says_so_on_the_page_of_the_part_with_its_note(local, page):
    number = local.inspect(b"no photograph", serial_number="A-2").json()["error"]["inspection"]
    page.goto(f"{local.url}/history/{number}")
    page.get_by_label("Note").fill("\ntwo lines\n<b>")
    page.evaluate("document.querySelector('[name=decision]').value = 'false_alarm'")
    page.locator("[name=decision]").first.click()
    alert = page.get_by_role("alert")
    expect(alert.locator("strong")).to_have_text("Not saved.")
    expect(alert.locator("[lang=en]")).to_contain_text("decision: expected")
    expect(page.get_by_role("heading", level=1)).to_have_text("A-2")
    expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
    assert page.get_by_label("Note").input_value() == "\ntwo lines\n<b>"
    assert reviews(local, number) == []


def test_a_review_that_is_refused_leads_back_to_the_part_and_its_note(
    bolts_detector, tmp_path, page
):
    secret = make_token(tmp_path / "data", "eva", "operator")
    file = shutil.copy(bolts_detector, tmp_path / "bolts.patchbank")
    with Running(tmp_path / "data", file) as running:
        content = bolt(200, nick=True)
        number = running.inspect(content, headers=bearer(secret)).json()["id"]
        log_in(page, running.url, secret, f"/history/{number}")
        page.get_by_label("Note").fill("a long story")
        page.evaluate("document.querySelector('form.review [name=csrf]').value = 'another'")
        page.get_by_role("button", name="Unsure").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Not saved.")
        expect(page.locator("[lang=en].message")).to_contain_text("load the page again")
        expect(page.get_by_role("navigation", name="Pages").get_by_role("link")).to_have_count(5)
        page.get_by_role("link", name="Back to the part").click()
        expect(page.get_by_label("Note")).to_have_value("a long story")
        page.get_by_role("button", name="Unsure").click()
        expect(page.locator("#reviews li")).to_contain_text("a long story")
        assert page.get_by_label("Note").input_value() == ""
        for path in ("/line", "/line/bolts"):
            page.goto(running.url + path)
            if path == "/line/bolts":
                page.locator("#settings summary").click()
            page.get_by_role("button", name="Log out").click()
            page.wait_for_url(f"{running.url}/login")
            log_in(page, running.url, secret)


FOREIGN = """<!doctype html><title>foreign</title>
<form method="post" action="TARGET"><input name="decision" value="unsure">
<button>send</button></form>
<iframe sandbox="allow-forms allow-scripts" srcdoc='<form method="post" action="TARGET">
<input name="decision" value="unsure"><button>send</button></form>'></iframe>"""


@pytest.mark.parametrize("is_sandboxed", [False, True])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_no_foreign_page_reviews_a_part(local, page, tmp_path, host, is_sandboxed):
    before = reviews(local)
    text = FOREIGN.replace("TARGET", f"{local.url}/history/{local.number}")
    (tmp_path / "index.html").write_text(text)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.goto(f"http://{host}:{server.server_port}/")
        frame = page.frame_locator("iframe") if is_sandboxed else page
        with page.expect_response(lambda one: one.request.method == "POST") as answered:
            frame.get_by_role("button", name="send").click()
        server.shutdown()
    assert answered.value.status == 403
    origin = answered.value.request.all_headers()["origin"]
    assert origin == ("null" if is_sandboxed else f"http://{host}:{server.server_port}")
    assert reviews(local) == before
