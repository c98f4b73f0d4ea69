"""Cameras by OpenCV: a video file and a stream over HTTP; a trigger gives a verdict or an error."""

import io
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from PIL import Image

from patchbank.errors import ParameterError
from patchbank.images.source import read_image
from patchbank.server.intake import Busy
from patchbank.server.records.entries import Fields, Filter
from patchbank.server.records.store import Records
from patchbank.server.sources.camera import Camera, CameraError, CameraSettings
from patchbank.server.sources.keys import TriggerKeys
from patchbank.server.sources.trigger import MqttTriggers
from tests.server.intakes import RecordingIntake
from tests.server.real_servers import free_port, wait_until

HEIGHT, WIDTH = 48, 80


def frame(level):
    """A picture in which every channel has another level, as OpenCV has it: blue first."""
    made = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    made[:] = (level, level // 2, 255 - level)
    made[10:20, 30:50] = 255 - made[10:20, 30:50]
    return made


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """-> path of a film of three pictures, stored without loss."""
    path = tmp_path_factory.mktemp("video") / "parts.avi"
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"FFV1"), 5, (WIDTH, HEIGHT)
    )
    assert writer.isOpened()
    for level in (40, 120, 200):
        writer.write(frame(level))
    writer.release()
    return path


@pytest.fixture
def records(tmp_path):
    opened = Records.open(f"sqlite:///{tmp_path / 'records.sqlite'}", instance="line-1")
    yield opened
    opened.close()


@pytest.fixture
def camera(records):
    """-> opens cameras that end with the test."""
    made = []

    def start(source, intake=None):
        settings = CameraSettings.parse(f"front=bolts:{source}")
        made.append(Camera(intake or RecordingIntake(records), settings, TriggerKeys(records)))
        made[-1].start()
        return made[-1]

    yield start
    for one in made:
        one.close()


def is_open(one):
    return one.status()["is_open"]


def recorded(records):
    page = records.inspections(Filter(), limit=100, cursor=None)
    return list(reversed(page.inspections))


def test_each_trigger_takes_the_next_picture_of_a_video_file_without_loss(records, camera, video):
    intake = RecordingIntake(records)
    front = camera(video, intake)
    wait_until(lambda: is_open(front), "the camera")
    answers = [front.trigger(Fields(serial_number=str(n)), f"key-{n}").result(30) for n in (1, 2)]
    assert [a.inspection.fields.serial_number for a in answers] == ["1", "2"]
    assert [a.inspection.fields.camera for a in answers] == ["front", "front"]
    assert [a.inspection.source for a in answers] == ["camera", "camera"]
    assert intake.submitted[0].idempotency_key == "key-1"
    for submission, level in zip(intake.submitted, (40, 120), strict=True):
        assert submission.name.startswith("front-")
        got = read_image(submission.content)
        assert np.abs(got[..., ::-1].astype(int) - frame(level)).max() <= 4  # BGR to YUV and back
        assert got.shape == (HEIGHT, WIDTH, 3)
    whole = cv2.VideoCapture(str(video))
    assert np.array_equal(read_image(intake.submitted[0].content)[..., ::-1], whole.read()[1])
    whole.release()


def test_a_video_file_that_is_over_is_an_error_and_never_a_verdict(records, camera, video):
    front = camera(video)
    wait_until(lambda: is_open(front), "the camera")
    for _ in range(3):
        front.trigger().result(30)
    with pytest.raises(CameraError, match="camera front: expected a picture, got the end"):
        front.trigger().result(30)
    assert len(recorded(records)) == 3
    assert front.status()["failures"] == 1
    assert "the end of the video file" in front.status()["error"]


def test_a_full_queue_is_said_to_whoever_has_triggered(records, camera, video):
    intake = RecordingIntake(records)
    intake.is_busy = True
    front = camera(video, intake)
    wait_until(lambda: is_open(front), "the camera")
    with pytest.raises(Busy):
        front.trigger().result(30)


def test_a_camera_that_is_not_there_is_an_error_at_once(records, camera):
    front = camera(f"http://127.0.0.1:{free_port()}/stream")
    with pytest.raises(CameraError, match="camera front: "):
        front.trigger().result(30)
    wait_until(lambda: front.status()["error"], "the reason")
    assert "expected a camera or stream that opens, got none" in front.status()["error"]
    assert recorded(records) == []


def test_triggers_of_a_camera_that_is_closed_fail(camera, video):
    front = camera(video)
    wait_until(lambda: is_open(front), "the camera")
    front.close()
    with pytest.raises(CameraError):
        front.trigger().result(30)


class Stream:
    """A camera in the network: a stream of JPEG pictures over HTTP."""

    def __init__(self):
        self.port, self.level, self.server = free_port(), 30, None
        self.url = f"http://127.0.0.1:{self.port}/stream.mjpg"

    def start(self):
        stream, stop = self, threading.Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                try:
                    while not stop.is_set():
                        level = stream.level
                        buffer = io.BytesIO()
                        image = Image.fromarray(np.full((HEIGHT, WIDTH, 3), level, np.uint8))
                        image.save(buffer, "JPEG", quality=95)
                        content = buffer.getvalue()
                        head = f"Content-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n"
                        self.wfile.write(f"--frame\r\n{head}\r\n".encode() + content + b"\r\n")
                        time.sleep(0.01)
                except OSError:
                    pass

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.stop_streams = stop
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        if self.server is not None:
            self.stop_streams.set()
            self.server.shutdown()
            self.server.server_close()
            self.server = None


@pytest.fixture
def stream():
    made = Stream()
    made.start()
    yield made
    made.stop()


def test_a_stream_gives_pictures_of_now_and_comes_back_by_itself(records, camera, stream):
    intake = RecordingIntake(records)
    front = camera(stream.url, intake)
    wait_until(lambda: is_open(front), "the stream")
    assert front.trigger().result(30).inspection.verdict == "anomalous"  # dark
    stream.level = 200
    # Pictures of before may still be on their way; none of them may stay for later triggers.
    wait_until(lambda: front.trigger().result(30).inspection.verdict == "good", "a bright picture")
    time.sleep(0.3)
    assert front.trigger().result(30).inspection.verdict == "good"
    stream.stop()
    wait_until(lambda: not is_open(front), "that it is lost")
    with pytest.raises(CameraError):
        front.trigger().result(30)
    stream.start()
    wait_until(lambda: is_open(front), "the stream again")
    assert front.trigger().result(30).inspection.verdict == "good"


def test_two_triggers_at_once_get_the_same_moment_and_two_records(records, camera, stream):
    front = camera(stream.url)
    wait_until(lambda: is_open(front), "the stream")
    with front._changed:  # both before the next picture
        answers = [front.trigger(idempotency_key=key) for key in ("a", "b")]
    first, second = (answer.result(30).inspection for answer in answers)
    assert first.id != second.id


@pytest.mark.mosquitto
def test_a_trigger_by_mqtt_takes_a_picture_once_under_its_key(records, camera, video, mosquitto):
    front = camera(video)
    wait_until(lambda: is_open(front), "the camera")
    triggers = MqttTriggers(mosquitto.url, None, [front], "line-1")
    triggers.start()
    errors = []
    plc = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    plc.on_message = lambda c, u, message: errors.append(json.loads(message.payload))
    plc.connect("127.0.0.1", mosquitto.port)
    plc.loop_start()
    subscribed = threading.Event()
    plc.on_subscribe = lambda *_: subscribed.set()
    plc.subscribe("patchbank/bolts/error", qos=1)
    assert subscribed.wait(20)
    try:
        wait_until(lambda: triggers.is_connected, "the connection")

        def say(content):
            payload = content if isinstance(content, str) else json.dumps(content)
            plc.publish("patchbank/bolts/trigger", payload, qos=1).wait_for_publish(20)

        said = {"camera": "front", "idempotency_key": "part-1", "serial_number": "A-1", "lot": "7"}
        wait_until(lambda: say(said) or recorded(records), "the inspection")
        say(said)
        say("")
        wait_until(lambda: len(recorded(records)) == 2, "the second")
        first, second = recorded(records)
        assert (first.fields.serial_number, first.fields.lot) == ("A-1", "7")
        assert (first.idempotency_key, second.idempotency_key) == ("part-1", None)
        for wrong, text in (
            ("{", "expected nothing or JSON"),
            ({"camera": "back"}, "camera: expected one of front, got 'back'"),
            ({"path": "/etc/passwd"}, "expected keys of"),
            ({"lot": 7}, "expected texts of 1 to 200 characters"),
        ):
            say(wrong)
            wait_until(lambda t=text: errors and t in errors[-1]["error"]["message"], text)
        say("")
        wait_until(lambda: len(recorded(records)) == 3, "the third")
        say({"idempotency_key": "part-4"})
        wait_until(lambda: errors[-1]["idempotency_key"] == "part-4", "the end of the file")
        assert "the end of the video file" in errors[-1]["error"]["message"]
        assert len(recorded(records)) == 3
    finally:
        plc.disconnect()
        plc.loop_stop()
        triggers.close()


@pytest.mark.parametrize(
    "text", ["front", "front=bolts", "=bolts:0", "front=:0", "front=bolts:", "a b=bolts:0"]
)
def test_a_camera_that_is_asked_for_wrongly_is_one_line(text):
    with pytest.raises(ParameterError, match="--camera: expected NAME=PRODUCT:SOURCE"):
        CameraSettings.parse(text)


def test_a_video_file_that_is_not_there_is_one_line(records, tmp_path):
    settings = CameraSettings.parse(f"front=bolts:{tmp_path / 'none.avi'}")
    with pytest.raises(ParameterError, match="expected an index, an address or a video file"):
        Camera(RecordingIntake(records), settings, TriggerKeys(records))


def test_an_error_of_the_driver_fails_its_triggers_and_the_camera_is_opened_again(
    records, camera, video, monkeypatch
):
    front = camera(video)
    wait_until(lambda: is_open(front), "the camera")
    real = cv2.imencode

    def encode(*_):
        raise cv2.error("no memory\nat line 7")

    for wrong in (encode, lambda *_: (False, None)):
        monkeypatch.setattr(cv2, "imencode", wrong)
        answer = front.trigger(idempotency_key="part")
        with pytest.raises(CameraError, match="camera front: expected a picture") as caught:
            answer.result(30)
        assert "\n" not in str(caught.value)
        assert recorded(records) == []
        monkeypatch.setattr(cv2, "imencode", real)
        wait_until(lambda: is_open(front), "the camera again")
    assert front.trigger(idempotency_key="part").result(30).inspection.verdict == "good"


def test_a_camera_whose_opening_raises_is_opened_again(records, camera, video, monkeypatch):
    real = cv2.VideoCapture
    attempts = []

    def opening(*arguments):
        attempts.append(arguments)
        if len(attempts) < 3:
            raise RuntimeError("the driver is not ready")
        return real(*arguments)

    monkeypatch.setattr(cv2, "VideoCapture", opening)
    front = camera(video)
    wait_until(lambda: "the driver is not ready" in str(front.status()["error"]), "the reason")
    wait_until(lambda: is_open(front), "the camera")
    assert front.trigger().result(30).inspection.verdict == "good"


def test_a_trigger_under_a_key_that_is_under_way_takes_no_second_picture(records, camera, video):
    intake = RecordingIntake(records)
    front = camera(video, intake)
    wait_until(lambda: is_open(front), "the camera")
    intake.hold.clear()
    first, is_first = front.trigger_once(Fields(lot="7"), "part-1")
    wait_until(lambda: intake.submitted, "the picture")
    again, is_again_first = front.trigger_once(Fields(lot="7"), "part-1")
    assert (is_first, is_again_first) == (True, False)
    other, is_other_first = front.trigger_once(Fields(), "part-2")
    assert is_other_first
    intake.hold.set()
    assert again.result(30).inspection.id == first.result(30).inspection.id
    assert other.result(30).inspection.id != first.result(30).inspection.id
    stored, is_new = front.trigger_once(Fields(lot="7"), "part-1")
    assert (stored.result(30).inspection.id, is_new) == (first.result(30).inspection.id, False)
    assert stored.result(30).is_new is False
    assert len(recorded(records)) == len(intake.submitted) == 2


def test_a_key_whose_trigger_failed_takes_a_picture_the_next_time(records, camera, video):
    front = camera(video)
    wait_until(lambda: is_open(front), "the camera")
    for _ in range(3):
        front.trigger().result(30)
    failed, _ = front.trigger_once(None, "part-4")
    with pytest.raises(CameraError):
        failed.result(30)
    wait_until(lambda: is_open(front), "the camera again")
    answer, is_first = front.trigger_once(None, "part-4")
    assert is_first
    assert answer.result(30).inspection.idempotency_key == "part-4"
