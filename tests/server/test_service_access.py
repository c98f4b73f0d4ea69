"""Who may ask what: every route has a role, and every wrong token is refused."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from patchbank.server.service.app import SPECS, make_app
from patchbank.server.service.guarding import SecuredRoute, Spec
from tests.server.services import Running, bearer, check_error, make_token, png, records_of, run

pytestmark = pytest.mark.serve
ROLES = ("operator", "engineer", "admin")
PUBLIC = {"/", "/health", "/ready", "/openapi.json"}
EXAMPLES = {"number": "999999", "spot": "0", "lot": "none"}


def filled(path):
    return re.sub(r"\{(\w+)\}", lambda found: EXAMPLES.get(found[1], "nobody"), path)


@pytest.fixture(scope="module")
def guarded(fitted, tmp_path_factory):
    """A service with a token of each role, one that is revoked, and one that has expired."""
    folder = tmp_path_factory.mktemp("guarded")
    data = folder / "data"
    secrets = {role: make_token(data, f"a-{role}", role) for role in ROLES}
    secrets["revoked"] = make_token(data, "gone", "admin")
    with records_of(data) as records:
        assert records.revoke_token("gone")
    secrets["expired"] = make_token(
        data, "old", "admin", datetime.now(timezone.utc) + timedelta(days=1)
    )
    _expire(data, "old")
    file = shutil.copy(fitted, folder / "parts.patchbank")
    with Running(data, file) as running:
        running.secrets = secrets
        yield running


def _expire(data, name):
    import sqlite3

    with sqlite3.connect(data / "records.sqlite") as records:
        changed = records.execute(
            "UPDATE tokens SET expires = '2020-01-01 00:00:00.000000' WHERE name = ?", (name,)
        )
        assert changed.rowcount == 1


def test_every_route_of_the_application_has_a_role(service):
    class Parts:
        class settings:
            root_path, max_bytes, max_detector_bytes = "", 1000, 1000

        gate = metrics = None

    app = make_app(Parts())
    assert isinstance(app, FastAPI)
    routes = {(method, route.path): route for route in app.routes for method in route.methods}
    assert len(routes) == len(SPECS) == len(app.routes)
    for (_, path), route in routes.items():
        assert isinstance(route, SecuredRoute), path
        assert (route.role == "public") == (path in PUBLIC)
        assert route.role in ("public", *ROLES)
    assert set(service.http.get("/openapi.json").json()["paths"]) == {path for _, path in routes}


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.method} {spec.path}")
def test_the_page_has_every_route_with_its_role(spec):
    page = (Path(__file__).parents[2] / "docs" / "service.md").read_text(encoding="utf-8")
    assert f"| `{spec.method} {spec.path}` | {spec.role} | " in page


def test_a_route_without_a_role_cannot_be_made():
    with pytest.raises(TypeError, match="role"):
        Spec(method="GET", path="/x", endpoint=test_a_route_without_a_role_cannot_be_made, tag="t")


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.method} {spec.path}")
def test_a_route_admits_its_role_and_those_above(guarded, spec):
    path = filled(spec.path)
    if spec.role == "public":
        assert guarded.http.request(spec.method, path).status_code == 200
        return
    for role in ROLES:
        response = guarded.http.request(spec.method, path, headers=bearer(guarded.secrets[role]))
        if ROLES.index(role) < ROLES.index(spec.role):
            assert f"role {spec.role}" in check_error(response, 403, "forbidden")["message"]
        else:
            assert response.status_code not in (401, 403), response.text


@pytest.mark.parametrize("spec", [s for s in SPECS if s.role != "public"], ids=lambda s: s.path)
def test_a_route_refuses_a_request_without_a_token(guarded, spec):
    response = guarded.http.request(spec.method, filled(spec.path))
    assert response.status_code in (401, 429)
    check_error(response, response.status_code)


def test_wrong_tokens_are_refused_and_after_ten_a_minute_not_even_looked_up(fitted, tmp_path):
    data = tmp_path / "data"
    good = make_token(data, "eva", "operator")
    wrong = [f"pb_{n}" for n in range(5)] + ["x" * 5000, good[:-1], good + "a", good.lower()]
    with Running(data, fitted) as running:
        for secret in wrong:
            response = running.http.get("/v1/products", headers=bearer(secret))
            check_error(response, 401, "unauthorized")
            assert response.headers["www-authenticate"] == "Bearer"
        basic = {"Authorization": f"Basic {good}"}
        check_error(running.http.get("/v1/products", headers=basic), 401)
        refused = running.http.get("/v1/products", headers=bearer("pb_again"))
        check_error(refused, 429, "too_many_failures")
        assert 1 <= int(refused.headers["retry-after"]) <= 60
        # A machine that is set up wrongly does not stop the others at its address.
        assert running.http.get("/v1/products", headers=bearer(good)).status_code == 200
        assert not any(secret in running.log for secret in (good, "pb_again"))


def test_revoked_and_expired_tokens_are_refused(guarded):
    for name in ("revoked", "expired"):
        response = guarded.http.get("/v1/products", headers=bearer(guarded.secrets[name]))
        assert response.status_code in (401, 429), name


def test_tokens_are_made_and_revoked_over_http(fitted, tmp_path):
    data = tmp_path / "data"
    admin = bearer(make_token(data, "root", "admin"))
    with Running(data, fitted) as running:
        made = running.http.post(
            "/v1/tokens", json={"name": "press", "role": "operator"}, headers=admin
        ).json()
        own = bearer(made["token"])
        assert running.http.get("/v1/products", headers=own).status_code == 200
        sent = running.inspect(png(), headers=own).json()
        assert sent["by"] == "press"
        listed = running.http.get("/v1/tokens", headers=admin).json()["tokens"]
        assert [one["name"] for one in listed] == ["root", "press"]
        assert made["token"] not in str(listed)
        assert running.http.delete("/v1/tokens/press", headers=admin).status_code == 200
        check_error(running.http.get("/v1/products", headers=own), 401)
        check_error(running.http.delete("/v1/tokens/press", headers=admin), 404)
        audit = running.http.get("/v1/audit", headers=admin).json()["audit"]
        assert {"root"} <= {entry["by"] for entry in audit}
        verified = running.http.get("/v1/audit/verification", headers=admin).json()
        assert verified == {"is_whole": True, "broken": None}
        assert made["token"].encode() not in (data / "records.sqlite").read_bytes()


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"Host": "evil.example"}, "Host"),
        ({"Host": "127.0.0.1.evil.example:8760"}, "Host"),
        ({"Host": ""}, "Host"),
        ({"Origin": "https://evil.example"}, "Origin"),
        ({"Origin": "null"}, "Origin"),
        ({"Origin": "http://127.0.0.1:1"}, "Origin"),
        ({"Sec-Fetch-Site": "cross-site"}, "Origin"),
        ({"X-Forwarded-For": "10.0.0.7"}, "proxy"),
        ({"Forwarded": "for=10.0.0.7"}, "proxy"),
        ({"X-Forwarded-Proto": "https"}, "proxy"),
        ({"X-Forwarded-Prefix": "/a"}, "proxy"),
        ({"X-Real-IP": "10.0.0.7"}, "proxy"),
        ({"Via": "1.1 gate"}, "proxy"),
    ],
)
def test_without_a_token_only_this_computer_itself_is_trusted(service, headers, name):
    response = service.http.get("/v1/products", headers=headers)
    assert check_error(response, 403, "forbidden")["message"].startswith(f"{name}: expected")


def test_http_1_0_is_that_of_a_proxy_which_says_nothing_else(service):
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        head = f"GET /v1/products HTTP/1.0\r\nHost: 127.0.0.1:{service.port}\r\n"
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
        answered = connection.makefile("rb").read()
    assert answered.startswith(b"HTTP/1.1 403 ")
    assert b"proxy: expected none without a token" in answered


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST"])
def test_names_of_this_computer_are_trusted(service, host):
    headers = {"Host": f"{host}:{service.port}", "Sec-Fetch-Site": "same-origin"}
    assert service.http.get("/v1/products", headers=headers).status_code == 200


def test_another_address_needs_a_token_before_it_starts(fitted, tmp_path):
    done = run("serve", fitted, "--data", tmp_path / "data", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()[-1:]
    assert line.startswith("error: --host: expected a token")
    make_token(tmp_path / "data", "eva", "operator")
    with Running(tmp_path / "data", fitted, "--host", "0.0.0.0") as running:
        url = f"http://127.0.0.1:{running.port}/v1/products"
        assert httpx.get(url).status_code == 401


def test_a_service_whose_last_token_was_revoked_stays_closed(fitted, tmp_path):
    data = tmp_path / "data"
    added = run(
        "serve", "token", "add", "eva", "--role", "admin", "--expires-days", "9", "--data", data
    )
    assert re.fullmatch(r"pb_[\w-]{43}\n", added.stdout), added.stderr
    assert run("serve", "token", "revoke", "eva", "--data", data).returncode == 0
    again = run("serve", "token", "revoke", "eva", "--data", data)
    assert again.returncode == 2
    assert again.stderr.startswith("error: token: expected the name of a valid one")
    listed = run("serve", "token", "list", "--data", data)
    assert re.match(r"eva: admin, made .*, revoked ", listed.stdout)
    with Running(data, fitted) as running:
        check_error(running.http.get("/v1/products"), 401)


def test_a_service_with_a_certificate_answers_over_tls(fitted, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-keyout",
            key,
            "-out",
            certificate,
        ],
        check=True,
        capture_output=True,
    )
    given = ("--tls-cert", certificate, "--tls-key", key)
    with Running(tmp_path / "data", fitted, *given) as running:
        assert running.url.startswith("https://")
        context = ssl.create_default_context(cafile=certificate)
        with httpx.Client(verify=context) as client:
            assert client.get(f"https://localhost:{running.port}/ready").status_code == 200
    done = run("serve", fitted, "--data", tmp_path / "data", "--tls-cert", certificate)
    assert done.returncode == 2
    assert "expected both or none" in done.stderr
