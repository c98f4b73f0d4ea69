"""Results over a real Mosquitto: nothing lost and in order, also where the broker is killed."""

import json
import signal
import threading
import time

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from patchbank.errors import ParameterError
from patchbank.server.mqtt import MOST_ACKNOWLEDGED, Address, Connection
from patchbank.server.outbox.channels import ChannelContext, ChannelSpec
from patchbank.server.outbox.delivery import Outbox, Retry
from patchbank.server.outbox.opening import open_channels
from patchbank.server.records.store import Records
from tests.server.real_servers import wait_until
from tests.server.samples import inspection

pytestmark = pytest.mark.mosquitto

CONTEXT = ChannelContext(instance="line-1", photograph=lambda _: None)


class Subscriber:
    """A receiver with a session of its own at the broker, which keeps messages for it."""

    def __init__(self, broker, topic="patchbank/#"):
        self.topic, self.messages, self.topics = topic, [], set()
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id="mes", protocol=paho.MQTTv5
        )
        if broker.certificates is not None:
            self.client.tls_set(ca_certs=str(broker.certificates.authority))
        self.client.on_message = self.take
        self.client.on_connect = self.subscribe
        self.client.reconnect_delay_set(1, 1)
        self.subscribed = threading.Event()
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        self.client.connect("127.0.0.1", broker.port, 20, clean_start=False, properties=properties)
        self.client.loop_start()
        assert self.subscribed.wait(20)

    def subscribe(self, client, *_):
        client.subscribe(self.topic, qos=1)

    def take(self, client, userdata, message):
        self.topics.add(message.topic)
        self.messages.append(message)

    def inspections(self, product="bolts"):
        """Serial numbers in the order of their arrival, each once, and all keys."""
        numbers, keys = [], {}
        for message in self.messages:
            if message.topic != f"patchbank/{product}/inspections":
                continue
            content = json.loads(message.payload)
            (pair,) = message.properties.UserProperty
            assert pair[0] == "idempotency-key"
            number = int(content["serial_number"])
            if pair[1] not in keys:
                numbers.append(number)
            assert keys.setdefault(pair[1], number) == number
        return numbers

    def statuses(self):
        return [m.payload.decode() for m in self.messages if m.topic == "patchbank/status/line-1"]

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def records(tmp_path):
    opened = Records.open(f"sqlite:///{tmp_path / 'records.sqlite'}", instance="line-1")
    yield opened
    opened.close()


@pytest.fixture
def connect():
    """-> makes subscribers, and outboxes with the channel mqtt; all end with the test."""
    closing = []

    def start(what, *given, **options):
        made = what(*given, **options)
        closing.append(made.close)
        return made

    yield start
    for close in reversed(closing):
        close()


def outbox(records, url):
    channels = open_channels([ChannelSpec("mqtt", "mqtt", url)], CONTEXT)
    made = Outbox(records, channels, retry=Retry(first_s=0.05, longest_s=0.2))
    made.start()
    return made


def test_each_product_has_its_topic_and_the_payload_is_the_inspection(mosquitto, records, connect):
    subscriber = connect(Subscriber, mosquitto)
    sending = connect(outbox, records, mosquitto.url)
    answers = records.add(
        [inspection(1), inspection(2, product="nuts", verdict="unread")], ["mqtt"]
    )
    sending.notify()
    wait_until(lambda: len(subscriber.messages) >= 3, "online and two messages")
    assert subscriber.statuses() == ["online"]
    found = [m for m in subscriber.messages if m.topic.endswith("/inspections")]
    assert [m.topic for m in found] == ["patchbank/bolts/inspections", "patchbank/nuts/inspections"]
    assert [json.loads(m.payload) for m in found] == [a.inspection.to_json() for a in answers]
    assert {m.qos for m in found} == {1}
    assert {m.retain for m in found} == {False}
    assert found[0].properties.ContentType == "application/json"


def test_a_broker_that_is_killed_twice_during_load_loses_nothing_and_keeps_the_order(
    mosquitto, records, connect
):
    subscriber = connect(Subscriber, mosquitto)
    sending = connect(outbox, records, mosquitto.url)
    stop = threading.Event()
    added = []

    def load():
        number = 0
        while not stop.is_set():
            batch = [
                inspection(number, product="bolts"),
                inspection(number, product="nuts", verdict="anomalous"),
            ]
            records.add(batch, ["mqtt"])
            sending.notify()
            added.append(number)
            number += 1
            time.sleep(0.03)  # this broker writes its file at each message

    loading = threading.Thread(target=load)
    loading.start()
    try:
        for number in (signal.SIGKILL, signal.SIGTERM):
            at_least = len(subscriber.inspections()) + 30
            wait_until(lambda n=at_least: len(subscriber.inspections()) >= n, "messages")
            mosquitto.stop(number)
            before = len(added)
            wait_until(lambda n=before: len(added) >= n + 25, "inspections without a broker")
            assert records.outbox_size("mqtt") >= 25
            mosquitto.start()
            wait_until(lambda n=before: n - 1 in subscriber.inspections(), "what has waited")
    finally:
        stop.set()
        loading.join()
    wait_until(lambda: records.outbox_size("mqtt") == 0, "an empty table", 60)
    wait_until(lambda: len(subscriber.inspections()) == len(added), "the last message")
    assert subscriber.inspections("bolts") == added
    assert subscriber.inspections("nuts") == added
    wait_until(lambda: sending.states()[0].waiting == 0, "the count")


def test_the_last_will_says_that_a_killed_service_is_offline(mosquitto, connect):
    import subprocess
    import sys

    code = f"""
import sys, time
from patchbank.server.outbox.channels import ChannelContext, ChannelSpec
from patchbank.server.outbox.opening import open_channels
from patchbank.server.records.entries import Message
context = ChannelContext(instance="line-1", photograph=lambda _: None)
channel = open_channels([ChannelSpec("mqtt", "mqtt", {mosquitto.url!r})], context)["mqtt"]
channel.send(Message(id=1, channel="mqtt", product="bolts", inspection_id=1, key="line-1/1/mqtt",
                     payload="{{}}", attempts=0))
print("sent", flush=True)
time.sleep(60)
"""
    subscriber = connect(Subscriber, mosquitto, "patchbank/status/#")
    service = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert service.stdout.readline() == "sent\n"
    service.kill()
    service.wait()
    service.stdout.close()
    wait_until(lambda: subscriber.statuses() == ["online", "offline"], "the last will")
    late = connect(Subscriber, mosquitto, "patchbank/status/#")
    wait_until(lambda: late.statuses() == ["offline"], "the retained status")


def test_a_service_that_stops_says_offline_itself(mosquitto, records, connect):
    subscriber = connect(Subscriber, mosquitto, "patchbank/status/#")
    sending = outbox(records, mosquitto.url)
    records.add([inspection(1)], ["mqtt"])
    sending.notify()
    wait_until(lambda: subscriber.statuses() == ["online"], "online")
    sending.close()
    wait_until(lambda: subscriber.statuses() == ["online", "offline"], "offline")


def test_an_encrypted_broker_with_an_authority_of_ones_own(
    mosquitto_tls, certificates, records, connect
):
    subscriber = connect(Subscriber, mosquitto_tls)
    sending = connect(outbox, records, f"{mosquitto_tls.url}?ca={certificates.authority}")
    records.add([inspection(4)], ["mqtt"])
    sending.notify()
    wait_until(lambda: subscriber.inspections() == [4], "the message")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_broker_whose_certificate_nobody_has_signed_gets_nothing(mosquitto_tls, records, connect):
    sending = connect(outbox, records, mosquitto_tls.url)
    records.add([inspection(4)], ["mqtt"])
    sending.notify()
    wait_until(lambda: sending.states()[0].error, "an error")
    assert records.outbox_size("mqtt") == 1
    assert sending.states()[0].delivered == 0


def test_a_message_that_is_too_large_for_the_broker_is_set_aside(mosquitto, records, connect):
    mosquitto.stop()
    configuration = mosquitto.folder / "mosquitto.conf"
    configuration.write_text(configuration.read_text() + "max_packet_size 5000\n")
    mosquitto.start()
    subscriber = connect(Subscriber, mosquitto)
    sending = connect(outbox, records, mosquitto.url)
    large = inspection(2)
    large.result["regions"] = [dict.fromkeys("abcdefgh", 1.25)] * 200
    records.add([inspection(1), large, inspection(3)], ["mqtt"])
    sending.notify()
    wait_until(lambda: subscriber.inspections() == [1, 3], "the others")
    assert "expected at most 5000 bytes" in sending.states()[0].last_refusal
    assert records.refused("mqtt") == 1


def test_the_password_is_asked_for_and_never_shown(mosquitto, records, connect, monkeypatch):
    import subprocess

    mosquitto.stop()
    passwords = mosquitto.folder / "passwords"
    subprocess.run(
        ["mosquitto_passwd", "-b", "-c", str(passwords), "line", "correct-horse"], check=True
    )
    configuration = mosquitto.folder / "mosquitto.conf"
    text = configuration.read_text().replace("allow_anonymous true", "allow_anonymous false")
    configuration.write_text(text + f"password_file {passwords}\n")
    mosquitto.start()
    url = mosquitto.url.replace("mqtt://", "mqtt://line@")
    records.add([inspection(1)], ["mqtt"])
    monkeypatch.setenv("PATCHBANK_MQTT_PASSWORD", "wrong-horse")
    wrong = connect(outbox, records, url)
    wait_until(lambda: wrong.states()[0].error, "an error")
    wait_until(lambda: "Not authorized" in str(wrong.states()[0].error), "the reason")
    assert "horse" not in json.dumps(wrong.status())
    wrong.close()
    monkeypatch.delenv("PATCHBANK_MQTT_PASSWORD")
    secret = mosquitto.folder / "secret"
    secret.write_text("correct-horse\n")
    monkeypatch.setenv("PATCHBANK_MQTT_PASSWORD_FILE", str(secret))
    right = connect(outbox, records, url)
    wait_until(lambda: right.states()[0].delivered == 1, "the message")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://broker", "expected mqtt[s]://"),
        ("mqtt://", "expected mqtt[s]://"),
        ("mqtt://broker:x", "with a port"),
        ("mqtt://line:secret@broker", "expected no password in the address"),
        ("mqtt://broker?ca=/etc/ca.pem", "with ca, cert and key with mqtts, got ca"),
        ("mqtts://broker?insecure=1", "got insecure"),
        ("mqtts://broker?ca=/no/such/file.pem", "expected a file that can be read"),
        ("mqtt://broker/a/+/b", "topics without + and #"),
        ("ftp://line:secret@broker", "got 'ftp://broker'"),
    ],
)
def test_an_address_that_is_none_is_one_line_without_its_password(url, reason):
    with pytest.raises(ParameterError) as caught:
        Address.parse("--mqtt", url)
    assert reason in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_address_has_the_usual_ports_and_its_own_topics():
    plain = Address.parse("--mqtt", "mqtt://me%40plant@broker.local/plant/3")
    assert (plain.port, plain.username, plain.prefix) == (1883, "me@plant", "plant/3")
    assert Address.parse("--mqtt", "mqtts://[::1]").port == 8883
    assert Address.parse("--mqtt", "mqtt://[::1]:1884").shown == "::1:1884"


def test_certificates_that_are_none_are_one_line(tmp_path):
    wrong = tmp_path / "ca.pem"
    wrong.write_text("no certificate")
    spec = ChannelSpec("mqtt", "mqtt", f"mqtts://broker?ca={wrong}")
    with pytest.raises(ParameterError, match="mqtts: expected files of certificates and keys"):
        open_channels([spec], CONTEXT)


def test_acknowledgements_that_nobody_waits_for_are_forgotten(mosquitto):
    connection = Connection(
        Address.parse("--mqtt", mosquitto.url), password=None, client_id="patchbank-errors"
    )
    connection.start()
    try:
        wait_until(lambda: connection.is_connected, "the connection")
        for number in range(3 * MOST_ACKNOWLEDGED):
            connection.send_once("patchbank/bolts/error", str(number))
        connection.publish("patchbank/bolts/error", "the last", "key")
        assert len(connection._acknowledged) <= MOST_ACKNOWLEDGED
    finally:
        connection.close()
