"""Results to a real receiver over HTTP: down, broken, slow, refusing, and with another secret."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from patchbank.errors import ParameterError
from patchbank.server.outbox.channels import ChannelContext, ChannelSpec
from patchbank.server.outbox.delivery import Outbox, Retry
from patchbank.server.outbox.opening import open_channels
from patchbank.server.records.store import Records
from tests.server.real_servers import SECRET, wait_until
from tests.server.samples import inspection

CONTEXT = ChannelContext(instance="line-1", photograph=lambda _: None)


@pytest.fixture
def records(tmp_path):
    opened = Records.open(f"sqlite:///{tmp_path / 'records.sqlite'}", instance="line-1")
    yield opened
    opened.close()


@pytest.fixture
def outbox(records, receiver, monkeypatch):
    """-> starts an outbox that posts to the receiver."""
    monkeypatch.setenv("PATCHBANK_WEBHOOK_SECRET", SECRET)
    made = []

    def start():
        channels = open_channels([ChannelSpec("webhook", "webhook", receiver.url)], CONTEXT)
        made.append(Outbox(records, channels, retry=Retry(first_s=0.05, longest_s=0.2)))
        made[-1].start()
        return made[-1]

    yield start
    for one in made:
        one.close()


def add(records, outbox, numbers):
    answers = records.add([inspection(n) for n in numbers], ["webhook"])
    outbox.notify()
    return answers


def test_a_receiver_gets_the_inspection_and_the_signature_is_right(records, outbox, receiver):
    sending = outbox()
    (answer,) = add(records, sending, [7])
    wait_until(receiver.received, "the message")
    (got,) = receiver.received()
    assert got == {"key": "line-1/1/webhook", "body": answer.inspection.to_json()}
    assert not (receiver.folder / "foreign").exists()


def test_a_receiver_that_is_killed_and_comes_back_gets_all_in_order(records, outbox, receiver):
    sending = outbox()
    add(records, sending, range(20))
    wait_until(lambda: len(receiver.numbers()) >= 5, "the first messages")
    receiver.kill()
    add(records, sending, range(20, 60))
    wait_until(lambda: sending.states()[0].failures_in_a_row >= 3, "attempts")
    assert "expected an answer" in sending.states()[0].error
    assert "127.0.0.1" in sending.states()[0].error
    receiver.start()
    wait_until(lambda: records.outbox_size("webhook") == 0, "an empty table")
    assert receiver.numbers() == list(range(60))


@pytest.mark.parametrize("status", [500, 503, 401, 403, 404, 429, 301])
def test_a_receiver_that_is_not_itself_is_tried_again(records, outbox, receiver, status):
    receiver.say(str(status))
    sending = outbox()
    add(records, sending, range(3))
    wait_until(lambda: sending.states()[0].failures_in_a_row >= 3, "attempts")
    assert sending.states()[0].error.endswith(f"expected a status of 200 to 299, got {status}")
    receiver.say("ok")
    wait_until(lambda: receiver.numbers() == [0, 1, 2], "all messages")
    assert records.refused("webhook") == 0


def test_a_message_that_is_refused_for_good_does_not_hold_up_the_others(records, outbox, receiver):
    receiver.say('422:"serial_number": "1"')
    sending = outbox()
    add(records, sending, range(4))
    wait_until(lambda: receiver.numbers() == [0, 2, 3], "the others")
    wait_until(lambda: sending.states()[0].refused == 1, "the count")
    wait_until(lambda: records.outbox_size("webhook") == 0, "an empty table")
    assert sending.states()[0].last_refusal.startswith("inspection 2: ")
    receiver.say("ok")
    records.send_refused_again("webhook")
    sending.notify()
    wait_until(lambda: receiver.numbers() == [0, 2, 3, 1], "the one that was refused")


def test_a_receiver_that_answers_too_late_gets_the_same_key_again(
    records, outbox, receiver, monkeypatch
):
    monkeypatch.setattr("patchbank.server.outbox.webhook.TIMEOUT_S", 0.3)
    receiver.say("slow")
    sending = outbox()
    add(records, sending, range(2))
    wait_until(lambda: len(receiver.received()) >= 3, "the same message again")
    assert {one["key"] for one in receiver.received()} == {"line-1/1/webhook"}
    receiver.say("ok")
    wait_until(lambda: receiver.numbers() == [0, 1], "both")


def test_a_receiver_with_another_secret_refuses_and_loses_nothing(records, outbox, receiver):
    receiver.kill()
    receiver.start("another-secret-entirely")
    sending = outbox()
    add(records, sending, [5])
    wait_until(lambda: sending.states()[0].failures_in_a_row >= 2, "attempts")
    assert (receiver.folder / "foreign").exists()
    assert receiver.received() == []
    receiver.kill()
    receiver.start(SECRET)
    wait_until(lambda: receiver.numbers() == [5], "the message")


def test_a_process_that_is_killed_while_it_sends_leaves_no_gap_and_its_keys_are_the_same(
    tmp_path, records, outbox, receiver
):
    code = f"""
import time
from tests.server.samples import inspection
from patchbank.server.outbox.channels import ChannelContext, ChannelSpec
from patchbank.server.outbox.opening import open_channels
from patchbank.server.outbox.delivery import Outbox
from patchbank.server.records.store import Records
records = Records.open("sqlite:///{tmp_path}/records.sqlite", instance="line-1")
context = ChannelContext(instance="line-1", photograph=lambda _: None)
sending = Outbox(records, open_channels([ChannelSpec("webhook", "webhook", {receiver.url!r})],
                                        context))
sending.start()
for number in range(100000):
    records.add([inspection(number)], sending.channels)
    print(number, flush=True)
    sending.notify()
    time.sleep(0.005)
"""
    killed = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    acknowledged = []

    def read():
        acknowledged.extend(int(line) for line in killed.stdout)

    reading = threading.Thread(target=read)
    reading.start()
    wait_until(lambda: len(receiver.received()) >= 40, "messages")
    killed.kill()
    killed.wait()
    reading.join()
    killed.stdout.close()
    sending = outbox()
    wait_until(lambda: records.outbox_size("webhook") == 0, "an empty table")
    wait_until(lambda: sending.states()[0].waiting == 0, "the last message")
    numbers = receiver.numbers()
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > acknowledged[-1]
    keys = [one["key"] for one in receiver.received()]
    assert len(set(keys)) == len(numbers)


def test_a_receiver_whose_clock_is_late_by_an_hour_is_protected_from_old_messages():
    from patchbank.server.outbox.webhook import signature
    from tests.server.receiver import documented

    is_authentic = documented()
    old = str(int(time.time()) - 3600)
    headers = {"Patchbank-Timestamp": old, "Patchbank-Signature": signature(SECRET, old, b"{}")}
    assert not is_authentic(SECRET, headers, b"{}")
    assert not is_authentic(SECRET, {}, b"{}")


@pytest.mark.parametrize(
    "target", ["mes.local/hook", "ftp://mes.local", "https://", "http://[", "", "https://a:b:c"]
)
def test_an_address_that_is_none_is_one_line(monkeypatch, target):
    monkeypatch.setenv("PATCHBANK_WEBHOOK_SECRET", SECRET)
    with pytest.raises(ParameterError, match="channel webhook: expected an address https://"):
        open_channels([ChannelSpec("webhook", "webhook", target)], CONTEXT)


@pytest.mark.parametrize(("secret", "got"), [(None, "got none"), ("short", "got 5 characters")])
def test_a_webhook_without_a_secret_is_refused(monkeypatch, secret, got):
    monkeypatch.delenv("PATCHBANK_MES_2_SECRET", raising=False)
    if secret is not None:
        monkeypatch.setenv("PATCHBANK_MES_2_SECRET", secret)
    spec = ChannelSpec("mes-2", "webhook", "https://mes.local/hook")
    with pytest.raises(ParameterError, match="PATCHBANK_MES_2_SECRET") as caught:
        open_channels([spec], CONTEXT)
    assert got in str(caught.value)
    assert "short" not in str(caught.value)
