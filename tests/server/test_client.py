"""The client and `patchbank send` against a real service, and against what is in front of it."""

import io
import json
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

import patchbank
from patchbank.client import Client, ClientError, NotInspected, Unread
from patchbank.errors import DataError, ParameterError
from tests.photographs import part, save
from tests.server.real_servers import free_port
from tests.server.services import Running, make_token, png, run


@pytest.fixture
def client(service):
    with Client(service.url) as made:
        yield made


@pytest.fixture(scope="module")
def detector(fitted):
    return patchbank.load(fitted)


def test_a_verdict_has_all_that_the_library_says_and_is_on_record(client, detector, tmp_path):
    path = tmp_path / "größe 1.png"
    path.write_bytes(png(31, defect=60))
    verdict = client.inspect(path, "parts", serial_number="A-1", lot="7", shift="night")
    expected = detector.predict(path)
    assert verdict.is_anomalous
    assert not verdict.is_good
    assert (verdict.score, verdict.threshold) == (expected.score, expected.threshold)
    assert verdict.p_value == expected.p_value
    assert [(r.left, r.top, r.width, r.height, r.area, r.score) for r in verdict.regions] == [
        (r.left, r.top, r.width, r.height, r.area, r.score) for r in expected.regions
    ]
    assert verdict.detector_sha256 == detector.sha256
    assert (verdict.serial_number, verdict.lot, verdict.shift) == ("A-1", "7", "night")
    assert verdict.image == str(path)
    again = client.inspection(verdict.id)
    assert again == verdict
    assert not again.is_replayed
    assert verdict.time.utcoffset() is not None


def test_path_bytes_and_arrays_have_the_score_of_the_library_to_the_last_bit(
    client, detector, tmp_path
):
    image = part(77)
    path = save(tmp_path / "77.png", image) or tmp_path / "77.png"
    deep = image.astype(np.uint16) * 257
    grey, alpha = image[..., 0], np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    for given in (path, str(path), path.read_bytes(), image, deep, deep[..., 0], grey, alpha):
        assert client.inspect(given, "parts").score == detector.predict(given).score


def test_a_photograph_under_one_key_is_recorded_once_and_replayed(client):
    first = client.inspect(png(5), "parts", idempotency_key="serial 5/2026")
    second = client.inspect(png(5), "parts", idempotency_key="serial 5/2026")
    assert (first.is_replayed, second.is_replayed) == (False, True)
    assert second.id == first.id
    with pytest.raises(ClientError, match="under it") as caught:
        client.inspect(png(6), "parts", idempotency_key="serial 5/2026")
    assert (caught.value.status, caught.value.code) == (422, "key_reused")


def test_what_cannot_be_read_is_an_exception_with_the_number_of_its_record(client):
    with pytest.raises(Unread, match="no photograph.txt") as caught:
        client.inspect(b"no photograph", "parts", name="no photograph.txt")
    assert caught.value.code == "unread"
    recorded = client.inspection(caught.value.inspection_id)
    assert recorded.verdict == "unread"
    assert not recorded.is_good
    assert not recorded.is_anomalous
    assert recorded.score is None
    assert recorded.image == "no photograph.txt"


def test_inspections_are_found_page_after_page_newest_first(client):
    for number in range(7):
        client.inspect(png(number), "parts", lot="of seven", serial_number=str(number))
    found = list(client.inspections("parts", lot="of seven"))
    assert [one.serial_number for one in found] == ["6", "5", "4", "3", "2", "1", "0"]
    assert len(list(client.inspections(lot="of seven", limit=3))) == 3
    since = found[2].time
    assert [v.id for v in client.inspections(since=since, lot="of seven")] == [
        v.id for v in found[:3]
    ]
    with pytest.raises(ParameterError, match="batch: expected one of"):
        list(client.inspections(batch="7"))


def test_a_review_is_what_is_found_afterwards(client):
    verdict = client.inspect(png(9, defect=60), "parts", lot="reviewed")
    client.review(verdict.id, "false_alarm", note="a reflection", by="Ada")
    (found,) = client.inspections(lot="reviewed", review="false_alarm")
    assert found.id == verdict.id
    assert client.inspection(verdict.id).review == "false_alarm"
    with pytest.raises(ClientError, match="decision") as caught:
        client.review(verdict.id, "perhaps")
    assert caught.value.status == 422
    with pytest.raises(ClientError) as caught:
        client.review(10**9, "unsure")
    assert caught.value.status == 404


def test_products_pictures_and_status(client, detector):
    (product,) = client.products()
    assert (product.name, product.detector_sha256) == ("parts", detector.sha256)
    assert (product.threshold, product.error) == (detector.calibration.threshold, None)
    content = png(12, defect=60)
    verdict = client.inspect(content, "parts")
    assert client.picture(verdict.id, "photograph") == content
    assert Image.open(io.BytesIO(client.picture(verdict.id))).format == "JPEG"
    assert Image.open(io.BytesIO(client.picture(verdict.id, "map"))).size == (104, 72)
    assert client.status()["ready"] is True


def test_several_threads_share_a_client(client):
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda n: client.inspect(png(n), "parts"), range(40, 58)))
    assert len({verdict.id for verdict in found}) == 18


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ("/no/such/file.png", DataError, "expected a file, got"),
        (17, DataError, "expected a path, bytes or an array, got int"),
        (np.zeros((4, 5, 2), np.uint8), DataError, "expected an array"),
        (np.zeros((4, 5, 3), np.float32), DataError, "uint8 or uint16, got float32"),
    ],
)
def test_what_is_no_photograph_is_one_line_and_not_sent(client, given, error, text):
    with pytest.raises(error, match=text):
        client.inspect(given, "parts")


def test_a_name_that_the_service_would_refuse_is_made_fit(client):
    verdict = client.inspect(png(1), "parts", name="x" * 400 + "\udcff\n.png")
    assert verdict.image.endswith("xx\\udcff\\n.png")
    assert len(verdict.image) == 255


def test_an_unknown_product_and_an_unknown_field_are_said(client):
    with pytest.raises(ClientError, match="product") as caught:
        client.inspect(png(1), "nuts")
    assert (caught.value.status, caught.value.code) == (404, "unknown_product")
    with pytest.raises(ParameterError, match="batch: expected one of camera, lot"):
        client.inspect(png(1), "parts", batch="7")


@pytest.mark.parametrize("url", ["127.0.0.1:8760", "ftp://host", "http://", "http://h?x=1"])
def test_an_address_that_is_none_is_one_line(url):
    with pytest.raises(ParameterError, match="url: expected http://HOST:PORT"):
        Client(url)


def test_a_service_that_is_not_there_is_said_after_the_time(tmp_path):
    with (
        Client(f"http://127.0.0.1:{free_port()}", total_s=0.5) as client,
        pytest.raises(NotInspected, match="expected an answer, got") as caught,
    ):
        client.inspect(png(1), "parts", idempotency_key="k-1")
    assert caught.value.idempotency_key == "k-1"
    assert caught.value.status is None


class Between:
    """What stands in front of a service and spoils answers: a proxy, or a cable."""

    def __init__(self, service):
        self.plan, self.keys, self.port = [], [], free_port()
        between = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                between.keys.append(self.headers["Idempotency-Key"])
                what = between.plan.pop(0) if between.plan else "pass"
                if what in ("pass", "lost"):
                    headers = {
                        name: self.headers[name]
                        for name in ("Content-Type", "Idempotency-Key")
                        if name in self.headers
                    }
                    answer = service.http.post(self.path, content=body, headers=headers)
                    if what == "lost":  # inspected, but the answer does not arrive
                        self.connection.shutdown(socket.SHUT_RDWR)
                        return
                    self.say(answer.status_code, answer.content, answer.headers)
                else:
                    self.say(int(what), b"<html>nginx</html>", {"Retry-After": "0"})

            def say(self, status, content, headers):
                self.send_response(status)
                for name in ("Content-Type", "Retry-After", "Idempotent-Replayed"):
                    if name in headers:
                        self.send_header(name, headers[name])
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def between(service):
    made = Between(service)
    yield made
    made.close()


def test_attempts_have_one_key_and_the_photograph_one_record(between, service, client):
    between.plan = ["429", "503", "lost", "502"]
    with Client(f"http://127.0.0.1:{between.port}") as through:
        verdict = through.inspect(png(60), "parts", lot="attempts")
    assert len(between.keys) == 5
    assert len(set(between.keys)) == 1
    assert verdict.is_replayed  # the attempt whose answer was lost had inspected it
    assert [one.id for one in client.inspections(lot="attempts")] == [verdict.id]


def test_a_review_whose_answer_was_lost_is_not_given_twice(between, client):
    verdict = client.inspect(png(61), "parts")
    between.plan = ["lost"]
    with Client(f"http://127.0.0.1:{between.port}") as through, pytest.raises(NotInspected):
        through.review(verdict.id, "unsure")
    assert len(between.keys) == 1


def test_an_answer_that_is_not_of_the_service_is_no_verdict(between):
    between.plan = ["200"]
    with (
        Client(f"http://127.0.0.1:{between.port}") as through,
        pytest.raises(ClientError, match="expected JSON of the service, got something else"),
    ):
        through.inspect(png(1), "parts")
    between.plan = ["404"]
    with (
        Client(f"http://127.0.0.1:{between.port}") as through,
        pytest.raises(ClientError, match="expected an answer of the service, got status 404"),
    ):
        through.inspect(png(1), "parts")


def test_a_token_opens_a_service_with_tls_and_an_authority_of_ones_own(
    fitted, tmp_path, certificates
):
    data = tmp_path / "data"
    secret = make_token(data, "press-3", "operator")
    tls = ["--tls-cert", certificates.certificate, "--tls-key", certificates.key]
    with Running(data, fitted, *tls) as running:
        ca = str(certificates.authority)
        product = fitted.stem
        with Client(running.url, secret, ca=ca) as client:
            assert client.inspect(png(1), product).product == product
            with pytest.raises(ClientError) as caught:  # an operator makes no tokens
                client._calls.ask("GET", "/v1/tokens")
            assert caught.value.status == 403
        with Client(running.url, "pb_wrong", ca=ca) as client, pytest.raises(ClientError) as caught:
            client.inspect(png(1), product)
        assert caught.value.status == 401
        assert "pb_wrong" not in str(caught.value)
        with Client(running.url, secret) as client, pytest.raises(ClientError) as caught:
            client.inspect(png(1), product)
        assert "expected a certificate that is trusted" in str(caught.value)
        photograph = tmp_path / "1.png"
        photograph.write_bytes(png(1))
        token_file = tmp_path / "token"
        token_file.write_text(secret + "\n")
        done = run("send", running.url, photograph, "--ca", ca, "--token-file", token_file)
        assert (done.returncode, done.stderr) == (0, "")
        assert running.stop() == 0
    with pytest.raises(ParameterError, match="ca: expected certificates"):
        Client("https://127.0.0.1", ca=str(tmp_path / "none.pem"))


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    """-> a folder with good parts, a defect, and a file that is cut."""
    folder = tmp_path_factory.mktemp("line")
    for seed in (1, 2, 3):
        save(folder / "good" / f"{seed}.png", part(seed))
    save(folder / "defects" / "9.png", part(9, defect=60))
    (folder / "cut.png").write_bytes(png(1)[:400])
    return folder


def test_send_prints_what_predict_prints(service, fitted, line):
    ours = run("send", service.url, line / "good", line / "defects")
    theirs = run("predict", fitted, line / "good", line / "defects")
    assert ours.returncode == theirs.returncode == 0
    assert ours.stdout == theirs.stdout
    assert ours.stdout.splitlines()[-1] == "3 good, 1 anomalous, 0 not readable"


@pytest.mark.parametrize(
    ("inside", "options", "status"),
    [
        ("good", ["--fail-on-anomaly"], 0),
        ("cut.png", [], 1),
        (".", ["--fail-on-anomaly"], 3),
        ("good", ["--product", "nuts"], 2),
    ],
)
def test_statuses_of_send_are_those_of_predict(service, line, inside, options, status):
    done = run("send", service.url, line / inside, *options)
    assert done.returncode == status, done.stderr
    if status == 2:
        assert done.stderr.count("\n") == 1
        assert done.stdout == ""


def test_json_of_send_is_what_the_service_has_on_record(service, line, client):
    done = run(
        *("send", service.url, line, line / "gone.png", "--json", "-"),
        *("--serial-number", "S-7", "--lot", "sent", "--paths-from", "-"),
    )
    assert done.returncode == 2  # a path that is not there, unless a list names it
    done = subprocess.run(
        [*_command("send", service.url, line, "-", "--json", "-", "--lot", "sent")],
        input=f"{line}/gone.png\n",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    lines = [json.loads(text) for text in done.stdout.splitlines()]
    assert [one["image"].rpartition("/")[2] for one in lines] == [
        "cut.png",
        "9.png",
        "1.png",
        "2.png",
        "3.png",
        "gone.png",
    ]
    recorded = {one.id: one.content for one in client.inspections(lot="sent")}
    assert {one["id"]: one for one in lines[:5]} == recorded
    assert (lines[0]["verdict"], lines[0]["score"]) == ("unread", None)
    assert "id" not in lines[5]
    assert lines[5]["anomalous"] is None


def test_send_without_a_service_is_one_line_and_status_2(line):
    done = run("send", f"http://127.0.0.1:{free_port()}", line / "good", "--timeout-s", 0.3)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: http://127.0.0.1:")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"token": "ü"}, "token: expected printable ASCII, got other characters"),
        ({"idempotency_key": "ü"}, "expected a key and texts that can be sent, got 'ü'"),
        ({"lot": "a\udcff"}, r"expected a key and texts that can be sent, got '\\\\udcff'"),
    ],
)
def test_texts_that_cannot_be_sent_are_one_line(arguments, message):
    token = arguments.pop("token", None)
    with pytest.raises(ParameterError, match=message):
        Client(f"http://127.0.0.1:{free_port()}", token).inspect(b"x", "parts", **arguments)


def test_send_goes_on_after_a_photograph_at_which_the_service_fails(line):
    class Faulty(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            content = b'{"error": {"status": 500, "code": "fault", "message": "fault: a test"}}'
            self.send_response(500)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Faulty)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        done = run("send", f"http://127.0.0.1:{server.server_port}", line / "good")
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == 1
    assert done.stderr.count("fault: a test") == 3
    assert done.stdout.splitlines()[-1] == "0 good, 0 anomalous, 3 not readable"


def _command(*arguments):
    from tests.server.services import command

    return command(*arguments)


def test_a_picture_of_an_unread_photograph_is_an_error_and_not_unread_itself(client):
    with pytest.raises(Unread) as caught:
        client.inspect(b"not whole", "parts")
    links = client.inspection(caught.value.inspection_id).content["links"]
    assert links["overlay"] is links["map"] is None
    for kind in ("overlay", "map"):
        with pytest.raises(ClientError, match="expected one with a verdict") as refused:
            client.picture(caught.value.inspection_id, kind)
        assert not isinstance(refused.value, Unread)
    with pytest.raises(ClientError, match="decision: expected confirmed_defect or unsure") as wrong:
        client.review(caught.value.inspection_id, "false_alarm")
    assert wrong.value.status == 422
