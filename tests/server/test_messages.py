"""Messages wait with the inspection, in order, until they are delivered, dropped or set aside."""

import json
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from patchbank.server.records.errors import NotRecorded
from patchbank.server.records.store import Records
from tests.server.samples import inspection


def waiting(records, channel, limit=100):
    return [message.inspection_id for message in records.messages(channel, limit)]


def test_each_channel_has_each_inspection_in_order(records):
    records.add([inspection(n) for n in range(3)], ["mqtt", "webhook"])
    assert waiting(records, "mqtt") == waiting(records, "webhook") == [1, 2, 3]
    assert waiting(records, "mqtt", 2) == [1, 2]
    assert records.channels() == ["mqtt", "webhook"]
    first = records.messages("webhook", 1)[0]
    assert (first.product, first.key, first.attempts) == ("bolts", "here/1/webhook", 0)
    assert json.loads(first.payload) == records.inspection(1).to_json()


@contextmanager
def taking_nothing(records, table):
    """A table that takes no row for a while; the others do."""
    for old, new in ((table, "away"), ("away", table)):
        with records._database.writing() as connection:
            connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))
        if new == "away":
            yield


@pytest.mark.parametrize("table", ["inspections", "tallies", "outbox"])
def test_an_inspection_its_counts_and_its_messages_are_recorded_together_or_not(records, table):
    with taking_nothing(records, table), pytest.raises(NotRecorded):
        records.add([inspection(1), inspection(2)], ["mqtt"])
    assert records.inspections().inspections == ()
    assert records.counts("product").groups == ()
    assert waiting(records, "mqtt") == []
    records.add([inspection(1)], ["mqtt"])
    (one,) = records.inspections().inspections
    assert waiting(records, "mqtt") == [one.id]
    assert [group.good for group in records.counts("product").groups] == [1]


@pytest.mark.parametrize("table", ["reviews", "tallies"])
def test_a_review_and_the_counts_that_it_changes_are_recorded_together_or_not(records, table):
    records.add([inspection(1, verdict="anomalous")])
    with taking_nothing(records, table), pytest.raises(NotRecorded):
        records.add_review(1, "false_alarm", "anna")
    assert records.reviews(1) == []
    assert records.inspection(1).review is None
    assert [group.false_alarms for group in records.counts("product").groups] == [0]


def test_a_photograph_under_its_key_is_sent_once(records):
    keyed = inspection(1, idempotency_key="k")
    records.add([keyed, keyed], ["mqtt"])
    records.add([keyed], ["mqtt"])
    assert waiting(records, "mqtt") == [1]


def test_what_was_delivered_is_gone_and_what_failed_waits_on(records):
    records.add([inspection(n) for n in range(4)], ["mqtt", "webhook"])
    numbers = [message.id for message in records.messages("mqtt", 2)]
    records.delivered(numbers)
    records.delivered(numbers)
    records.delivered([])
    assert waiting(records, "mqtt") == [3, 4]
    assert records.outbox_size("mqtt") == 2
    assert records.outbox_size("webhook") == 4
    last = records.messages("mqtt", 1)[0]
    records.failed(last.id)
    records.failed(last.id)
    assert [message.attempts for message in records.messages("mqtt", 9)] == [2, 0]


def test_the_oldest_are_dropped_and_the_audit_says_which(records):
    records.add([inspection(n) for n in range(5)], ["mqtt", "webhook"])
    assert records.drop_oldest("mqtt", 5) == 0
    assert records.audit() == []
    assert records.drop_oldest("mqtt", 2) == 3
    assert waiting(records, "mqtt") == [4, 5]
    assert records.outbox_size("webhook") == 5
    (noted,) = records.audit()
    assert (noted.by, noted.action) == ("outbox", "messages dropped")
    assert noted.details == {
        "channel": "mqtt",
        "instance": "here",
        "messages": 3,
        "first_inspection": 1,
        "last_inspection": 3,
    }
    assert records.drop_oldest("mqtt", 0) == 2
    assert waiting(records, "mqtt") == []


def test_a_refused_message_lets_others_go_and_can_be_sent_again(records):
    records.add([inspection(n) for n in range(3)], ["mqtt"])
    first = records.messages("mqtt", 1)[0]
    records.set_aside(first.id, "413: too\0 large")
    records.set_aside(99, "there is none")
    assert waiting(records, "mqtt") == [2, 3]
    assert (records.outbox_size("mqtt"), records.refused("mqtt")) == (2, 1)
    (noted,) = records.audit()
    assert (noted.action, noted.product) == ("message refused", "bolts")
    assert noted.details == {"channel": "mqtt", "inspection": 1, "reason": "413: too large"}
    assert records.drop_oldest("mqtt", 0) == 2  # one that was set aside is kept
    assert records.send_refused_again("webhook") == 0
    assert records.send_refused_again("mqtt") == 1
    assert waiting(records, "mqtt") == [1]
    assert records.refused("mqtt") == 0


def test_messages_of_another_service_are_not_sent(records, database_url):
    other = Records.open(database_url, instance="there")
    records.add([inspection(1)], ["mqtt"])
    assert other.messages("mqtt", 9) == []
    assert other.channels() == []
    assert other.drop_oldest("mqtt", 0) == 0
    assert other.send_refused_again("mqtt") == 0
    other.close()
    assert waiting(records, "mqtt") == [1]
