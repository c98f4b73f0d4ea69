"""Photographs that come in: once under a key, within limits, and none lost when it stops."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.server.real_servers import wait_until
from tests.server.services import Running, check_error, png, run

pytestmark = pytest.mark.serve


def key(text):
    return {"headers": {"Idempotency-Key": text}}


def test_a_photograph_under_a_key_is_recorded_once(service):
    first = service.inspect(png(1), lot="once", **key("k1"))
    again = service.inspect(png(1), lot="once", **key("k1"))
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json() == first.json()
    found = service.http.get("/v1/inspections", params={"lot": "once"}).json()["inspections"]
    assert len(found) == 1


def test_a_key_of_another_photograph_is_refused(service):
    assert service.inspect(png(2), **key("k2")).status_code == 200
    check_error(service.inspect(png(3), **key("k2")), 422, "key_reused")


def test_an_unread_photograph_under_a_key_stays_an_error(service):
    first = check_error(service.inspect(b"bad", **key("k3")), 422, "unread")
    response = service.inspect(b"bad", **key("k3"))
    assert check_error(response, 422, "unread")["inspection"] == first["inspection"]
    assert response.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("bad", ["", "x" * 181, "größe"])
def test_a_key_is_short_printable_text(service, bad):
    headers = {"Idempotency-Key": bad.encode()}
    response = service.http.post("/v1/inspections", content=png(), headers=headers)
    check_error(response, 422, "invalid")


def test_two_at_once_under_one_key_get_the_same_record(service):
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(service.inspect, png(4), lot="two", **key("k4")) for _ in range(8)]
    answers = [one.result() for one in sent]
    assert {one.status_code for one in answers} == {200}
    assert len({one.json()["id"] for one in answers}) == 1
    assert sum("idempotent-replayed" not in one.headers for one in answers) == 1


def test_photographs_of_a_batch_have_their_own_keys(service):
    files = [("image", (f"{n}.png", png(n))) for n in range(3)]
    send = {"files": files, "headers": {"Idempotency-Key": "batch"}}
    first = service.http.post("/v1/inspections", **send).json()["inspections"]
    again = service.http.post("/v1/inspections", **send).json()["inspections"]
    assert [one["idempotency_key"] for one in first] == ["batch/0", "batch/1", "batch/2"]
    assert first == again


@pytest.fixture(scope="module")
def small(fitted, tmp_path_factory):
    """A service with low limits, and a folder of which it may read."""
    folder = tmp_path_factory.mktemp("small")
    root = folder / "root"
    (root / "inside").mkdir(parents=True)
    (root / "inside" / "a.png").write_bytes(png(1))
    (root / "text.txt").write_text("secret")
    (folder / "outside.png").write_bytes(png(2))
    (root / "link.png").symlink_to(folder / "outside.png")
    with Running(
        folder / "data",
        fitted,
        "--max-bytes",
        "60000",
        "--max-pixels",
        "9000",
        "--allow-root",
        root,
        "--keep-good",
        "0",
    ) as running:
        running.root = root
        yield running


def test_a_body_that_is_too_large_is_refused_before_it_is_read(small):
    check_error(small.http.post("/v1/inspections", content=b"x" * 60001), 413, "too_large")

    def parts():
        for _ in range(10):
            yield b"x" * 10_000

    check_error(small.http.post("/v1/inspections", content=parts()), 413, "too_large")
    check_error(small.inspect(b"x" * 70_000), 413, "too_large")
    response = small.http.post("/v1/products/parts/tune", content=b" " * 1_000_001)
    check_error(response, 413, "too_large")


def test_a_photograph_with_too_many_pixels_is_not_decoded_and_is_unread(small):
    error = check_error(small.inspect(png(size=(100, 104))), 422, "unread")
    assert "expected at most 0.009 million pixels, got 104 x 100" in error["message"]
    assert small.http.get(f"/v1/inspections/{error['inspection']}").json()["verdict"] == "unread"


def test_good_photographs_are_kept_by_their_share(small):
    content = small.inspect(png(1)).json()
    assert content["links"]["photograph"] is None
    check_error(small.http.get(f"{content['links']['self']}/photograph"), 404, "not_kept")
    check_error(small.http.get(f"{content['links']['self']}/overlay"), 404, "not_kept")
    flagged = small.inspect(png(201, defect=9)).json()
    assert small.http.get(flagged["links"]["photograph"]).status_code == 200
    files = [file for file in (small.data / "pictures").rglob("*") if file.is_file()]
    shutil.rmtree(small.data / "pictures")
    assert len(files) >= 3
    check_error(small.http.get(flagged["links"]["photograph"]), 410, "gone")
    check_error(small.http.get(flagged["links"]["overlay"]), 410, "gone")
    assert small.http.get(flagged["links"]["self"]).json() == flagged


def test_photographs_below_the_allowed_folder_are_named_by_their_paths(small):
    one = small.http.post("/v1/inspections", json={"paths": ["inside/a.png"], "lot": "p"})
    assert one.json()["image"] == "inside/a.png"
    assert one.json()["lot"] == "p"
    assert one.json()["score"] == small.inspect(png(1)).json()["score"]
    two = small.http.post("/v1/inspections", json={"paths": ["inside/a.png", "none.png"]})
    items = two.json()["inspections"]
    assert items[0]["verdict"] == "good"
    assert items[1]["error"]["status"] == 404
    absolute = str(small.root / "inside" / "a.png")
    assert small.http.post("/v1/inspections", json={"paths": [absolute]}).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("../outside.png", 403),
        ("inside/../../outside.png", 403),
        ("link.png", 403),
        ("/etc/passwd", 403),
        ("text.txt", 422),
        ("inside", 422),
        ("none.png", 404),
        ("a\0.png", 404),
        ("x" * 5000 + ".png", 404),
        ("~/a.png", 404),
    ],
)
def test_no_other_path_is_read(small, path, status):
    check_error(small.http.post("/v1/inspections", json={"paths": [path]}), status)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"paths": []},
        {"paths": "a.png"},
        {"paths": [1]},
        [],
        {"paths": ["a.png"], "seriel": "1"},
        {"paths": ["inside/a.png"], "lot": 7},
    ],
)
def test_other_json_is_refused(small, body):
    check_error(small.http.post("/v1/inspections", json=body), 422, "invalid")


def test_paths_are_refused_where_no_folder_is_allowed(service):
    response = service.http.post("/v1/inspections", json={"paths": ["a.png"]})
    check_error(response, 403, "paths_refused")


def send_all(running, seeds, **options):
    """Send photographs at once, each under its own key.  -> responses, or errors."""

    def send(seed):
        try:
            return httpx.post(
                f"{running.url}/v1/inspections",
                content=png(seed),
                headers={"Idempotency-Key": f"load/{seed}"},
                timeout=60,
            )
        except httpx.HTTPError as error:
            return error

    with ThreadPoolExecutor(len(seeds)) as pool:
        return list(pool.map(send, seeds))


def test_a_full_queue_answers_busy_and_what_was_accepted_is_answered(fitted, tmp_path):
    with Running(tmp_path / "data", fitted, "--max-queue", "2") as running:
        answers = send_all(running, range(40))
        statuses = [one.status_code for one in answers]
        assert set(statuses) == {200, 429}
        busy = next(one for one in answers if one.status_code == 429)
        check_error(busy, 429, "busy")
        assert 1 <= int(busy.headers["retry-after"]) <= 10
        found = running.http.get("/v1/inspections", params={"limit": 100}).json()["inspections"]
        assert len(found) == statuses.count(200)
        assert "patchbank_refused_total" in running.http.get("/metrics").text
        assert running.inspect(png(1)).status_code == 200


def test_a_batch_larger_than_the_queue_waits_for_room(fitted, tmp_path):
    with Running(tmp_path / "data", fitted, "--max-queue", "1") as running:
        files = [("image", (f"{n}.png", png(n))) for n in range(12)]
        items = running.http.post("/v1/inspections", files=files).json()["inspections"]
        assert [one["image"] for one in items] == [f"{n}.png" for n in range(12)]
        assert all("id" in one for one in items)


def test_an_answer_that_comes_too_late_is_recorded_and_found_by_its_key(fitted, tmp_path):
    with Running(tmp_path / "data", fitted, "--timeout-s", "0.001") as running:
        response = running.inspect(png(1), **key("late"))
        check_error(response, 503, "timeout")
        assert int(response.headers["retry-after"]) >= 1
        find = {"limit": 10}
        wait_until(
            lambda: running.http.get("/v1/inspections", params=find).json()["inspections"],
            "the record of a late inspection",
        )
        (one,) = running.http.get("/v1/inspections", params=find).json()["inspections"]
        assert one["idempotency_key"] == "late"


def test_a_service_that_is_stopped_under_load_answers_what_it_accepted(fitted, tmp_path):
    data = tmp_path / "data"
    with Running(data, fitted, "--max-queue", "100") as running:
        answers = []
        sender = threading.Thread(target=lambda: answers.extend(send_all(running, range(30))))
        sender.start()
        wait_until(
            lambda: running.http.get("/v1/status").json()["waiting"] > 3, "photographs that wait"
        )
        assert running.stop() == 0
        sender.join()
        assert "stopped: all that was accepted is on record" in running.log
    answered = [one for one in answers if isinstance(one, httpx.Response)]
    good = {one.json()["idempotency_key"] for one in answered if one.status_code == 200}
    assert {one.status_code for one in answered} <= {200, 429, 503}
    assert len(good) >= 4
    with sqlite3.connect(data / "records.sqlite") as records:
        recorded = {row[0] for row in records.execute("SELECT idempotency_key FROM inspections")}
    assert good <= recorded


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_service_that_is_stopped_ends_with_0_as_its_help_says(fitted, tmp_path, number):
    with Running(tmp_path / "data", fitted) as running:
        assert running.inspect(png(1)).status_code == 200
        running.process.send_signal(number)
        assert running.process.wait(60) == 0
    said = " ".join(run("serve", "--help").stdout.split())
    assert "0 done: " in said
    assert "serve was stopped, and all that it had accepted is on record" in said
    for status, by in ((130, "Ctrl-C"), (143, "SIGTERM")):
        assert f"{status} stopped by {by}; serve, once it was ready, ends with 0 or 1" in said


def test_a_service_that_loses_what_it_accepted_ends_with_1(fitted, tmp_path):
    with Running(tmp_path / "data", fitted, "--max-queue", "100", "--stop-s", "0.01") as running:
        large = png(1, size=(1400, 1200))
        with ThreadPoolExecutor(40) as pool:
            for _ in range(40):
                pool.submit(running.inspect, large)
            wait_until(lambda: running.http.get("/v1/status").json()["waiting"] > 20, "a crowd")
            assert running.stop() == 1
        assert "photographs were accepted and are not" in running.log


def test_a_killed_service_has_recorded_what_it_answered(fitted, tmp_path):
    data = tmp_path / "data"
    with Running(data, fitted, "--max-queue", "100", "--keep-good", "1") as running:
        answers = []
        sender = threading.Thread(target=lambda: answers.extend(send_all(running, range(30))))
        sender.start()
        wait_until(
            lambda: running.http.get("/v1/inspections").json()["inspections"], "the first record"
        )
        os.kill(running.process.pid, signal.SIGKILL)
        sender.join()
    answered = [one for one in answers if isinstance(one, httpx.Response)]
    keys = {one.json()["idempotency_key"] for one in answered if one.status_code == 200}
    with Running(data, fitted) as running:
        again = send_all(running, range(30))
        assert {one.status_code for one in again} <= {200, 429}
        found = running.http.get("/v1/inspections", params={"limit": 1000}).json()["inspections"]
        recorded = [one["idempotency_key"] for one in found]
        assert len(recorded) == len(set(recorded))
        assert keys <= set(recorded)
        for one in found:
            if one["idempotency_key"] in keys:
                assert running.http.get(one["links"]["photograph"]).status_code == 200


def test_a_locked_database_gives_no_verdict_and_recovers(fitted, tmp_path):
    data = tmp_path / "data"
    with Running(data, fitted) as running:
        assert running.inspect(png(1)).status_code == 200
        other = sqlite3.connect(data / "records.sqlite", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        response = running.inspect(png(2), **key("locked"))
        check_error(response, 503, "not_recorded")
        assert int(response.headers["retry-after"]) >= 1
        unready = running.http.get("/ready")
        check_error(unready, 503, "not_ready")
        assert running.http.get("/health").status_code == 200
        assert running.http.get("/v1/status").json()["ready"] is False
        other.execute("ROLLBACK")
        other.close()
        wait_until(lambda: running.http.get("/ready").status_code == 200, "readiness")
        answer = running.inspect(png(2), **key("locked"))
        assert answer.status_code == 200
        assert "idempotent-replayed" not in answer.headers


def test_a_disk_that_takes_no_picture_gives_no_verdict_and_recovers(fitted, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "pictures").write_text("a file where the folder should be")
    with Running(data, fitted, "--keep-good", "0") as running:
        assert running.inspect(png(1)).status_code == 200  # nothing of it is kept
        flagged = png(201, defect=9)
        check_error(running.inspect(flagged, **key("full")), 503, "not_recorded")
        check_error(running.inspect(b"bad"), 503, "not_recorded")
        assert len(running.http.get("/v1/inspections").json()["inspections"]) == 1
        (data / "pictures").unlink()
        assert running.inspect(flagged, **key("full")).json()["verdict"] == "anomalous"
        check_error(running.inspect(b"bad"), 422, "unread")


def test_readiness_says_that_the_disk_takes_no_file(fitted, tmp_path):
    with Running(tmp_path / "data", fitted) as running:
        assert running.http.get("/ready").status_code == 200
        probe = running.data / "probe"
        probe.unlink()
        probe.mkdir()  # as root, a folder is what no file can replace
        wait_until(lambda: running.http.get("/ready").status_code == 503, "the reason")
        error = check_error(running.http.get("/ready"), 503, "not_ready")
        assert "got: disk;" in error["message"]
        assert str(running.data) not in error["message"]
        (reason,) = running.http.get("/v1/status").json()["reasons"]
        assert "expected to write 65,536 bytes" in reason
        probe.rmdir()
        wait_until(lambda: running.http.get("/ready").status_code == 200, "readiness")


def test_one_folder_has_one_service(service, fitted):
    done = run("serve", fitted, "--data", service.data, "--port", "0")
    assert done.returncode == 2
    assert "expected a folder that no other service uses" in done.stderr


def test_a_port_in_use_is_said_in_one_line(service, fitted, tmp_path):
    done = run("serve", fitted, "--data", tmp_path / "data", "--port", service.port)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: --port: expected a free address")
    assert "Traceback" not in done.stderr


def test_a_log_of_json_has_the_requests_without_their_queries(fitted, tmp_path):
    with Running(tmp_path / "data", fitted, "--log-json") as running:
        running.http.get("/v1/inspections", params={"lot": "hidden"})
        running.stop()
        lines = [json.loads(line) for line in running.lines]
    (line,) = [one for one in lines if one.get("path") == "/v1/inspections"]
    assert (line["status"], line["method"], line["by"]) == (200, "GET", "local")
    assert "hidden" not in running.log
    assert time.strptime(line["time"][:19], "%Y-%m-%dT%H:%M:%S")


@pytest.mark.postgres
def test_records_in_postgresql_are_those_of_all_services_with_it(fitted, tmp_path, postgres_url):
    with (
        Running(tmp_path / "a", fitted, "--database", postgres_url) as first,
        Running(tmp_path / "b", fitted, "--database", postgres_url) as second,
    ):
        one = first.inspect(png(1), lot="both", **key("pg")).json()
        again = second.inspect(png(1), lot="both", **key("pg"))
        assert again.headers["idempotent-replayed"] == "true"
        assert again.json() == one
        other = second.inspect(png(201, defect=9), lot="both").json()
        assert other["instance"] != one["instance"]
        found = first.http.get("/v1/inspections", params={"lot": "both"}).json()["inspections"]
        assert [each["id"] for each in found] == [other["id"], one["id"]]
        assert first.http.get("/ready").status_code == 200
        assert first.stop() == second.stop() == 0
