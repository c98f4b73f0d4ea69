"""Limits at their edges, tokens in time, pictures by age, log lines and figures, over real HTTP."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import sqlite3
import time
from datetime import datetime, timedelta, timezone

import httpx
import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from patchbank.detector.loading import load
from patchbank.server.service.keeping import map_png
from patchbank.server.service.metrics import Metrics
from patchbank.server.service.tokens import TokenBook
from tests.server.real_servers import wait_until
from tests.server.samples import inspection
from tests.server.services import Running, bearer, check_error, make_token, png, records_of

pytestmark = pytest.mark.serve
SENT = png(1)


@pytest.fixture(scope="module")
def limited(fitted, tmp_path_factory):
    """A service whose limits are the bytes and pixels of one photograph."""
    folder = tmp_path_factory.mktemp("limited")
    (folder / "root").mkdir()
    file = shutil.copy(fitted, folder / "parts.patchbank")
    limits = ("--max-bytes", len(SENT), "--max-pixels", 72 * 104, "--keep-good", 0)
    with Running(folder / "data", file, *limits, "--allow-root", folder / "root") as running:
        running.root = folder / "root"
        yield running


@pytest.mark.parametrize("more", [0, 1])
@pytest.mark.parametrize("way", ["stated", "chunked", "path"])
def test_a_photograph_of_exactly_the_bytes_allowed_is_inspected(limited, way, more):
    content = SENT + b"\0" * more
    if way == "path":
        (limited.root / f"{more}.png").write_bytes(content)
        response = limited.http.post("/v1/inspections", json={"paths": [f"{more}.png"]})
    elif way == "chunked":
        response = limited.http.post(
            "/v1/inspections", content=iter([content[:700], content[700:]])
        )
    else:
        response = limited.http.post("/v1/inspections", content=content)
    if more:
        assert "at most" in check_error(response, 413, "too_large")["message"]
    else:
        assert response.status_code == 200, response.text


@pytest.mark.parametrize("size", [(72, 104), (104, 72), (73, 104), (72, 105), (1, 7489)])
def test_a_photograph_of_exactly_the_pixels_allowed_is_inspected(limited, size):
    stream = io.BytesIO()
    Image.new("RGB", size[::-1], (90, 80, 70)).save(stream, "PNG")
    response = limited.http.post("/v1/inspections", content=stream.getvalue())
    if size[0] * size[1] > 72 * 104:
        error = check_error(response, 422, "unread")
        assert f"got {size[1]} x {size[0]}" in error["message"]
        assert limited.http.get(error["links"]["self"]).json()["verdict"] == "unread"
    else:
        assert response.status_code == 200, response.text


FIELDS = ("serial_number", "lot", "station", "shift", "operator", "camera")


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_of_exactly_its_length_is_recorded(service, name):
    text = "ü" * 199 + "x"
    for response in (
        service.inspect(SENT, **{name: text}),
        service.http.post("/v1/inspections", content=SENT, params={name: text}),
    ):
        assert response.json()[name] == text
    for response in (
        service.inspect(SENT, **{name: text + "x"}),
        service.http.post("/v1/inspections", content=SENT, params={name: text + "x"}),
    ):
        assert check_error(response, 422, "invalid")["message"].startswith(f"{name}: expected ")


def test_names_keys_notes_and_pages_have_the_lengths_that_are_said(service):
    def posted(**options):
        return service.http.post("/v1/inspections", content=SENT, **options)

    def reviewed(**body):
        path = f"/v1/inspections/{number}/review"
        return service.http.post(path, json={"decision": "unsure", **body})

    number = posted(params={"name": "n" * 255}).json()["id"]
    assert service.http.get(f"/v1/inspections/{number}").json()["image"] == "n" * 255
    check_error(posted(params={"name": "n" * 256}), 422, "invalid")
    check_error(service.inspect(SENT, "n" * 256), 422, "invalid")
    key = "k" * 180
    assert posted(headers={"Idempotency-Key": key}).json()["idempotency_key"] == key
    check_error(posted(headers={"Idempotency-Key": key + "k"}), 422, "invalid")
    assert reviewed(note="n" * 2000, by="b" * 60).status_code == 201
    for body in ({"note": "n" * 2001}, {"by": "b" * 61}, {"by": ""}, {"note": "a\0"}, {"x": 1}):
        check_error(reviewed(**body), 422, "invalid")
    assert len(service.http.get(f"/v1/inspections/{number}/reviews").json()["reviews"]) == 1
    assert service.http.get("/v1/inspections?limit=1000").status_code == 200
    check_error(service.http.get("/v1/inspections?limit=1001"), 422, "invalid")


def test_a_token_ends_when_it_expires_though_it_was_known_a_moment_before(tmp_path):
    with records_of(tmp_path / "data") as records:
        expires = datetime.now(timezone.utc) + timedelta(seconds=0.7)
        short = records.add_token("short", "operator", expires)
        lasting = records.add_token("lasting", "admin", expires + timedelta(days=1))
        book = TokenBook(records)
        assert book.caller_of(short).name == "short"
        assert book.caller_of(lasting).role == "admin"
        time.sleep(max((expires - datetime.now(timezone.utc)).total_seconds(), 0) + 0.01)
        assert book.caller_of(short) is None
        assert book.caller_of(lasting).name == "lasting"


@pytest.fixture(scope="module")
def secured(fitted, tmp_path_factory):
    """A service with a token, whose log is JSON."""
    folder = tmp_path_factory.mktemp("secured")
    secret = make_token(folder / "data", "eva", "admin")
    with Running(folder / "data", fitted, "--log-json") as running:
        running.secret, running.own = secret, bearer(secret)
        yield running


def test_a_token_that_another_process_revokes_is_refused_after_a_moment(secured):
    with records_of(secured.data) as records:
        other = bearer(records.add_token("other", "operator"))
        assert secured.http.get("/v1/products", headers=other).status_code == 200
        assert records.revoke_token("other")
    wait_until(
        lambda: secured.http.get("/v1/products", headers=other).status_code == 401,
        "the end of the token",
        10.0,
    )
    assert secured.http.get("/v1/products", headers=secured.own).status_code == 200


def test_wrong_tokens_are_counted_by_their_address(secured):
    def asked_from(address):
        transport = httpx.HTTPTransport(local_address=address)
        with httpx.Client(base_url=secured.url, transport=transport) as client:
            return client.get("/v1/products", headers=bearer("pb_wrong"))

    statuses = [asked_from("127.0.0.2").status_code for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    check_error(asked_from("127.0.0.3"), 401, "unauthorized")


@pytest.mark.parametrize("role", ["operator", "engineer"])
def test_a_role_is_not_raised_by_what_a_request_says(secured, role):
    made = secured.http.post(
        "/v1/tokens", json={"name": f"a-{role}", "role": role}, headers=secured.own
    )
    own = bearer(made.json()["token"])
    for headers in (own, own | {"X-Role": "admin"}, own | {"Host": "localhost"}):
        check_error(secured.http.get("/v1/audit", headers=headers), 403, "forbidden")
    error = check_error(secured.http.delete("/v1/tokens/eva", headers=own), 403)
    assert f"'a-{role}' with the role {role}" in error["message"]


def test_a_log_has_one_line_for_each_request_and_no_secret_in_any(secured):
    secret = "pb_" + "s3cret" * 6
    asked = [
        ("/v1/products", {"headers": bearer(secret)}),
        (f"/v1/inspections?cursor={secret}", {"headers": secured.own}),
        ("/v1/%0aerror:%20forged%1b[31m%e2%80%ae", {"headers": secured.own}),
        ("/v1/products", {"headers": {**secured.own, "Cookie": secret, "X-Token": secret}}),
    ]
    secured.http.get("/v1/the-line-before")  # those of other tests come before it
    wait_until(lambda: "the-line-before" in secured.log, "the line before")
    begin = len(secured.lines)
    for path, options in asked:
        secured.http.get(path, **options)
    posted = secured.http.post(
        "/v1/inspections", content=SENT, headers=secured.own, params={"serial_number": secret}
    )
    assert posted.status_code == 200
    wait_until(lambda: len(secured.lines) >= begin + 5, "the lines")
    lines = [json.loads(line) for line in secured.lines[begin:]]
    assert [(one["method"], one["status"], one["by"]) for one in lines] == [
        ("GET", 401, None),
        ("GET", 422, "eva"),
        ("GET", 404, None),
        ("GET", 200, "eva"),
        ("POST", 200, "eva"),
    ]
    assert {one["address"] for one in lines} == {"127.0.0.1"}
    assert secret not in secured.log
    assert secured.secret not in secured.log
    assert not re.search(r"[\x00-\x1f\x7f\u202e]", "".join(secured.lines))


def test_a_log_of_text_cannot_be_forged_by_a_path(service):
    begin = len(service.lines)
    check_error(service.http.get("/v1/%0a2026-01-01T00:00:00Z%20error:%20x%1b[31m%e2%80%ae"), 404)
    assert service.http.get("/v1/products").status_code == 200
    wait_until(lambda: len(service.lines) >= begin + 2, "the lines")
    first, second = service.lines[begin:]
    assert re.fullmatch(r"\S+Z info: GET /v1/.* 404 .* ms", first)
    assert re.fullmatch(r"\S+Z info: GET /v1/products 200 \S+ ms", second)
    assert not re.search(r"[\x00-\x1f\x7f\u202e]", first)


def figures(service, **options):
    """Values by name and labels."""
    text = service.http.get("/metrics", **options).text
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_figures_are_those_of_what_came_on_record(detector_file, tmp_path):
    with Running(tmp_path / "data", detector_file) as running:
        found = [running.inspect(png(seed)).json() for seed in (1, 2, 3)]
        key = {"headers": {"Idempotency-Key": "once"}}
        found += [running.inspect(png(203, defect=9), **key).json() for _ in range(2)][:1]
        check_error(running.inspect(b"no image"), 422, "unread")
        other = sqlite3.connect(running.data / "records.sqlite", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        check_error(running.inspect(png(4), headers={"Idempotency-Key": "4"}), 503, "not_recorded")
        other.execute("ROLLBACK")
        other.close()
        found.append(running.inspect(png(4), headers={"Idempotency-Key": "4"}).json())
        for decision in ("unsure", "false_alarm", "false_alarm"):
            running.http.post("/v1/inspections/4/review", json={"decision": decision})
        check_error(running.http.get("/v1/inspections/99"), 404)
        seen = figures(running)
        on_record = running.http.get("/v1/inspections").json()["inspections"]
    product = ("product", "parts")
    for verdict in ("good", "anomalous", "unread"):
        number = sum(one["verdict"] == verdict for one in on_record)
        assert seen["patchbank_verdicts_total", product, ("verdict", verdict)] == number > 0
    ratios = np.array([one["score"] / one["threshold"] for one in found])
    assert seen["patchbank_score_ratio_count", product] == len(ratios) == 5
    assert seen["patchbank_score_ratio_sum", product] == pytest.approx(ratios.sum())
    for limit in ("0.5", "1.0", "2.0"):
        bucket = seen["patchbank_score_ratio_bucket", ("le", limit), product]
        assert bucket == (ratios <= float(limit)).sum()
    assert seen["patchbank_inspection_seconds_count", product] == 7
    assert seen["patchbank_reviews_total", ("decision", "false_alarm")] == 2
    assert seen["patchbank_reviews_total", ("decision", "unsure")] == 1
    route = ("method", "POST"), ("route", "/v1/inspections")
    statuses = {"200": 6, "422": 1, "503": 1}
    for status, number in statuses.items():
        assert seen[("patchbank_requests_total", *route, ("status", status))] == number
    assert seen[("patchbank_request_seconds_count", *route)] == sum(statuses.values())
    missing = ("method", "GET"), ("route", "/v1/inspections/{number}"), ("status", "404")
    assert seen[("patchbank_requests_total", *missing)] == 1
    assert seen["patchbank_products_in_memory",] == 1
    assert seen["patchbank_waiting",] == 0


def test_what_came_on_record_before_is_not_counted_again(tmp_path):
    metrics = Metrics()
    with records_of(tmp_path / "data") as records:
        for _ in range(3):
            metrics.recorded(records.add([inspection(1, idempotency_key="once")]))
    assert b'verdicts_total{product="bolts",verdict="good"} 1.0' in metrics.text()


PICTURES = ("photograph", "overlay", "map", "explanation", "crops/0")


def test_pictures_beyond_their_age_are_gone_and_the_records_stay(detector_file, tmp_path):
    data, options = tmp_path / "data", ("--keep-good", "1", "--pictures-days", "2")
    with Running(data, detector_file, *options) as running:
        old = [running.inspect(one).json() for one in (SENT, png(203, defect=9))]
        assert running.stop() == 0
    past = time.time() - 2.1 * 86_400
    for picture in (data / "pictures").rglob("*.*"):
        os.utime(picture, (past, past))
    with Running(data, detector_file, *options) as running:
        wait_until(lambda: "pictures: deleted 4," in running.log, "the line about pictures")
        new = running.inspect(png(2)).json()
        for one in old:
            for picture in PICTURES:
                error = check_error(
                    running.http.get(f"{one['links']['self']}/{picture}"), 410, "gone"
                )
                assert f"inspection {one['id']}" in error["message"]
            assert running.http.get(one["links"]["self"]).json() == one
            update = {"reason": "x", "good": [one["id"]]}
            check_error(running.http.post("/v1/products/parts/update", json=update), 410, "gone")
        for picture in PICTURES[:4]:
            assert running.http.get(f"{new['links']['self']}/{picture}").status_code == 200
        lines = running.http.get("/v1/records/export?format=jsonl").text.splitlines()
        assert [json.loads(line)["id"] for line in lines] == [1, 2, 3]


def test_good_photographs_that_were_never_kept_are_said_to_be_so(limited):
    content = limited.http.post("/v1/inspections", content=SENT).json()
    assert content["verdict"] == "good"
    assert content["links"]["photograph"] is content["links"]["overlay"] is None
    for picture in PICTURES:
        path = f"{content['links']['self']}/{picture}"
        check_error(limited.http.get(path), 404, "not_kept")
    update = {"reason": "x", "good": [content["id"]]}
    check_error(limited.http.post("/v1/products/parts/update", json=update), 404, "not_kept")


@pytest.mark.parametrize("defect", [0, 9])
def test_pictures_are_the_bytes_that_the_library_makes(service, fitted, defect):
    sent = png(720, defect=defect)
    detector = load(fitted)
    outcome = detector.predict(sent, keep_image=True)
    content = service.inspect(sent).json()
    assert content["anomalous"] == outcome.is_anomalous == (defect > 0)
    overlay, anomaly_map = (service.http.get(content["links"][one]) for one in ("overlay", "map"))
    stream = io.BytesIO()
    Image.fromarray(outcome.overlay()).save(stream, "JPEG", quality=90)
    assert overlay.content == stream.getvalue()
    assert anomaly_map.content == map_png(outcome.anomaly_map)
    levels = np.asarray(Image.open(io.BytesIO(anomaly_map.content)))
    assert levels.shape == (72, 104)
    assert (levels.min(), levels.max()) == (0, 65535)
    explained = service.http.get(content["links"]["explanation"]).json()
    expected = json.loads(json.dumps(outcome.explain().to_json()))
    own = {"inspection", "crops"}
    assert {k: v for k, v in explained.items() if k not in own} == expected
    for crop in explained["crops"]:
        found = service.http.get(crop)
        assert found.headers["content-type"] == "image/png"
        assert Image.open(io.BytesIO(found.content)).size > (0, 0)


def test_a_picture_that_was_kept_and_is_lost_is_made_again_with_the_same_bytes(service):
    content = service.inspect(png(721, defect=9)).json()
    before = [service.http.get(content["links"][one]).content for one in ("overlay", "map")]
    removed = 0
    for file in (service.data / "pictures").rglob("*.*"):
        if file.read_bytes() in before:
            file.unlink()
            removed += 1
    assert removed == 2
    after = [service.http.get(content["links"][one]).content for one in ("overlay", "map")]
    assert after == before
