"""What a crowd, a silent sender, a switched link or an impatient stop does to a service."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sqlite3
import threading
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import uvicorn
from sqlalchemy.engine import make_url

from patchbank.errors import DataError, ParameterError
from patchbank.server.records.database import Database
from patchbank.server.records.times import time_of, zone_of
from patchbank.server.service.errors import ApiError
from patchbank.server.service.guarding import Gate
from patchbank.server.service.pictures import MOST_WAITING, MadePictures
from patchbank.server.service.running import Protocol
from patchbank.server.service.sessions import Sessions
from patchbank.server.service.settings import root_path_of
from tests.server.real_servers import wait_until
from tests.server.services import Running, bearer, check_error, png, run

pytestmark = pytest.mark.serve


def test_two_ctrl_c_still_end_what_runs_and_the_log_tells_the_truth(fitted, tmp_path):
    with Running(tmp_path / "data", fitted, "--stop-s", "20") as running:
        with socket.create_connection(("127.0.0.1", running.port)) as connection:
            head = f"POST /v1/inspections HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n"
            connection.sendall(f"{head}Content-Length: 9\r\n\r\n123".encode())
            assert running.inspect(png(1)).status_code == 200
            running.process.send_signal(signal.SIGINT)
            wait_until(lambda: _refuses(running.port), "the stop")
            running.process.send_signal(signal.SIGINT)
            assert running.process.wait(60) == 0
        running._reader.join(10)
        assert "Traceback" not in running.log
        assert "stopped: all that was accepted is on record" in running.log


def _refuses(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return True
    return False


def test_a_request_at_the_end_of_the_time_to_stop_gets_503_in_the_one_shape(fitted, tmp_path):
    with Running(tmp_path / "data", fitted, "--stop-s", "0.4") as running:
        with socket.create_connection(("127.0.0.1", running.port)) as connection:
            head = f"POST /v1/inspections HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n"
            connection.sendall(f"{head}Content-Length: 9\r\n\r\n123".encode())
            assert running.http.get("/health").status_code == 200
            running.process.send_signal(signal.SIGTERM)
            answered = connection.makefile("rb").read()
        assert answered.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 5" in answered
        assert b'"code": "not_ready"' in answered or b'"code":"not_ready"' in answered
        assert running.process.wait(60) == 0
        running._reader.join(10)
        assert "Traceback" not in running.log
        assert "stopped: all that was accepted is on record" in running.log


def test_a_connection_that_sends_no_header_is_closed_and_others_are_not():
    class Quick(Protocol):
        head_s = 0.2

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(app, port=0, http=Quick, ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_until(lambda: server.started, "the server")
    address = server.servers[0].sockets[0].getsockname()
    with (
        socket.create_connection(address, timeout=20) as silent,
        socket.create_connection(address, timeout=20) as half,
        httpx.Client(base_url=f"http://127.0.0.1:{address[1]}") as client,
    ):
        half.sendall(b"GET / HTTP/1.1\r\nHost: a")
        assert client.get("/").status_code == 204
        assert silent.recv(1) == b""
        assert half.recv(1) == b""
        assert client.get("/").status_code == 204
        assert len(server.server_state.connections) == 1
    server.should_exit = True
    thread.join(20)


def test_records_that_hang_do_not_keep_a_request_waiting_for_ever():
    release = threading.Event()
    book = SimpleNamespace(caller_of=lambda secret: release.wait(30), is_needed=release.wait)
    request = SimpleNamespace(headers={"authorization": "Bearer pb_x"})

    async def admitted():
        gate = Gate(book, Sessions(b"key"), is_loopback=True, timeout_s=0.05)
        with pytest.raises(ApiError) as error:
            await gate.admit(request, "operator")
        return error.value

    try:
        error = asyncio.run(admitted())
        assert not release.is_set()
    finally:
        release.set()
    assert (error.status_code, error.code) == (503, "timeout")
    assert error.headers["Retry-After"] == "5"


def test_pictures_that_nobody_has_room_for_are_refused():
    made = MadePictures(None, None)
    for _ in range(MOST_WAITING):
        assert made._room.acquire(blocking=False)
    with pytest.raises(ApiError) as error, made._place():
        pytest.fail("there was a place")
    assert (error.value.status_code, error.value.code) == (429, "busy")
    made._room.release()
    with made._place():
        pass
    with made._place():
        pass


@pytest.mark.parametrize("query", ["?password=secret", "?host=db&password=secret"])
def test_the_name_of_a_database_has_no_password(query):
    pytest.importorskip("psycopg")
    database = Database(f"postgresql://eva:secret@db/parts{query}")
    assert database.name == "postgresql+psycopg://eva:***@db/parts"
    assert database.url.query["password"] == "secret"
    assert make_url("sqlite:///a").database == "a"


@pytest.mark.parametrize(
    ("written", "expected"), [("patchbank/", "/patchbank"), ("/a//b", "/a/b"), ("", ""), ("/", "")]
)
def test_the_path_behind_a_proxy_begins_with_a_slash_and_ends_without(written, expected):
    assert root_path_of(written) == expected


@pytest.mark.parametrize("written", ["http://a/b", "/a?b", "/a b", "/../a", "a#b"])
def test_what_is_no_path_is_refused(written):
    with pytest.raises(DataError, match=r"^--root-path: expected a path such as /patchbank, got "):
        root_path_of(written)


def test_a_path_behind_a_proxy_is_in_the_links_and_in_the_document(fitted, tmp_path):
    with Running(tmp_path / "data", fitted, "--root-path", "patchbank/") as running:
        assert "/patchbank/ready" in running.http.get("/").json()["links"]
        servers = running.http.get("/openapi.json").json()["servers"]
        assert servers == [{"url": "/patchbank"}]
        assert running.http.get("/v1/products").status_code == 200
        assert running.http.get("/patchbank/v1/products").status_code == 200
        assert "deprecated" not in running.log
        check_error(running.http.get("/other/v1/products"), 404)


def test_dates_are_utc_over_http_as_on_the_command_line(service):
    for since in ("2020-01-01", "2020-01-01T06:00", "2020-01-01T06:00:00Z"):
        for route in ("inspections", "statistics", "records/export"):
            found = service.http.get(f"/v1/{route}", params={"since": since})
            assert found.status_code == 200, found.text
    refused = service.http.get("/v1/inspections", params={"since": "yesterday"})
    message = check_error(refused, 422)["message"]
    assert message.startswith("since: expected a date or time such as 2026-03-01 or ")
    assert message.endswith("got 'yesterday'")


def test_times_and_zones_have_one_rule():
    assert time_of("since", "2026-11-26") == datetime(2026, 11, 26, tzinfo=timezone.utc)
    assert time_of("since", "2026-11-26T06:00+01:00").hour == 6
    assert zone_of("zone", "UTC") is timezone.utc
    with pytest.raises(ParameterError, match="^zone: expected "):
        zone_of("zone", "Nowhere/At all")


def test_a_product_has_the_name_of_its_link_and_follows_it(fitted, tmp_path):
    first = shutil.copy(fitted, tmp_path / "v1.patchbank")
    second = tmp_path / "v2.patchbank"
    done = run("tune", first, "--out", second, "--threshold", "12345", "--reason", "a test")
    assert done.returncode == 0, done.stderr
    link = tmp_path / "bolts.patchbank"
    link.symlink_to(first)
    with Running(tmp_path / "data", link) as running:
        before = running.http.get("/v1/products/bolts").json()
        other = tmp_path / "other"
        other.symlink_to(second)
        os.replace(other, link)
        wait_until(
            lambda: running.http.get("/v1/products/bolts").json()["threshold"] == 12345,
            "the other detector",
        )
        assert before["threshold"] != 12345


def test_a_detector_file_beyond_its_limit_is_refused(fitted, tmp_path):
    with Running(tmp_path / "data", fitted, "--max-detector-bytes", "1000") as running:
        path, reason = "/v1/products/parts/detector", {"reason": "new"}
        sent = running.http.put(path, params=reason, content=bytes(1001))
        message = check_error(sent, 413, "too_large")["message"]
        assert "at most 1,000 bytes" in message
        check_error(running.http.put(path, params=reason, content=bytes(1000)), 422)


def test_a_change_that_cannot_be_recorded_is_not_made(fitted, tmp_path):
    file = shutil.copy(fitted, tmp_path / "parts.patchbank")
    data = tmp_path / "data"
    with Running(data, file) as running:
        content = file.read_bytes()
        other = sqlite3.connect(data / "records.sqlite", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        change = {"threshold": 12345.0, "reason": "a test"}
        check_error(running.http.post("/v1/products/parts/tune", json=change), 503, "not_recorded")
        assert file.read_bytes() == content
        other.execute("ROLLBACK")
        other.close()
        assert running.http.post("/v1/products/parts/tune", json=change).status_code == 200
        assert file.read_bytes() != content


def test_a_batch_leaves_room_for_others_and_counts_no_refusal(fitted, tmp_path):
    with Running(tmp_path / "data", fitted, "--max-queue", "4") as running:
        files = [("image", (f"{n}.png", png(n))) for n in range(40)]
        found = []

        def send():
            url = f"{running.url}/v1/inspections"
            found.append(httpx.post(url, files=files, timeout=60))

        sender = threading.Thread(target=send)
        sender.start()
        wait_until(lambda: _under_way(running) >= 1, "the batch")
        while sender.is_alive():  # one at a time always finds room
            assert running.inspect(png(1)).status_code == 200
        sender.join(60)
        items = found[0].json()["inspections"]
        assert [one["image"] for one in items] == [f"{n}.png" for n in range(40)]
        assert "patchbank_refused_total 0.0" in running.http.get("/metrics").text


def _under_way(running):
    status = running.http.get("/v1/status").json()
    return status["unanswered"]


@contextmanager
def _frozen(server):
    """Stop all processes of a PostgreSQL where they are: connections stay, nothing answers."""
    postmaster = int((server.folder / "postmaster.pid").read_text().split()[0])
    stats = [path.read_text() for path in Path("/proc").glob("[0-9]*/stat")]
    parents = {int(text.split()[0]): int(text.rpartition(")")[2].split()[1]) for text in stats}
    processes = [postmaster, *(own for own, parent in parents.items() if parent == postmaster)]
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


@pytest.mark.postgres
def test_a_database_that_hangs_holds_up_neither_answers_nor_the_stop(
    fitted, tmp_path, postgres_server, postgres_url
):
    options = ("--database", postgres_url, "--timeout-s", "1", "--stop-s", "1")
    with Running(tmp_path / "data", fitted, *options) as running:
        assert running.inspect(png(1)).status_code == 200
        with _frozen(postgres_server):
            check_error(running.inspect(png(2)), 503, "timeout")
            wrong = running.http.get("/v1/products", headers=bearer("pb_unknown"))
            check_error(wrong, 503, "timeout")
            assert running.http.get("/health").status_code == 200
            running.process.send_signal(signal.SIGTERM)
            running.process.wait(60)
            running._reader.join(10)
            assert "Traceback" not in running.log
            assert "1 photographs were accepted and are not" in running.log
