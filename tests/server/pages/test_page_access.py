"""Pages are behind the one mechanism: sessions of browsers, forms that nobody else can send."""

from __future__ import annotations

import re
import shutil

import httpx
import pytest

from patchbank.server.pages.assets import digest, files
from patchbank.server.pages.specs import PAGES, SPECS
from patchbank.server.service.sessions import COOKIE, LIFE_S, Session, Sessions
from tests.server.services import Running, bearer, check_error, make_token, png, records_of

pytestmark = pytest.mark.serve
PAGE = {"Accept": "text/html,application/xhtml+xml"}
PUBLIC = {"/login", "/static/{version}/{name}"}
FORM_TEXT = re.compile(r'name="csrf" value="([\w-]+)"')
PAGE_TEXT = re.compile(r'data-csrf="(\w+)"')


def filled(path):
    for name, text in {
        "product": "parts",
        "number": "999",
        "version": digest(),
        "name": "line.js",
    }.items():
        path = path.replace(f"{{{name}}}", text)
    return path


@pytest.fixture(scope="module")
def guarded(fitted, tmp_path_factory):
    """A service with tokens."""
    folder = tmp_path_factory.mktemp("guarded")
    data = folder / "data"
    secrets = {role: make_token(data, f"a-{role}", role) for role in ("operator", "admin")}
    with Running(data, shutil.copy(fitted, folder / "parts.patchbank")) as running:
        running.secrets = secrets
        yield running


def browser(running) -> httpx.Client:
    return httpx.Client(base_url=running.url, headers=PAGE, timeout=30)


def log_in(http, secret, target="/line/parts"):
    form = http.get("/login", params={"next": target})
    content = {"token": secret, "next": target, "csrf": FORM_TEXT.search(form.text)[1]}
    return http.post("/login", data=content)


def test_every_page_has_a_role_and_is_in_no_document(guarded):
    documented = guarded.http.get("/openapi.json").json()["paths"]
    for spec in PAGES:
        assert (spec.role == "public") == (spec.path in PUBLIC)
        assert spec.failed is not None
        assert spec.path not in documented
    assert len({(spec.method, spec.path) for spec in SPECS}) == len(SPECS)


@pytest.mark.parametrize(
    "spec", [one for one in PAGES if one.role != "public"], ids=lambda spec: spec.path
)
def test_who_is_not_known_is_asked_for_a_token(guarded, spec):
    with browser(guarded) as http:
        path = filled(spec.path)
        response = http.request(spec.method, path)
        assert response.status_code == 303
        assert httpx.URL(response.headers["location"]).params["next"] == path
        program = http.request(spec.method, path, headers={"Accept": "*/*"})
        check_error(program, 401, "unauthorized")


def test_a_session_begins_with_a_token_and_leads_back(guarded):
    with browser(guarded) as http:
        asked = http.get("/line/parts")
        assert asked.headers["location"] == "/login?next=%2Fline%2Fparts"
        response = log_in(http, guarded.secrets["operator"])
        assert (response.status_code, response.headers["location"]) == (303, "/line/parts")
        cookie = response.headers["set-cookie"]
        assert guarded.secrets["operator"] not in cookie
        for attribute in ("HttpOnly", "SameSite=strict", "Path=/", f"Max-Age={int(LIFE_S)}"):
            assert attribute in cookie
        assert "Secure" not in cookie  # without TLS, it would never be sent
        page = http.get("/line/parts")
        assert page.status_code == 200
        assert "a-operator" in page.text
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert "unsafe" not in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"
        # The same cookie serves what pages fetch, within the role of its token.
        assert http.get("/v1/status").status_code == 200
        assert check_error(http.get("/v1/audit"), 403)["message"].startswith("token: expected one")


def test_the_cookie_is_secure_behind_tls(guarded):
    with browser(guarded) as http:
        http.headers["X-Forwarded-Proto"] = "https"
        form = http.get("/login")
        assert "Secure" in form.headers["set-cookie"]
        text = FORM_TEXT.search(form.text)[1]
        content = {"token": guarded.secrets["operator"], "next": "/line", "csrf": text}
        # The client does not send a secure cookie over HTTP; a browser behind the proxy would.
        sent = http.post("/login", data=content, headers={"Cookie": f"patchbank_login={text}"})
        assert sent.status_code == 303
        assert "Secure" in sent.headers["set-cookie"]


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "", "line", "/a\nb"]
)
def test_a_login_never_leads_elsewhere(guarded, target):
    with browser(guarded) as http:
        response = log_in(http, guarded.secrets["operator"], target)
        assert (response.status_code, response.headers["location"]) == (303, "/line")


@pytest.mark.parametrize("secret", ["", "pb_wrong", "x" * 5000, "<script>"])
def test_a_wrong_token_begins_nothing(guarded, secret):
    with browser(guarded) as http:
        response = log_in(http, secret)
        assert response.status_code in (401, 429)
        assert COOKIE not in http.cookies
        assert "<script>" not in response.text


def test_visits_without_a_token_do_not_shut_anybody_out(guarded):
    with browser(guarded) as http:
        for _ in range(15):
            assert http.get("/line/parts").status_code == 303
            check_error(http.get("/line/parts/events", headers={"Accept": "*/*"}), 401)
        assert log_in(http, guarded.secrets["operator"]).status_code == 303


def test_a_login_form_of_another_page_is_refused(guarded):
    with browser(guarded) as http:
        content = {"token": guarded.secrets["operator"], "next": "/line", "csrf": "guessed"}
        assert http.post("/login", data=content).status_code == 403
        http.get("/login")
        assert http.post("/login", data=content).status_code == 403
        own = {**content, "csrf": http.cookies["patchbank_login"]}
        foreign = http.post("/login", data=own, headers={"Sec-Fetch-Site": "cross-site"})
        assert foreign.status_code == 403
        assert COOKIE not in http.cookies


@pytest.mark.parametrize(
    ("headers", "is_accepted"),
    [
        ({"x-csrf-token": "OWN"}, True),
        ({"x-csrf-token": "OWN", "Sec-Fetch-Site": "same-origin"}, True),
        ({}, False),
        ({"x-csrf-token": "guessed"}, False),
        ({"x-csrf-token": "\xfc"}, False),
        ({"x-csrf-token": "OWN", "Sec-Fetch-Site": "cross-site"}, False),
        ({"x-csrf-token": "OWN", "Sec-Fetch-Site": "same-site"}, False),
    ],
)
def test_a_change_needs_the_text_of_an_own_page(guarded, headers, is_accepted):
    number = guarded.inspect(png(7), headers=bearer(guarded.secrets["admin"])).json()["id"]
    with browser(guarded) as http:
        log_in(http, guarded.secrets["operator"])
        own = PAGE_TEXT.search(http.get("/line/parts").text)[1]
        sent = {key: text.replace("OWN", own).encode("latin-1") for key, text in headers.items()}
        path = f"/v1/inspections/{number}/review"
        response = http.post(path, json={"decision": "unsure"}, headers=sent)
        if is_accepted:
            assert (response.status_code, response.json()["by"]) == (201, "a-operator")
        else:
            check_error(response, 403, "csrf")
            forged = http.post(
                path, content=b'{"decision": "unsure"}', headers={"Content-Type": "text/plain"}
            )
            check_error(forged, 403, "csrf")


def test_a_login_whose_bytes_are_no_text_is_refused_like_any_other(guarded):
    with browser(guarded) as http:
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        response = http.post("/login", content=b"token=\xff\xfe&csrf=\xff", headers=kind)
        assert response.status_code == 403


def test_the_text_of_one_session_is_no_use_in_another(guarded):
    with browser(guarded) as http, browser(guarded) as other:
        log_in(http, guarded.secrets["operator"])
        log_in(other, guarded.secrets["operator"])
        foreign = PAGE_TEXT.search(other.get("/line/parts").text)[1]
        response = http.post("/logout", data={"csrf": foreign})
        assert response.status_code == 403
        assert http.get("/line/parts").status_code == 200


def test_who_logs_out_is_out_with_every_copy_of_the_cookie(guarded):
    with browser(guarded) as http:
        log_in(http, guarded.secrets["operator"])
        copy = http.cookies[COOKIE]
        text = FORM_TEXT.search(http.get("/line").text)[1]
        response = http.post("/logout", data={"csrf": text})
        assert (response.status_code, response.headers["location"]) == (303, "/login")
        assert "Max-Age=0" in response.headers["set-cookie"]
        assert http.get("/line").status_code == 303
        http.cookies.set(COOKIE, copy)
        assert http.get("/line").status_code == 303


def test_a_session_outlives_a_restart_and_ends_with_its_token(fitted, tmp_path):
    data = tmp_path / "data"
    secret = make_token(data, "eva", "operator")
    with Running(data, fitted) as running, browser(running) as http:
        log_in(http, secret)
        cookie = http.cookies[COOKIE]
        running.process.kill()
    assert (data / "session.key").stat().st_mode & 0o077 == 0
    with Running(data, fitted) as running, browser(running) as http:
        http.cookies.set(COOKIE, cookie)
        assert http.get("/line/parts").status_code == 200
    with records_of(data) as records:
        assert records.revoke_token("eva")
    with Running(data, fitted) as running, browser(running) as http:
        http.cookies.set(COOKIE, cookie)
        assert http.get("/line/parts").status_code == 303


def test_sessions_end_and_are_renewed_in_their_second_half(monkeypatch):
    sessions = Sessions(b"k" * 32)
    session = sessions.begin("eva")
    assert sessions.renewed(session) is None
    old = Session(session.id, "eva", session.ends - 0.6 * LIFE_S)
    renewed = sessions.renewed(old)
    assert (renewed.id, renewed.name) == (session.id, "eva")
    assert renewed.ends > old.ends
    assert sessions.csrf(renewed) == sessions.csrf(session)  # pages that are open stay usable
    over = Session(session.id, "eva", session.ends - LIFE_S - 1)
    assert sessions.read(sessions.cookie(over)) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda cookie: "",
        lambda cookie: cookie[:-1],
        lambda cookie: "x" + cookie,
        lambda cookie: cookie.replace(".", ""),
        lambda cookie: cookie.partition(".")[0],
        lambda cookie: cookie + "\N{SNOWMAN}",
        lambda cookie: Sessions(b"j" * 32).cookie(Session("i", "admin", 1e12)),
    ],
)
def test_a_cookie_that_this_service_has_not_written_is_none(change):
    sessions = Sessions(b"k" * 32)
    assert sessions.read(change(sessions.cookie(Session("i", "eva", 1e12)))) is None


def test_a_program_at_the_start_gets_json_and_a_browser_the_screens(service):
    assert service.http.get("/").json()["links"]
    with browser(service) as http:
        assert http.get("/").headers["location"] == "/line"
        page = http.get("/line")
        assert "no log-in on this service" in page.text
        assert page.status_code == 200
        assert 'href="/line/parts"' in page.text
        assert "Log out" not in page.text  # there is no session: everybody here is local


def test_pages_of_this_computer_are_not_for_other_sites(service):
    with browser(service) as http:
        response = http.get("/line", headers={"Sec-Fetch-Site": "cross-site"})
        assert response.status_code == 403
        assert "text/html" in response.headers["content-type"]
        assert http.get("/line", headers={"Host": "evil.example"}).status_code == 403


@pytest.mark.parametrize("path", ["/line/none", "/line/parts/parts/999/small", "/line/%3Cb%3E"])
def test_errors_are_pages_for_people_and_json_for_programs(service, path):
    with browser(service) as http:
        page = http.get(path)
        assert page.status_code == 404
        assert "<h1>" in page.text
        assert "<b>" not in page.text
        check_error(http.get(path, headers={"Accept": "*/*"}), 404)


def test_static_files_are_for_good_under_their_digest(service):
    with browser(service) as http:
        for name, content in files().items():
            response = http.get(f"/static/{digest()}/{name}")
            assert response.content == content
            assert "immutable" in response.headers["cache-control"]
        for path in (
            f"/static/{digest()}/../words.py",
            f"/static/{digest()}/none.js",
            "/static/0/line.js",
        ):
            assert http.get(path).status_code == 404


def test_pages_name_no_other_host_and_no_script_within(service):
    with browser(service) as http:
        for path in ("/line", "/line/parts", "/login"):
            text = http.get(path).text
            assert not re.search(r"(?:src|href|action)=\"(?!/)", text.replace('href="#shape', ""))
            assert not re.search(r"<script(?![^>]* src=)|\son\w+=|\sstyle=|javascript:", text)
    for name, content in files().items():
        text = content.decode().replace("http://www.w3.org/2000/svg", "")
        assert "//" not in re.sub(r"^\s*(//|/\*|\*).*$|\s// .*$", "", text, flags=re.M), name
        assert "innerHTML" not in text


def test_pages_work_behind_a_path(fitted, tmp_path):
    data = tmp_path / "data"
    secret = make_token(data, "eva", "operator")
    with Running(data, fitted, "--root-path", "/inspect") as running, browser(running) as http:
        assert http.get("/").headers["location"] == "/inspect/line"
        assert http.get("/line").headers["location"] == "/inspect/login?next=%2Fline"
        form = http.get("/inspect/login")  # a proxy may leave its path, or take it away
        assert 'action="/inspect/login"' in form.text
        text = FORM_TEXT.search(form.text)[1]
        content = {"token": secret, "next": "/line/parts", "csrf": text}
        response = http.post("/inspect/login", data=content)
        assert response.headers["location"] == "/inspect/line/parts"
        assert "Path=/inspect" in response.headers["set-cookie"]
        page = http.get("/inspect/line/parts")
        assert f'src="/inspect/static/{digest()}/line.js"' in page.text
