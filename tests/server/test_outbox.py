"""Messages are delivered at least once and in order, whatever the receiver does."""

import json
import logging
import threading

import pytest

from patchbank.server.outbox.channels import Refused, Undelivered
from patchbank.server.outbox.delivery import Outbox, Retry
from patchbank.server.records.store import Records
from tests.server.real_servers import wait_until
from tests.server.samples import inspection

QUICK = Retry(first_s=0.02, longest_s=0.05, refusals=3)


class Receiver:
    """A receiver in this process: keeps what it gets, and fails as it is asked to."""

    def __init__(self):
        self.keys, self.numbers, self.products = [], [], []
        self.down = False
        self.refused = set()
        self.is_closed = False
        self.attempts = 0
        self.hold = None

    def send(self, message):
        self.attempts += 1
        if self.hold is not None:
            self.hold.wait(20)
        if self.down:
            raise Undelivered("10.0.0.9: expected an answer, got none")
        number = int(json.loads(message.payload)["serial_number"])
        if number in self.refused:
            raise Refused("10.0.0.9: expected a status of 200 to 299, got 422")
        self.keys.append(message.key)
        self.products.append(message.product)
        self.numbers.append(number)

    def close(self):
        self.is_closed = True


@pytest.fixture
def records(tmp_path):
    opened = Records.open(f"sqlite:///{tmp_path / 'records.sqlite'}", instance="line-1")
    yield opened
    opened.close()


@pytest.fixture
def outboxes():
    """-> makes and starts outboxes that are closed at the end of the test."""
    made = []

    def start(records, channels, **options):
        outbox = Outbox(records, channels, retry=QUICK, **options)
        made.append(outbox)
        outbox.start()
        return outbox

    yield start
    for outbox in made:
        outbox.close()


def add(records, numbers, channels=("mes",), **others):
    records.add([inspection(n, **others) for n in numbers], channels)


def test_messages_of_a_commit_arrive_in_the_order_of_their_inspections(records, outboxes):
    receiver = Receiver()
    outbox = outboxes(records, {"mes": receiver})
    for first in range(0, 250, 50):
        add(records, range(first, first + 50))
        outbox.notify()
    wait_until(lambda: len(receiver.numbers) == 250, "250 messages")
    assert receiver.numbers == list(range(250))
    assert receiver.keys[:2] == ["line-1/1/mes", "line-1/2/mes"]
    wait_until(lambda: records.outbox_size("mes") == 0, "an empty table")
    assert outbox.states()[0].delivered == 250


def test_what_a_receiver_gets_is_the_inspection_as_the_service_answers_it(records, outboxes):
    got = []

    class Keeps(Receiver):
        def send(self, message):
            got.append(json.loads(message.payload))

    (answer,) = records.add([inspection(7, verdict="anomalous")], ["mes"])
    outboxes(records, {"mes": Keeps()})
    wait_until(lambda: got, "the message")
    assert got == [answer.inspection.to_json()]
    assert got[0]["verdict"] == "anomalous"
    assert got[0]["serial_number"] == "7"


def test_a_receiver_that_is_down_costs_nothing_but_delay(records, outboxes, caplog):
    receiver = Receiver()
    receiver.down = True
    with caplog.at_level(logging.INFO, logger="patchbank"):
        outbox = outboxes(records, {"mes": receiver})
        for n in range(30):
            add(records, [n])
            outbox.notify()
        wait_until(lambda: receiver.attempts >= 5, "attempts")
        state = outbox.states()[0]
        assert state.error == "10.0.0.9: expected an answer, got none"
        assert state.failures_in_a_row >= 4
        assert state.last_delivery is None
        receiver.down = False
        wait_until(lambda: len(receiver.numbers) == 30, "30 messages")
    assert receiver.numbers == list(range(30))
    assert outbox.states()[0].error is None
    lines = [record.message for record in caplog.records]
    assert lines == [
        "outbox mes: 10.0.0.9: expected an answer, got none; it is tried again",
        "outbox mes: works again",
    ]


def test_one_receiver_that_is_down_keeps_no_other_from_getting_its_messages(records, outboxes):
    down, works = Receiver(), Receiver()
    down.down = True
    outbox = outboxes(records, {"mes": down, "archive": works})
    assert outbox.channels == ("mes", "archive")
    add(records, range(5), outbox.channels)
    outbox.notify()
    wait_until(lambda: works.numbers == [0, 1, 2, 3, 4], "messages of the other one")
    assert records.outbox_size("mes") == 5


def test_what_an_earlier_process_left_is_sent_first(tmp_path, outboxes):
    url = f"sqlite:///{tmp_path / 'records.sqlite'}"
    earlier = Records.open(url, instance="line-1")
    add(earlier, range(3))
    earlier.close()
    later = Records.open(url, instance="line-1")
    receiver = Receiver()
    outbox = outboxes(later, {"mes": receiver})
    add(later, [3])
    outbox.notify()
    wait_until(lambda: len(receiver.numbers) == 4, "all messages")
    assert receiver.numbers == [0, 1, 2, 3]
    outbox.close()
    later.close()


def test_messages_of_another_service_in_the_same_database_are_left_to_it(tmp_path, outboxes):
    url = f"sqlite:///{tmp_path / 'records.sqlite'}"
    ours, theirs = (Records.open(url, instance=name) for name in ("line-1", "line-2"))
    add(theirs, [90])
    add(ours, [1])
    receiver = Receiver()
    outbox = outboxes(ours, {"mes": receiver})
    wait_until(lambda: receiver.numbers, "our message")
    outbox.close()
    assert receiver.numbers == [1]
    assert theirs.outbox_size("mes") == 1
    ours.close()
    theirs.close()


def test_a_message_that_is_refused_is_set_aside_and_can_be_sent_again(records, outboxes, caplog):
    receiver = Receiver()
    receiver.refused = {1}
    outbox = outboxes(records, {"mes": receiver})
    add(records, range(3))
    outbox.notify()
    wait_until(lambda: receiver.numbers == [0, 2], "the others")
    assert receiver.attempts == 5  # three of the refused one
    wait_until(lambda: outbox.states()[0].refused == 1, "the count")
    state = outbox.states()[0]
    assert state.last_refusal == (
        "inspection 2: 10.0.0.9: expected a status of 200 to 299, got 422"
    )
    assert "outbox mes: refused 3 times, not sent: inspection 2" in caplog.text
    entry = records.audit(1)[0]
    assert entry.action == "message refused"
    assert entry.details["inspection"] == 2
    receiver.refused = set()
    assert records.send_refused_again("mes") == 1
    outbox.notify()
    wait_until(lambda: receiver.numbers == [0, 2, 1], "the one that was refused")
    assert receiver.keys[-1] == "line-1/2/mes"


def test_the_limit_drops_the_oldest_and_says_so(records, outboxes, caplog, monkeypatch):
    monkeypatch.setattr("patchbank.server.outbox.delivery.CHECKED_EVERY_S", 0.01)
    receiver = Receiver()
    receiver.down = True
    add(records, range(12))
    outbox = outboxes(records, {"mes": receiver}, limit=10)
    wait_until(lambda: outbox.states()[0].dropped == 2, "two dropped")
    add(records, range(12, 15))
    wait_until(lambda: outbox.states()[0].dropped == 5, "three more, while it waits")
    assert outbox.states()[0].waiting == 10
    assert "outbox mes: more than 10 messages wait, the oldest 2 were dropped" in caplog.text
    dropped = [entry.details for entry in records.audit() if entry.action == "messages dropped"]
    assert sum(each["messages"] for each in dropped) == 5
    receiver.down = False
    wait_until(lambda: len(receiver.numbers) == 10, "the rest")
    assert receiver.numbers == list(range(5, 15))


def test_an_error_of_a_foreign_channel_is_a_reason_to_wait_and_never_to_end(records, outboxes):
    class Broken(Receiver):
        def send(self, message):
            self.attempts += 1
            if self.attempts < 3:
                raise ZeroDivisionError("a fault\nof a package")
            if self.attempts < 5:
                raise SystemExit(3)
            self.numbers.append(message.inspection_id)

    receiver = Broken()
    outbox = outboxes(records, {"plc": receiver})
    add(records, [1], ["plc"])
    outbox.notify()
    wait_until(lambda: receiver.numbers == [1], "the message")
    assert receiver.attempts == 5


def test_the_reason_of_a_foreign_error_is_one_line(records, outboxes):
    class Broken(Receiver):
        def send(self, message):
            raise ZeroDivisionError("a fault\nof a package")

    outbox = outboxes(records, {"plc": Broken()})
    add(records, [1], ["plc"])
    outbox.notify()
    wait_until(lambda: outbox.states()[0].error, "the error")
    assert outbox.states()[0].error == "ZeroDivisionError: a fault of a package"
    json.dumps(outbox.status())


def test_attempts_are_counted_in_the_table(records, outboxes):
    receiver = Receiver()
    receiver.down = True
    outbox = outboxes(records, {"mes": receiver})
    add(records, [1])
    outbox.notify()
    wait_until(lambda: records.messages("mes", 1)[0].attempts >= 2, "attempts")


def test_messages_for_a_channel_that_is_not_given_any_more_stay_and_are_named(
    records, outboxes, caplog
):
    add(records, range(4), ["old"])
    outbox = outboxes(records, {"mes": Receiver()})
    assert outbox.status()["without_channel"] == ["old"]
    assert "outbox old: 4 messages wait for a channel that is not given; they stay" in caplog.text
    assert records.outbox_size("old") == 4


def test_a_database_that_is_gone_for_a_while_loses_no_message(records, outboxes, monkeypatch):
    from patchbank.server.intake import NotRecorded

    receiver, real, broken = Receiver(), records.delivered, threading.Event()
    broken.set()

    def delivered(numbers):
        if broken.is_set():
            raise NotRecorded("records.sqlite: expected a database that can record, got: locked")
        real(numbers)

    monkeypatch.setattr(records, "delivered", delivered)
    outbox = outboxes(records, {"mes": receiver})
    add(records, range(3))
    outbox.notify()
    wait_until(lambda: outbox.states()[0].error, "the error")
    assert "locked" in outbox.states()[0].error
    broken.clear()
    wait_until(lambda: records.outbox_size("mes") == 0, "an empty table")
    assert receiver.numbers == [0, 1, 2]  # marked late, but not sent twice


def test_closing_ends_the_connection_and_leaves_what_waits(records, outboxes):
    receiver = Receiver()
    receiver.hold = threading.Event()
    outbox = outboxes(records, {"mes": receiver})
    add(records, range(4))
    outbox.notify()
    wait_until(lambda: receiver.attempts == 1, "the first message")
    closing = threading.Thread(target=outbox.close)
    closing.start()
    receiver.hold.set()
    closing.join(20)
    assert not closing.is_alive()
    assert receiver.is_closed
    assert receiver.numbers == [0]
    assert records.outbox_size("mes") == 3


def test_a_receiver_that_never_answers_does_not_keep_the_service_from_stopping(
    records, outboxes, caplog
):
    receiver = Receiver()
    receiver.hold = threading.Event()
    outbox = outboxes(records, {"mes": receiver})
    add(records, [1])
    outbox.notify()
    wait_until(lambda: receiver.attempts == 1, "the first message")
    outbox.close(wait_s=0.1)
    assert "outbox mes: the receiver does not answer" in caplog.text
    receiver.hold.set()


@pytest.mark.parametrize(
    ("failures", "low", "high"), [(1, 0.5, 1), (2, 1, 2), (4, 4, 8), (7, 30, 60), (900, 30, 60)]
)
def test_waits_double_up_to_a_minute_and_are_not_all_equal(failures, low, high):
    waits = [Retry().wait_s(failures) for _ in range(200)]
    assert low <= min(waits)
    assert max(waits) <= high
    assert len({round(wait, 9) for wait in waits}) > 100
