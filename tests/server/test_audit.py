"""The audit is a chain that shows each change, and the database refuses to change it."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from threading import Thread

import pytest
from sqlalchemy import text

from patchbank.errors import ParameterError
from patchbank.server.records.audit import BEGINNING, hash_of
from patchbank.server.records.base import now
from patchbank.server.records.entries import AuditEntry, DetectorEntry
from patchbank.server.records.errors import NotRecorded
from tests.server.samples import MOMENT, inspection


def filled(records, number=5):
    return [records.append_audit("anna", "tuned", "bolts", {"to": n}) for n in range(number)]


def tampered(records, *statements):
    """Change the audit as somebody does who may change the database itself."""
    with records._database.writing() as connection:
        if records.is_sqlite:
            for name in ("audit_no_update", "audit_no_delete", "audit_in_order"):
                connection.execute(text(f"DROP TRIGGER IF EXISTS {name}"))
        else:
            connection.execute(text("ALTER TABLE audit DISABLE TRIGGER ALL"))
        for statement in statements:
            connection.execute(text(statement))


def test_entries_are_numbered_and_each_has_the_hash_of_the_one_before(records):
    entries = filled(records)
    assert [one.number for one in entries] == [1, 2, 3, 4, 5]
    assert [one.previous for one in entries] == [BEGINNING, *(one.hash for one in entries[:-1])]
    assert records.audit() == entries[::-1]
    assert records.audit(2, cursor=4) == [entries[2], entries[1]]
    assert records.verify_audit() is None


def test_the_hash_is_the_sha256_of_the_canonical_json():
    entry = AuditEntry(
        number=1,
        time=datetime(2026, 3, 1, 8, 30, 0, 5, timezone(timedelta(hours=1))),
        by="ä",
        action="tuned",
        product=None,
        details={"b": 1.5, "a": None},
        previous=BEGINNING,
        hash="",
    )
    # The sha256sum of this, in one line and with 64 zeros:
    # {"action":"tuned","by":"\\u00e4","details":{"a":null,"b":1.5},"number":1,
    # "previous":"000...","product":null,"time":"2026-03-01T07:30:00.000005Z"}
    assert hash_of(entry) == "e5381241d9aff5d74ab46a4261a1110d425b619a84a0d23459a15cbf5d06ee0d"
    others = [
        replace(entry, number=2),
        replace(entry, time=MOMENT),
        replace(entry, by="a"),
        replace(entry, action="undone"),
        replace(entry, product="bolts"),
        replace(entry, details={"b": 1.5}),
        replace(entry, previous="1" * 64),
    ]
    assert len({hash_of(one) for one in [entry, *others]}) == 8


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit SET details = '{}' WHERE number = 2", "DELETE FROM audit WHERE number = 5"],
)
def test_the_database_refuses_to_change_an_entry(records, statement):
    entries = filled(records)
    with (
        pytest.raises(NotRecorded, match="entries are never changed or removed"),
        records._database.writing() as connection,
    ):
        connection.execute(text(statement))
    assert records.audit() == entries[::-1]


def test_sqlite_refuses_to_replace_an_entry_by_inserting_it(tmp_path):
    from patchbank.server.records.store import Records

    records = Records.open(f"sqlite:///{tmp_path / 'r'}", instance="here")
    filled(records)
    statement = "INSERT OR REPLACE INTO audit SELECT 2, time, 'x', action, product, details, "
    with pytest.raises(NotRecorded, match="never changed"), records._database.writing() as c:
        c.execute(text(f"{statement} previous, hash FROM audit WHERE number = 2"))
    assert records.verify_audit() is None
    records.close()


@pytest.mark.postgres
def test_postgresql_refuses_to_empty_the_audit(postgres_url):
    from patchbank.server.records.store import Records

    records = Records.open(postgres_url, instance="here")
    filled(records)
    with pytest.raises(NotRecorded, match="never changed"), records._database.writing() as c:
        c.execute(text("TRUNCATE audit"))
    assert len(records.audit()) == 5
    records.close()


@pytest.mark.parametrize(
    ("statements", "first"),
    [
        (["UPDATE audit SET details = '{\"to\": 9}' WHERE number = 3"], 3),
        (["UPDATE audit SET details = 'no JSON' WHERE number = 3"], 3),
        (["UPDATE audit SET \"by\" = 'bert' WHERE number = 1"], 1),
        (["DELETE FROM audit WHERE number = 1"], 2),
        (["DELETE FROM audit WHERE number = 4"], 5),
        (["UPDATE audit SET hash = previous WHERE number = 2"], 2),
        (["DELETE FROM audit WHERE number = 2", "UPDATE audit SET number = 2 WHERE number = 3"], 2),
    ],
)
def test_a_change_is_found_at_its_entry(records, statements, first):
    filled(records)
    tampered(records, *statements)
    assert records.verify_audit().number == first


def test_long_chains_are_verified_in_parts(records, monkeypatch):
    monkeypatch.setattr("patchbank.server.records.audit.AT_ONCE", 2)
    filled(records, 7)
    assert records.verify_audit() is None
    tampered(records, "UPDATE audit SET action = 'x' WHERE number = 6")
    assert records.verify_audit().number == 6


def test_threads_append_one_after_the_other(records):
    threads = [Thread(target=filled, args=(records, 6)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.number for one in records.audit()] == list(range(24, 0, -1))
    assert records.verify_audit() is None


def test_what_cannot_be_in_the_chain_is_refused(records):
    for details in ({"x": float("nan")}, {"x": object()}, {"x": {1, 2}}):
        with pytest.raises(ParameterError, match="^details: expected what JSON can hold"):
            records.append_audit("anna", "tuned", "bolts", details)
    with pytest.raises(ParameterError, match="^action: expected at most 40 characters"):
        records.append_audit("anna", "x" * 41, None, {})
    assert records.audit() == []


def test_a_detector_is_noted_with_the_threshold_that_it_replaces(records):
    def entry(sha256, threshold, action):
        return DetectorEntry(
            product="bolts",
            sha256=sha256 * 64,
            time=now(),
            action=action,
            by="bert",
            reason="new lamp",
            threshold=threshold,
            false_alarm_rate=0.01,
        )

    first, second = entry("a", 11.5, "served"), entry("b", 12.25, "tuned")
    records.detector_taken_up(first)
    records.detector_taken_up(second)
    assert records.detectors("bolts") == [second, first]
    assert records.detectors("nuts") == []
    noted = records.audit()[0]
    assert (noted.by, noted.action, noted.product) == ("bert", "detector tuned", "bolts")
    assert noted.details == {
        "detector_sha256": "b" * 64,
        "threshold": 12.25,
        "false_alarm_rate": 0.01,
        "reason": "new lamp",
        "detector_before": "a" * 64,
        "threshold_before": 11.5,
    }
    assert "detector_before" not in records.audit()[1].details


def test_a_detector_is_known_since_an_inspection(records):
    first = DetectorEntry(
        product="bolts",
        sha256="a" * 64,
        time=now(),
        action="served",
        by="local",
        reason="",
        threshold=1.0,
        false_alarm_rate=0.01,
    )
    records.add([inspection(1), inspection(2)])
    records.detector_taken_up(first)
    records.add([inspection(3)])
    records.detector_taken_up(replace(first, action="activated"))
    assert records.first_with("bolts", "a" * 64) == 2
    assert records.first_with("nuts", "a" * 64) == 0
