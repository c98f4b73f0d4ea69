"""A preview of an update says what the update does, and changes nothing."""

from __future__ import annotations

import hashlib
import shutil
import threading

import pytest

from patchbank.detector.loading import load
from tests.server.services import Running, bearer, check_error, make_token, png

pytestmark = pytest.mark.serve
PREVIEW = "/v1/products/parts/update/preview"


@pytest.fixture(scope="module")
def filled(fitted, tmp_path_factory):
    """A service that has inspected good parts and flagged ones, a third of the good not kept."""
    folder = tmp_path_factory.mktemp("preview")
    file = shutil.copy(fitted, folder / "parts.patchbank")
    with Running(folder / "data", file, "--keep-good", "0.7") as running:
        running.file = file
        for seed in range(20):
            running.inspect(png(seed + 100))
        running.flagged = [running.inspect(png(300 + n, defect=5 + n)).json() for n in range(5)]
        running.inspect(b"no photograph")
        yield running


def previewed(running, **request) -> dict:
    """The job of a preview once it is over."""
    answer = running.http.post(PREVIEW, json=request)
    assert answer.status_code == 201, answer.text
    job = answer.json()
    assert (job["kind"], job["product"]) == ("preview", "parts")
    for _ in range(3000):
        if job["state"] in ("done", "failed", "cancelled"):
            return job
        threading.Event().wait(0.02)
        job = running.http.get(f"/v1/jobs/{job['id']}").json()
    raise AssertionError(job)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def photograph(running, one):
    return running.http.get(f"/v1/inspections/{one['id']}/photograph")


def test_a_preview_names_each_part_whose_verdict_the_update_changes(filled):
    http, taught = filled.http, filled.flagged[1]
    # Most of the parts were inspected by a detector with another threshold.
    tuned = {"threshold": taught["threshold"] * 0.999, "reason": "another threshold"}
    assert http.post("/v1/products/parts/tune", json=tuned).status_code == 200
    filled.inspect(png(310, defect=6))
    before, file_before = load(filled.file), digest(filled.file)
    lesson = {"normal": [{"inspection": taught["id"]}], "must_find": []}
    job = previewed(filled, **lesson)
    assert job["state"] == "done", job
    result = job["result"]
    assert digest(filled.file) == file_before
    assert result["detector_sha256"] == before.sha256
    assert result["refusal"] is None
    assert result["threshold_after"] == result["threshold_before"] == before.calibration.threshold

    assert any("passes now" in line for line in result["lines"])
    applied = lesson | {"reason": "a mark is normal", "detector_sha256": before.sha256}
    assert http.post("/v1/products/parts/update", json=applied).status_code == 200
    after, expected, n_kept = load(filled.file), {}, 0
    for one in filled.on_record():
        sent = photograph(filled, one)
        if one["verdict"] == "unread" or sent.status_code == 404:
            continue
        n_kept += 1
        old, new = before.predict(sent.content), after.predict(sent.content)
        if old.is_anomalous != new.is_anomalous:
            verdict = "anomalous" if new.is_anomalous else "good"
            expected[one["id"]] = (verdict, old.score, new.score)
    changes = result["changes"]
    found = {
        one["inspection"]: (one["verdict"], one["score_before"], one["score_after"])
        for one in changes
    }
    assert found == {
        number: (verdict, pytest.approx(old, rel=1e-5), pytest.approx(new, rel=1e-5))
        for number, (verdict, old, new) in expected.items()
    }
    assert len(found) >= 1
    assert [one["inspection"] for one in changes if one["is_taught"]] == [taught["id"]]
    judged = result["judged"]
    assert judged["parts"] == len(filled.on_record())
    assert judged["unread"] == 1
    assert judged["by_law"] >= 15  # also good ones that are not kept
    assert judged["inspected"] >= len(filled.flagged)
    assert judged["parts"] == sum(judged[n] for n in ("by_law", "inspected", "not_kept", "unread"))
    assert n_kept < judged["by_law"] + judged["inspected"]

    stale = http.post("/v1/products/parts/update", json=applied)
    error = check_error(stale, 409, "changed_meanwhile")
    assert "expected the detector of the preview" in error["message"]


def test_a_refusal_of_the_guard_is_foreseen(filled):
    defect = filled.flagged[4]
    confirmed = {"decision": "confirmed_defect"}
    assert filled.http.post(defect["links"]["review"], json=confirmed).status_code == 201
    audit = filled.http.get("/v1/audit").json()["audit"][0]["number"]
    job = previewed(filled, normal=[{"inspection": defect["id"]}])
    result = job["result"]
    assert result["refusal"]["lost"] == [f"{defect['id']}-part.png"]
    (own,) = [one for one in result["changes"] if one["is_taught"]]
    assert (own["inspection"], own["verdict"]) == (defect["id"], "good")
    assert own["review"] == "confirmed_defect"
    assert filled.http.get("/v1/audit").json()["audit"][0]["number"] == audit


def test_what_cannot_be_learned_is_said_by_the_job_or_at_once(filled):
    kept = [one for one in filled.on_record() if photograph(filled, one).status_code == 200]
    good = next(one for one in kept if one["verdict"] == "good")
    job = previewed(filled, normal=[{"inspection": good["id"]}], must_find=[])
    assert job["state"] == "failed"
    assert "expected photographs that are flagged" in job["error"]
    for body, status in (
        ({"normal": [{"inspection": 999}]}, 422),
        ({"normal": "all"}, 422),
        ({"reason": ""}, 422),
        ({"detector_sha256": "x"}, 422),
    ):
        check_error(filled.http.post(PREVIEW, json=body), status)
    check_error(filled.http.post("/v1/products/none/update/preview", json={}), 404)


def test_an_operator_looks_at_no_preview(fitted, tmp_path):
    secret = make_token(tmp_path / "data", "press", "operator")
    with Running(tmp_path / "data", fitted) as running:
        answer = running.http.post(PREVIEW, json={}, headers=bearer(secret))
        check_error(answer, 403, "forbidden")
