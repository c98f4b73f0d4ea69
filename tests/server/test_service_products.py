"""Detectors of products: changed by requests and on disk, without a request that fails."""

from __future__ import annotations

import hashlib
import shutil
import threading

import httpx
import numpy as np
import pytest

from patchbank.detector.loading import load
from patchbank.errors import DataError
from patchbank.server.service.versions import check_name
from tests.photographs import part
from tests.server.real_servers import wait_until
from tests.server.services import Running, bearer, check_error, make_token, png, run

pytestmark = pytest.mark.serve


@pytest.fixture
def running(detector_file, tmp_path):
    with Running(tmp_path / "data", detector_file, "--keep-good", "1") as service:
        service.file = detector_file
        yield service


def actions(service, product="parts"):
    found = service.http.get(f"/v1/products/{product}/detectors").json()["detectors"]
    return [one["action"] for one in found]


def test_tune_replaces_the_file_and_its_threshold_is_that_of_the_library(running):
    before = load(running.file)
    response = running.http.post(
        "/v1/products/parts/tune", json={"false_alarm_rate": 0.3, "reason": "too few alarms"}
    )
    assert response.status_code == 200, response.text
    changed = response.json()
    after = load(running.file)
    assert after.calibration.threshold == before.with_false_alarm_rate(0.3).calibration.threshold
    assert changed["threshold"] == after.calibration.threshold
    assert changed["before_sha256"] == before.sha256
    assert running.inspect(png(1)).json()["threshold"] == after.calibration.threshold
    (entry,) = [e for e in after.lineage.entries if e.kind == "threshold"]
    assert (entry.reason, entry.by) == ("too few alarms", "local")
    assert actions(running) == ["tuned", "served"]
    audit = running.http.get("/v1/audit").json()["audit"]
    tuned = next(one for one in audit if one["action"] == "detector tuned")
    assert tuned["details"]["reason"] == "too few alarms"
    assert tuned["details"]["threshold_before"] == before.calibration.threshold
    history = running.http.get("/v1/products/parts/history").json()
    assert [one["kind"] for one in history["entries"]] == ["fit", "threshold"]


@pytest.mark.parametrize(
    "body",
    [
        {"reason": "x"},
        {"false_alarm_rate": 0.1},
        {"false_alarm_rate": 0.1, "reason": " "},
        {"false_alarm_rate": 0, "reason": "x"},
        {"threshold": "high", "reason": "x"},
        {"threshold": 1e300, "reason": "x"},
        {"rate": 0.1, "reason": "x"},
        {"false_alarm_rate": 0.1, "reason": "x" * 2001},
    ],
)
def test_a_change_without_sense_or_reason_changes_nothing(service, body):
    file_before = service.http.get("/v1/products/parts").json()
    check_error(service.http.post("/v1/products/parts/tune", json=body), 422)
    assert service.http.get("/v1/products/parts").json() == file_before


def test_undo_restores_the_scores_and_activate_an_earlier_detector(running):
    first = load(running.file)
    sent = png(201, defect=9)
    score = running.inspect(sent).json()
    for threshold in (1.0, 2.0):
        body = {"threshold": threshold, "reason": "by hand"}
        assert running.http.post("/v1/products/parts/tune", json=body).status_code == 200
    assert running.inspect(sent).json()["threshold"] == 2.0
    undone = running.http.post("/v1/products/parts/undo", json={"reason": "wrong"})
    assert undone.json()["threshold"] == 1.0
    activated = running.http.post(
        "/v1/products/parts/activate", json={"sha256": first.sha256, "reason": "as before"}
    )
    assert activated.json()["detector_sha256"] == first.sha256
    assert load(running.file) == first
    again = running.inspect(sent).json()
    assert (again["score"], again["threshold"]) == (score["score"], score["threshold"])
    assert actions(running) == ["activated", "undone", "tuned", "tuned", "served"]
    unknown = {"sha256": "0" * 64, "reason": "x"}
    check_error(running.http.post("/v1/products/parts/activate", json=unknown), 404)
    nowhere = {"to": 99, "reason": "x"}
    check_error(running.http.post("/v1/products/parts/undo", json=nowhere), 422, "invalid")


def test_an_explanation_of_an_old_inspection_is_by_the_detector_of_then(running):
    sent = png(101)
    old = running.inspect(sent).json()
    assert old["verdict"] == "good"
    body = {"threshold": old["score"] / 2, "reason": "test"}
    assert running.http.post("/v1/products/parts/tune", json=body).status_code == 200
    assert running.inspect(sent).json()["verdict"] == "anomalous"
    text = running.http.get(old["links"]["explanation"]).json()["text"]
    assert text.startswith("good, ")


def test_an_update_learns_what_was_a_false_alarm(running):
    odd = part(500)
    odd[20:40, 60:80] = 250
    sent = _png_of(odd)
    flagged = running.inspect(sent).json()
    assert flagged["verdict"] == "anomalous"
    request = {"normal": [{"inspection": flagged["id"]}], "reason": "a label is normal"}
    changed = running.http.post("/v1/products/parts/update", json=request)
    assert changed.status_code == 200, changed.text
    assert any("passes now" in line for line in changed.json()["lines"])
    assert running.inspect(sent).json()["verdict"] == "good"
    assert actions(running) == ["updated", "served"]
    assert [e.kind for e in load(running.file).lineage.entries] == ["fit", "normal"]


def test_an_update_that_loses_a_confirmed_defect_is_refused_and_the_refusal_is_audited(running):
    defect = png(203, defect=9)
    found = running.inspect(defect).json()
    assert found["verdict"] == "anomalous"
    review = {"decision": "confirmed_defect"}
    assert running.http.post(found["links"]["review"], json=review).status_code == 201
    digest = hashlib.sha256(running.file.read_bytes()).hexdigest()
    request = {"normal": [{"inspection": found["id"]}], "reason": "surely good"}
    error = check_error(
        running.http.post("/v1/products/parts/update", json=request), 409, "defects_lost"
    )
    assert error["lost"] == [f"{found['id']}-part.png"]
    assert hashlib.sha256(running.file.read_bytes()).hexdigest() == digest
    assert running.inspect(defect).json()["verdict"] == "anomalous"
    audit = running.http.get("/v1/audit").json()["audit"]
    assert audit[0]["action"] == "update_refused"
    forced = running.http.post("/v1/products/parts/update", json=request | {"force": True})
    assert forced.status_code == 200
    assert running.inspect(defect).json()["verdict"] == "good"


def test_good_photographs_of_a_form_are_learned(running):
    files = [("good", (f"{n}.png", png(600 + n))) for n in range(3)]
    changed = running.http.post(
        "/v1/products/parts/update",
        files=files,
        data={"request": '{"reason": "new supplier", "must_find": []}'},
    )
    assert changed.status_code == 200, changed.text
    assert len(load(running.file).fitted_on) == 11
    for bad, status in (
        ({"data": {"request": "{"}, "files": files}, 400),
        ({"data": {"request": "{}"}, "files": files}, 422),
        ({"files": files}, 422),
        ({"files": [("other", ("a.png", png(1)))]}, 422),
        ({"json": {"reason": "x", "good": [9999]}}, 422),
        ({"json": {"reason": "x"}}, 422),
    ):
        check_error(running.http.post("/v1/products/parts/update", **bad), status)


def test_uploads_replace_a_detector_and_only_an_admin_adds_a_product(fitted, tmp_path):
    data = tmp_path / "data"
    engineer = bearer(make_token(data, "eva", "engineer"))
    admin = bearer(make_token(data, "root", "admin"))
    content = fitted.read_bytes()
    reason = {"reason": "first"}
    with Running(data) as running:
        check_error(running.http.get("/ready"), 503, "not_ready")
        path = "/v1/products/nuts/detector"
        refused = running.http.put(path, params=reason, content=content, headers=engineer)
        check_error(refused, 403, "forbidden")
        made = running.http.put(path, params=reason, content=content, headers=admin)
        assert made.status_code == 200, made.text
        assert running.http.get("/ready").status_code == 200
        assert running.inspect(png(1), headers=engineer).json()["product"] == "nuts"
        damaged = running.http.put(path, params=reason, content=content[:-9], headers=engineer)
        check_error(damaged, 422, "bad_detector")
        check_error(running.http.put(path, content=content, headers=admin), 422)
        for name in ("..", "a%2Fb", "%2e%2e", "-x", "x" * 101):
            bad = running.http.put(
                f"/v1/products/{name}/detector", params=reason, content=content, headers=admin
            )
            assert bad.status_code in (404, 405, 422), name
        changed = running.http.put(
            path, params=reason, content=_tuned(fitted, tmp_path, 1.5), headers=engineer
        )
        assert changed.json()["threshold"] == 1.5
        assert running.stop() == 0
    assert [file.name for file in (data / "detectors").iterdir()] == ["nuts.patchbank"]
    with Running(data) as running:
        found = running.http.get("/v1/products", headers=admin).json()["products"]
        assert [(one["product"], one["threshold"]) for one in found] == [("nuts", 1.5)]


def test_a_detector_that_is_replaced_under_load_fails_no_request(running, fitted, tmp_path):
    other = _tuned(fitted, tmp_path, 3.25)
    answers, stop = [], threading.Event()

    def load_it(seed):
        with httpx.Client(base_url=running.url, timeout=60) as client:
            while not stop.is_set():
                answers.append(client.post("/v1/inspections", content=png(seed)))

    threads = [threading.Thread(target=load_it, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(answers) > 5, "answers")
    fresh = tmp_path / "fresh"
    fresh.write_bytes(other)
    fresh.replace(running.file)
    wait_until(lambda: answers[-1].json().get("threshold") == 3.25, "the new detector in an answer")
    stop.set()
    for thread in threads:
        thread.join()
    assert {one.status_code for one in answers} == {200}
    assert len({one.json()["detector_sha256"] for one in answers}) == 2
    assert actions(running) == ["replaced", "served"]


def test_a_damaged_file_leaves_the_detector_before_in_use_and_is_said(running):
    whole = running.file.read_bytes()
    running.file.write_bytes(whole[: len(whole) // 2])

    def error():
        return running.http.get("/v1/products/parts").json()["error"]

    wait_until(error, "the error of the file")
    assert "expected a whole detector file" in error()
    assert running.inspect(png(1)).status_code == 200
    assert running.http.get("/v1/status").json()["products"][0]["error"] == error()
    check_error(
        running.http.post("/v1/products/parts/tune", json={"threshold": 1.0, "reason": "x"}), 422
    )
    running.file.unlink()
    wait_until(lambda: "nothing of that name" in (error() or ""), "the missing file")
    assert running.inspect(png(1)).status_code == 200
    running.file.write_bytes(whole)
    wait_until(lambda: error() is None, "the file that is whole again")


def test_a_command_that_changes_the_file_at_the_same_time_is_seen(running):
    done = run("tune", running.file, "--threshold", "2.5", "--reason", "by hand")
    assert done.returncode == 0
    changed = running.http.post(
        "/v1/products/parts/tune", json={"pixel_threshold": 9.0, "reason": "both"}
    ).json()
    assert changed["threshold"] == 2.5
    after = load(running.file).calibration
    assert (after.threshold, after.pixel_threshold) == (2.5, 9.0)


def test_products_beyond_the_memory_are_opened_again(fitted, tmp_path):
    files = [shutil.copy(fitted, tmp_path / f"p{n}.patchbank") for n in range(3)]
    for n, file in enumerate(files):
        _tune(file, 10.0 + n)
    size_mb = fitted.stat().st_size / 1e6
    with Running(tmp_path / "data", *files, "--products-mb", 2.5 * size_mb) as running:
        for n in (0, 1, 2, 0, 2, 1):
            answer = running.inspect(png(1), product=f"p{n}").json()
            assert answer["threshold"] == 10.0 + n
            opened = running.http.get("/v1/status").json()["products"]
            assert sum(one["in_memory"] for one in opened) == 2
        error = check_error(running.inspect(png(1)), 422)
        assert error["message"].startswith("product: expected the name of one (p0, p1, p2)")


def test_files_that_appear_in_a_folder_are_products(fitted, tmp_path):
    folder = tmp_path / "detectors"
    folder.mkdir()
    shutil.copy(fitted, folder / "bolts.patchbank")
    with Running(tmp_path / "data", folder) as running:
        shutil.copy(fitted, folder / "nuts.patchbank")
        (folder / "broken.patchbank").write_bytes(b"x")
        wait_until(
            lambda: len(running.http.get("/v1/products").json()["products"]) == 2, "a product"
        )
        assert running.inspect(png(1), product="nuts").status_code == 200
        wait_until(lambda: "no product: " in running.log, "a line about the broken file")


@pytest.mark.parametrize("name", ["a b", "größe", "", "-x", "x.", "x" * 101, "a/../b c", "a\n"])
def test_a_name_that_is_none_for_a_product_is_refused(name):
    with pytest.raises(DataError, match="expected a product name"):
        check_name(name, "file")


def test_a_file_whose_name_is_none_for_a_product_is_refused(fitted, tmp_path):
    file = shutil.copy(fitted, tmp_path / "a b.patchbank")
    done = run("serve", file, "--data", tmp_path / "data", "--port", "0")
    assert done.returncode == 2
    assert "expected a product name" in done.stderr.splitlines()[-1]


def test_a_damaged_file_of_a_folder_keeps_no_other_product_from_its_line(fitted, tmp_path):
    folder = tmp_path / "products"
    folder.mkdir()
    shutil.copy(fitted, folder / "parts.patchbank")
    (folder / "broken.patchbank").write_bytes(fitted.read_bytes()[:-9])
    with Running(tmp_path / "data", folder) as running:
        assert "no product: " in running.log
        assert running.inspect(png(1), product="parts").status_code == 200
        check_error(running.inspect(png(1), product="broken"), 404)
        shutil.copy(fitted, folder / "broken.patchbank")
        wait_until(
            lambda: running.inspect(png(1), product="broken").status_code == 200, "the product"
        )
    done = run("serve", tmp_path / "products" / "gone.patchbank", "--data", tmp_path / "data")
    assert done.returncode == 2


def test_two_files_of_one_name_are_refused(fitted, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    files = [shutil.copy(fitted, tmp_path / name / "parts.patchbank") for name in "ab"]
    done = run("serve", *files, "--data", tmp_path / "data", "--port", "0")
    assert done.returncode == 2
    assert "expected another name" in done.stderr.splitlines()[-1]


def _png_of(array):
    import io

    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.asarray(array)).save(stream, "PNG")
    return stream.getvalue()


def _tune(file, threshold):
    load(file).with_threshold(threshold).save(file)


def _tuned(fitted, folder, threshold) -> bytes:
    file = shutil.copy(fitted, folder / "tuned.patchbank")
    _tune(file, threshold)
    return (folder / "tuned.patchbank").read_bytes()
