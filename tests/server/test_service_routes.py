"""Every route of the service over real HTTP: what it answers, and that it is on record."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import httpx
import jsonschema
import numpy as np
import pytest
from PIL import Image

from patchbank.detector.loading import load
from tests.server.services import check_error, png

pytestmark = pytest.mark.serve
SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"


def schema(name):
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text())


def inspected(service, **options):
    response = service.inspect(png(**options))
    assert response.status_code == 200, response.text
    return response.json()


def test_an_inspection_is_the_line_of_predict_and_what_is_on_record(service, fitted):
    sent = png(201, defect=9)
    response = service.inspect(
        sent,
        "17.png",
        product="parts",
        serial_number="A-1",
        lot="L1",
        station="s",
        shift="late",
        operator="eva",
        camera="top",
    )
    assert response.status_code == 200
    content = response.json()
    jsonschema.validate(content, schema("inspection"))
    jsonschema.validate(content, schema("predict"))
    expected = load(fitted).predict(sent).to_json() | {"image": "17.png"}
    assert {key: content[key] for key in expected} == expected
    assert content["verdict"] == "anomalous"
    assert content["detector_sha256"] == load(fitted).sha256
    assert (content["serial_number"], content["lot"], content["operator"]) == ("A-1", "L1", "eva")
    assert (content["source"], content["by"]) == ("http", "local")
    assert response.headers["location"] == content["links"]["self"]
    assert service.http.get(content["links"]["self"]).json() == content


def test_the_bytes_of_a_photograph_are_a_body_as_well(service):
    sent = png(101)
    response = service.http.post(
        "/v1/inspections",
        params={"product": "parts", "name": "raw.png", "lot": "L2"},
        content=sent,
        headers={"Content-Type": "image/png"},
    )
    assert response.status_code == 200
    assert response.json()["image"] == "raw.png"
    assert response.json()["lot"] == "L2"
    assert response.json()["score"] == inspected(service, seed=101)["score"]


def test_several_photographs_are_answered_in_their_order_and_a_bad_one_has_an_error(service):
    files = [
        ("image", ("a.png", png(1))),
        ("image", ("b.png", b"no image")),
        ("image", ("c.png", png(202, defect=9))),
    ]
    response = service.http.post("/v1/inspections", files=files, data={"lot": "batch"})
    assert response.status_code == 200
    items = response.json()["inspections"]
    assert [one["image"] for one in items] == ["a.png", "b.png", "c.png"]
    assert [one["verdict"] for one in items] == ["good", "unread", "anomalous"]
    assert items[1]["error"].startswith("b.png: expected ")
    assert items[1]["anomalous"] is None


def test_a_photograph_that_cannot_be_read_is_an_error_that_is_on_record(service):
    error = check_error(service.inspect(b"\x89PNG damaged", "broken.png", lot="L9"), 422, "unread")
    assert error["message"].startswith("broken.png: expected ")
    recorded = service.http.get(f"/v1/inspections/{error['inspection']}").json()
    assert (recorded["verdict"], recorded["anomalous"], recorded["lot"]) == ("unread", None, "L9")
    assert recorded["error"] == error["message"]
    kept = service.http.get(recorded["links"]["photograph"])
    assert kept.content == b"\x89PNG damaged"
    assert kept.headers["content-type"] == "application/octet-stream"
    check_error(service.http.get(f"/v1/inspections/{recorded['id']}/overlay"), 404, "unread")


def test_pictures_of_a_flagged_photograph_are_kept(service, fitted):
    sent = png(203, defect=9)
    content = service.inspect(sent).json()
    kept = service.http.get(content["links"]["photograph"])
    assert (kept.content, kept.headers["content-type"]) == (sent, "image/png")
    overlay = service.http.get(content["links"]["overlay"])
    drawn = load(fitted).predict(sent, keep_image=True).overlay()
    shown = np.asarray(Image.open(io.BytesIO(overlay.content)).convert("RGB"))
    assert shown.shape == drawn.shape
    assert np.abs(shown.astype(int) - drawn).mean() < 3  # JPEG
    assert "immutable" in overlay.headers["cache-control"]


@pytest.mark.parametrize("defect", [0, 9])
def test_a_map_has_sixteen_bits_and_says_its_range(service, fitted, defect):
    sent = png(204, defect=defect)
    content = service.inspect(sent).json()
    response = service.http.get(content["links"]["map"])
    low, high = float(response.headers["x-map-low"]), float(response.headers["x-map-high"])
    levels = np.asarray(Image.open(io.BytesIO(response.content))).astype(np.float64)
    expected = load(fitted).predict(sent).anomaly_map
    assert levels.shape == expected.shape == (72, 104)
    assert (low, high) == (expected.min(), expected.max())
    np.testing.assert_allclose(
        low + levels / 65535 * (high - low), expected, atol=(high - low) / 65535
    )


def test_an_explanation_has_the_odd_spots_of_the_library_and_a_crop_of_each(service, fitted):
    sent = png(205, defect=9)
    content = service.inspect(sent).json()
    made = service.http.get(content["links"]["explanation"]).json()
    expected = load(fitted).predict(sent).explain().to_json()
    assert made["spots"] == json.loads(json.dumps(expected["spots"]))
    assert len(made["crops"]) == len(made["spots"]) > 0
    crop = Image.open(io.BytesIO(service.http.get(made["crops"][0]).content))
    assert crop.format == "PNG"
    assert crop.width >= crop.height
    check_error(service.http.get(f"{content['links']['self']}/crops/{len(made['crops'])}"), 404)


def test_reviews_are_added_and_the_latest_counts(service):
    number = inspected(service, seed=206, defect=9)["id"]
    path = f"/v1/inspections/{number}/review"
    first = service.http.post(path, json={"decision": "unsure"})
    assert first.status_code == 201
    second = service.http.post(
        path, json={"decision": "confirmed_defect", "note": "a blot", "by": "eva"}
    )
    assert second.json()["by"] == "eva (local)"
    found = service.http.get(f"/v1/inspections/{number}/reviews").json()["reviews"]
    assert [one["decision"] for one in found] == ["unsure", "confirmed_defect"]
    assert service.http.get(f"/v1/inspections/{number}").json()["review"] == "confirmed_defect"
    error = check_error(service.http.post(path, json={"decision": "maybe"}), 422, "invalid")
    words = "'confirmed_defect', 'false_alarm', 'unsure' or 'withdrawn'"
    assert error["message"] == f"decision: expected {words}, got 'maybe'"
    headers = {"content-type": "application/json"}
    check_error(service.http.post(path, content=b"[", headers=headers), 422)
    wrong = service.http.get("/v1/inspections", params={"min_score": "abc"})
    assert check_error(wrong, 422)["message"] == "min_score: expected a valid number, got 'abc'"
    check_error(
        service.http.post("/v1/inspections/999999/review", json={"decision": "unsure"}), 404
    )


def test_inspections_are_listed_newest_first_in_pages_that_a_filter_chooses(service):
    numbers = [
        service.inspect(png(300 + n), lot="paged", serial_number=str(n)).json()["id"]
        for n in range(5)
    ]
    first = service.http.get("/v1/inspections", params={"lot": "paged", "limit": 3}).json()
    jsonschema.validate(first["inspections"][0], schema("inspection"))
    rest = service.http.get(
        "/v1/inspections", params={"lot": "paged", "limit": 3, "cursor": first["cursor"]}
    ).json()
    found = [one["id"] for one in [*first["inspections"], *rest["inspections"]]]
    assert found == numbers[::-1]
    assert rest["cursor"] is None
    one = service.http.get("/v1/inspections", params={"serial_number": "3", "lot": "paged"}).json()
    assert [each["id"] for each in one["inspections"]] == [numbers[3]]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("seriel_number=3", "query: expected one of"),
        ("lot=a&lot=b", "lot: expected once"),
        ("limit=x", "limit: expected a valid integer"),
        ("limit=0", "limit: expected greater than or equal to 1"),
        ("verdict=bad", "verdict: expected 'good', 'anomalous' or 'unread'"),
        ("since=2026-01-01T25:00:00", "since: expected"),
        ("cursor=%20!", "cursor: expected"),
    ],
)
def test_a_query_that_is_not_understood_is_refused(service, query, message):
    error = check_error(service.http.get(f"/v1/inspections?{query}"), 422, "invalid")
    assert error["message"].startswith(message)


def test_products_and_their_detectors_are_listed(service, fitted):
    sha256 = load(fitted).sha256
    product = service.http.get("/v1/products/parts").json()
    assert service.http.get("/v1/products").json() == {"products": [product]}
    assert (product["product"], product["detector_sha256"]) == ("parts", sha256)
    assert product["threshold"] == load(fitted).calibration.threshold
    assert product["error"] is None
    (entry,) = service.http.get("/v1/products/parts/detectors").json()["detectors"]
    assert (entry["sha256"], entry["action"], entry["is_available"]) == (sha256, "served", True)
    assert service.http.get("/v1/products/parts/history").json()["entries"] == []
    check_error(service.http.get("/v1/products/nuts"), 404, "unknown_product")
    check_error(service.inspect(png(), product="nuts"), 404, "unknown_product")


def test_statistics_count_what_was_inspected(service):
    for seed in (1, 2):
        service.inspect(png(seed), lot="counted", shift="early")
    service.inspect(png(207, defect=9), lot="counted", shift="late")
    found = service.http.get("/v1/statistics", params={"by": "lot"}).json()
    (group,) = [one for one in found["groups"] if one["group"] == "counted"]
    assert (group["good"], group["anomalous"], group["unread"]) == (2, 1, 0)
    check_error(service.http.get("/v1/statistics", params={"zone": "Mars/Olympus"}), 422)


def test_drift_and_lots_are_questions_about_the_records(service):
    for seed in range(4):
        service.inspect(png(400 + seed), lot="state")
    statement = service.http.get("/v1/lots/state", params={"product": "parts"}).json()
    assert (statement["lot"], statement["photographs"]) == ("state", 4)
    drift = service.http.get("/v1/drift", params={"product": "parts"}).json()
    assert drift["product"] == "parts"
    assert drift["parts"] >= 4
    check_error(service.http.get("/v1/lots/none", params={"product": "parts"}), 404)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_export_has_every_inspection_once(service, form):
    service.inspect(png(1), lot="=1+1")
    response = service.http.get("/v1/records/export", params={"format": form})
    assert response.status_code == 200
    if form == "csv":
        assert response.content.startswith(b"\xef\xbb\xbf")
        rows = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))
        assert not any(row["lot"].startswith("=") for row in rows)
    else:
        rows = [json.loads(line) for line in response.text.splitlines()]
    numbers = [int(row["id"]) for row in rows]
    assert numbers == sorted(set(numbers))
    newest = service.http.get("/v1/inspections", params={"limit": 1}).json()["inspections"][0]["id"]
    assert numbers[-1] == newest


def test_the_service_says_how_it_is(service):
    assert service.http.get("/health").json() == {"status": "alive"}
    assert service.http.get("/ready").json() == {"status": "ready"}
    status = service.http.get("/v1/status").json()
    assert (status["ready"], status["reasons"], status["waiting"]) == (True, [], 0)
    assert status["products"] == [{"product": "parts", "in_memory": True, "error": None}]
    assert "patchbank" in service.http.get("/").json()


def test_figures_count_requests_verdicts_and_reviews(service):
    service.inspect(png(208, defect=9))
    text = service.http.get("/metrics").text
    assert 'patchbank_verdicts_total{product="parts",verdict="anomalous"}' in text
    assert 'route="/v1/inspections",status="200"' in text
    assert "patchbank_score_ratio_bucket" in text
    assert "patchbank_waiting 0.0" in text
    service.http.get("/no/such/path")
    assert 'route="other",status="404"' in service.http.get("/metrics").text


def test_the_document_has_every_route_with_its_role_and_an_example(service):
    document = service.http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.")
    post = document["paths"]["/v1/inspections"]["post"]
    assert post["x-role"] == "operator"
    answer = post["responses"]["200"]["content"]["application/json"]
    jsonschema.validate(answer["example"], schema("inspection"))
    assert set(post["requestBody"]["content"]) == {
        "multipart/form-data",
        "application/octet-stream",
        "application/json",
    }
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["x-role"] in ("public", "operator", "engineer", "admin"), path
            assert operation["summary"], (path, method)


def test_errors_of_the_framework_have_the_shape_of_all(service):
    check_error(service.http.get("/nothing"), 404, "not_found")
    check_error(service.http.get("/v1/inspections/"), 404, "not_found")
    refused = service.http.delete("/v1/inspections")
    check_error(refused, 405, "method_not_allowed")
    check_error(service.http.get("/v1/inspections/abc"), 422, "invalid")
    check_error(
        service.http.post(
            "/v1/inspections", content=b"{", headers={"Content-Type": "application/json"}
        ),
        400,
        "bad_request",
    )
    check_error(
        service.http.post(
            "/v1/products/parts/tune", content=b"{", headers={"Content-Type": "application/json"}
        ),
        422,
    )


def test_what_is_no_http_is_answered_in_the_same_shape(service):
    import socket

    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(b"\x16\x03\x01 no http\r\n\r\n")
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["error"]["status"] == 400


def test_answers_have_security_headers_and_allow_no_other_site(service):
    response = service.http.get("/v1/products", headers={"Origin": service.url})
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert response.headers["cache-control"] == "no-store"
    assert "server" not in response.headers
    assert not [name for name in response.headers if name.startswith("access-control")]
    check_error(service.http.options("/v1/products"), 405)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"files": {"picture": ("a.png", b"x")}}, "part: expected photographs as 'image'"),
        ({"files": {"image": ("a.png", b"x")}, "data": {"seriel": "1"}}, "part: expected one of"),
        ({"data": {"lot": "1"}, "files": {}}, None),
        (
            {"files": {"image": ("a.png", b"x")}, "data": {"lot": "x" * 201}},
            "lot: expected at most",
        ),
        ({"files": {"image": ("a.png", b"x")}, "data": {"lot": "a\0b"}}, "lot: expected text"),
        (
            {"files": {"image": ("a.png", b"x")}, "data": {"lot": "1"}, "params": {"lot": "2"}},
            "lot: expected it in the query or",
        ),
    ],
)
def test_a_form_that_is_not_understood_is_refused_and_nothing_is_recorded(service, parts, message):
    before = service.http.get("/v1/inspections", params={"limit": 1}).json()["inspections"]
    response = service.http.post("/v1/inspections", **parts)
    if message is None:  # a form without files is sent as another type, whose body is no photograph
        check_error(response, 422, "unread")
        return
    assert check_error(response, 422)["message"].startswith(message)
    after = service.http.get("/v1/inspections", params={"limit": 1}).json()["inspections"]
    assert before == after


def test_a_damaged_form_is_refused(service):
    response = service.http.post(
        "/v1/inspections",
        content=b"--x\r\nnothing",
        headers={"Content-Type": "multipart/form-data; boundary=y"},
    )
    check_error(response, 400, "bad_request")
    response = service.http.post(
        "/v1/inspections", content=b"", headers={"Content-Type": "multipart/form-data"}
    )
    assert check_error(response, 400)["message"].startswith("body: expected a form")


def test_a_stored_photograph_is_not_overwritten_by_its_name(service):
    content = service.inspect(png(209, defect=9), "../../../../etc/passwd").json()
    assert content["image"] == "../../../../etc/passwd"
    names = {file.name for file in service.data.rglob("*") if file.is_file()}
    assert "passwd" not in names
    kept = service.http.get(content["links"]["photograph"])
    assert kept.status_code == httpx.codes.OK
