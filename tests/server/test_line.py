"""A whole line: photographs come into a folder, the service inspects, results leave by channels."""

import json
import re
import shutil
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

import patchbank
from tests.photographs import part, save
from tests.server.real_servers import SECRET, wait_until
from tests.server.services import Running, check_error, png, run

ROOT = Path(__file__).parents[2]


def by_key(receiver):
    """Inspections that the receiver has, each once, in the order of their arrival."""
    found = {}
    for one in receiver.received():
        assert found.setdefault(one["key"], one["body"]) == one["body"]
    return list(found.values())


def test_a_killed_service_misses_no_photograph_and_no_message_and_makes_none_twice(
    fitted, tmp_path, receiver
):
    file = shutil.copy(fitted, tmp_path / "parts.patchbank")
    incoming, done, results = (tmp_path / name for name in ("in", "done", "results"))
    for folder in (incoming, done, results):
        folder.mkdir()
    options = ["--watch", f"parts={incoming}", "--watch-done", done]
    options += ["--channel", receiver.url, "--channel", f"folder:{results}", "--keep-good", "1"]
    secret = {"PATCHBANK_WEBHOOK_SECRET": SECRET}
    numbers = iter(range(1000))

    def more(count):
        for number in [next(numbers) for _ in range(count)]:
            (incoming / f".{number:03d}.png").write_bytes(
                png(number, defect=60 * (number % 5 == 0))
            )
            (incoming / f".{number:03d}.png").rename(incoming / f"{number:03d}.png")

    total = 0
    for kill_after in (6, 14):
        with Running(tmp_path / "data", file, *options, **secret) as running:
            more(12)
            total += 12
            wait_until(lambda n=kill_after: len(by_key(receiver)) >= n, "messages", 60)
            running.process.kill()
            running.process.wait()
    with Running(tmp_path / "data", file, *options, **secret) as running:
        wait_until(lambda: len(list((done / "parts").iterdir())) == total, "all photographs", 60)
        recorded = running.on_record()
        wait_until(lambda: len(by_key(receiver)) == total, "all messages", 60)
        wait_until(lambda: len(list(results.glob("*/*.json"))) == total, "all files", 60)
        parts = running.http.get("/v1/status").json()["parts"]
        assert running.stop() == 0, running.log
    assert sorted(one["image"] for one in recorded) == [f"{n:03d}.png" for n in range(total)]
    assert [one["id"] for one in by_key(receiver)] == [one["id"] for one in recorded]
    assert by_key(receiver) == recorded
    assert list(incoming.iterdir()) == []
    for one in recorded:
        folder = "NG" if one["verdict"] == "anomalous" else "OK"
        (found,) = results.glob(f"*/parts-*-{one['id']:09d}.json")
        assert found.parent.name == folder
        assert json.loads(found.read_text()) == one
        assert (
            found.with_suffix(".png").read_bytes() == (done / "parts" / one["image"]).read_bytes()
        )
    assert {state["name"] for state in parts["outbox"]["channels"]} == {"webhook", "folder"}
    assert parts[f"watch parts={incoming}"]["error"] is None


def test_the_watched_folder_gives_the_score_of_the_library_for_all_kinds_of_photographs(
    fitted, tmp_path
):
    file = shutil.copy(fitted, tmp_path / "parts.patchbank")
    incoming = tmp_path / "in"
    image = part(55)
    save(incoming / "colour.png", image)
    Image.fromarray(image[..., 0]).save(incoming / "grey.png")
    Image.fromarray(image[..., 0].astype(np.uint16) * 257).save(incoming / "deep.png")
    Image.fromarray(image).convert("CMYK").save(incoming / "cmyk.jpg", quality=95)
    Image.fromarray(np.dstack([image, image[..., 0]])).save(incoming / "alpha.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(np.rot90(image)).save(incoming / "turned.jpg", exif=turned, quality=95)
    with Running(tmp_path / "data", file, "--watch", f"parts={incoming}") as running:
        wait_until(lambda: len(running.on_record()) == 6, "six inspections", 60)
        recorded = {one["image"]: one for one in running.on_record()}
    detector = patchbank.load(file)
    for name, one in recorded.items():
        expected = detector.predict(incoming / name)
        assert one["score"] == expected.score, name
        assert one["p_value"] == expected.p_value
        assert one["anomalous"] == expected.is_anomalous


def test_refused_messages_are_sent_again_when_somebody_asks(fitted, tmp_path, receiver):
    file = shutil.copy(fitted, tmp_path / "parts.patchbank")
    secret = {"PATCHBANK_WEBHOOK_SECRET": SECRET}
    with Running(tmp_path / "data", file, "--channel", receiver.url, **secret) as running:
        records_retry = running.http.post("/v1/outbox/webhook/retry")
        assert records_retry.json() == {"channel": "webhook", "messages": 0}
        check_error(running.http.post("/v1/outbox/fax/retry"), 404)
        text = running.http.get("/metrics").text
        assert 'patchbank_outbox_waiting{channel="webhook"} 0.0' in text
        figures = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
        dashboard = (ROOT / "deploy" / "grafana.json").read_text()
        shown = set(re.findall(r"patchbank_[a-z_]+", dashboard))
        assert len(shown) > 10
        assert {name.removesuffix("_bucket") for name in shown} <= figures
        assert running.stop() == 0
    assert SECRET not in running.log


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--channel", "mqtt://a:geheim@b"], "expected no password in the address"),
        (["--watch", "nuts=."], "product: expected one of parts, got 'nuts'"),
        (["--watch", "parts=docs", "--watch", "parts=docs/guides"], "do not lie in each other"),
        (["--watch", "parts=docs", "--channel", "folder:docs"], "than that of --channel folder"),
        (["--watch-done", "docs"], "--watch-done: expected with --watch, got no watched folder"),
    ],
)
def test_options_that_are_wrong_are_one_error_and_nothing_is_served(
    fitted, tmp_path, options, line
):
    done = run("serve", fitted, "--data", tmp_path / "data", "--port", 0, *options)
    assert done.returncode == 2
    (error,) = [text for text in done.stderr.splitlines() if "error:" in text]
    assert line in error
    assert "geheim" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.camera
def test_a_trigger_over_http_is_a_verdict_or_an_error_and_inspects_once_under_a_key(
    fitted, tmp_path
):
    import cv2

    film = tmp_path / "film.avi"
    images = [part(7), part(8)]
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(
        str(film), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"FFV1"), 5, (width, height)
    )
    for image in images:
        writer.write(image[..., ::-1].copy())
    writer.release()
    with Running(tmp_path / "data", fitted, "--camera", f"front=parts:{film}") as running:
        http: httpx.Client = running.http
        camera = "camera front"

        def state():
            return http.get("/v1/status").json()["parts"][camera]

        wait_until(lambda: state()["is_open"], "the camera")
        key = {"Idempotency-Key": "serial 17"}
        asked = {"serial_number": "17", "lot": "x"}
        first = http.post("/v1/cameras/front/trigger", params=asked, headers=key)
        again = http.post("/v1/cameras/front/trigger", params=asked, headers=key)
        assert first.status_code == again.status_code == 200
        assert first.json() == again.json()
        assert again.headers["Idempotent-Replayed"] == "true"
        assert first.json()["serial_number"] == "17"
        assert first.json()["camera"] == "front"
        assert http.post("/v1/cameras/front/trigger").json()["id"] == first.json()["id"] + 1
        over = http.post("/v1/cameras/front/trigger")
        check_error(over, 503, "no_picture")
        assert over.headers["Retry-After"] == "1"
        check_error(http.post("/v1/cameras/back/trigger"), 404)
        check_error(http.post("/v1/cameras/front/trigger", params={"path": "/etc"}), 422)
        assert len(running.on_record()) == 2
        time.sleep(0.3)
        assert running.stop() == 0, running.log
