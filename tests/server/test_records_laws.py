"""The records against a dict, over any order of additions, repetitions, reviews and messages."""

import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from patchbank.errors import ParameterError
from patchbank.server.records.entries import DECISIONS, Answer, Filter
from patchbank.server.records.errors import KeyReused
from patchbank.server.records.store import Records
from tests.server.samples import inspection

QUICK = settings(
    max_examples=12, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
KEYS = st.sampled_from([None, None, "a", "b", "c"])
VERDICTS = st.sampled_from(["good", "anomalous", "unread"])
PRODUCTS = st.sampled_from(["bolts", "nuts"])
NEW = st.tuples(st.integers(0, 3), KEYS, VERDICTS, PRODUCTS)


class AgainstADict(RuleBasedStateMachine):
    """What a dict would answer, and what the records do."""

    def new_url(self):
        self.folder = tempfile.TemporaryDirectory()
        return f"sqlite:///{Path(self.folder.name) / 'records.sqlite'}"

    def __init__(self):
        super().__init__()
        self.url = self.new_url()
        self.records = Records.open(self.url, instance="here")
        self.stored = {}  # number -> inspection
        self.keys = {}  # product and key -> number
        self.waiting = []  # inspections that the channel has not had
        self.reviews = Counter()

    def teardown(self):
        self.records.close()
        if hasattr(self, "folder"):
            self.folder.cleanup()

    @rule(given=st.lists(NEW, max_size=6))
    def add(self, given):
        new = [
            replace(inspection(n, verdict=verdict, product=product), idempotency_key=key)
            for n, key, verdict, product in given
        ]
        for one, outcome in zip(new, self.records.add(new, ["c"]), strict=True):
            number = self.keys.get((one.product, one.idempotency_key))
            if one.idempotency_key is None or number is None:
                assert isinstance(outcome, Answer)
                assert outcome.is_new
                added = outcome.inspection
                assert added.id > max(self.stored, default=0)
                self.stored[added.id] = added
                self.waiting.append(added.id)
                if one.idempotency_key is not None:
                    self.keys[one.product, one.idempotency_key] = added.id
            elif self.stored[number].photograph_sha256 == one.photograph_sha256:
                assert outcome == Answer(self.stored[number], False)
            else:
                assert isinstance(outcome, KeyReused)

    @precondition(lambda self: self.stored)
    @rule(data=st.data(), decision=st.sampled_from(DECISIONS))
    def review(self, data, decision):
        number = data.draw(st.sampled_from(sorted(self.stored)))
        if self.stored[number].verdict == "unread" and decision == "false_alarm":
            with pytest.raises(ParameterError):
                self.records.add_review(number, decision, "anna")
            return
        self.records.add_review(number, decision, "anna")
        self.stored[number] = replace(self.stored[number], review=decision)
        self.reviews[number] += 1

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def deliver(self, data):
        count = data.draw(st.integers(1, len(self.waiting)))
        messages = self.records.messages("c", count)
        assert [one.inspection_id for one in messages] == self.waiting[:count]
        self.records.delivered([one.id for one in messages])
        del self.waiting[:count]

    @rule()
    def open_again(self):
        self.records.close()
        self.records = Records.open(self.url, instance="here")

    @invariant()
    def everything_is_as_in_the_dict(self):
        page = self.records.inspections(limit=1000)
        assert list(page.inspections) == [self.stored[n] for n in sorted(self.stored)[::-1]]
        for (product, key), number in self.keys.items():
            assert self.records.by_key(product, key) == self.stored[number]
        assert self.records.outbox_size("c") == len(self.waiting)
        for number, count in self.reviews.items():
            assert len(self.records.reviews(number)) == count
        assert self.records.damage() == []  # the tallies count what is there
        flagged = [one.id for one in self.stored.values() if one.verdict == "anomalous"]
        found = self.records.inspections(Filter(verdict="anomalous"), limit=1000).inspections
        assert [one.id for one in found] == sorted(flagged, reverse=True)


def test_records_are_a_dict_that_survives():
    run_state_machine_as_test(AgainstADict, settings=QUICK)


@pytest.mark.postgres
def test_records_in_postgresql_are_a_dict_that_survives(postgres_server):
    class InPostgres(AgainstADict):
        def new_url(self):
            return postgres_server.new_database()

    run_state_machine_as_test(InPostgres, settings=settings(QUICK, max_examples=5))
