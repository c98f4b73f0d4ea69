"""A review can be taken back by whoever made it; nothing is ever deleted."""

from __future__ import annotations

import pytest

from patchbank.errors import ParameterError
from patchbank.server.records.entries import Filter
from tests.server.samples import inspection
from tests.server.services import check_error, png


def counts(records):
    (count,) = records.counts("product").groups
    return count.confirmed_defects, count.false_alarms


def test_the_review_before_counts_again(records):
    records.add([inspection(1, verdict="anomalous")])
    records.add_review(1, "false_alarm", "anna")
    records.add_review(1, "confirmed_defect", "bert")
    assert counts(records) == (1, 0)
    withdrawn = records.add_review(1, "withdrawn", "bert", "wrong part")
    assert (withdrawn.decision, withdrawn.note) == ("withdrawn", "wrong part")
    assert records.inspection(1).review == "false_alarm"
    assert counts(records) == (0, 1)
    records.add_review(1, "withdrawn", "anna")
    assert records.inspection(1).review is None
    assert counts(records) == (0, 0)
    assert [one.id for one in records.inspections(Filter(review="none")).inspections] == [1]
    said = [(one.decision, one.by) for one in records.reviews(1)]
    assert said == [
        ("false_alarm", "anna"),
        ("confirmed_defect", "bert"),
        ("withdrawn", "bert"),
        ("withdrawn", "anna"),
    ]
    records.add_review(1, "unsure", "anna")
    records.add_review(1, "withdrawn", "anna")
    assert records.inspection(1).review is None


def test_nobody_takes_back_what_another_has_said(records):
    records.add([inspection(1, verdict="anomalous")])
    with pytest.raises(ParameterError, match="expected the latest review to be .*'anna'.*got none"):
        records.add_review(1, "withdrawn", "anna")
    records.add_review(1, "false_alarm", "anna")
    records.add_review(1, "confirmed_defect", "bert")
    with pytest.raises(ParameterError, match="got one of 'bert'"):
        records.add_review(1, "withdrawn", "anna")
    assert records.inspection(1).review == "confirmed_defect"
    assert len(records.reviews(1)) == 2
    assert counts(records) == (1, 0)


def test_a_review_is_withdrawn_over_http(service):
    number = service.inspect(png(31, defect=9)).json()["id"]
    path = f"/v1/inspections/{number}/review"
    check_error(service.http.post(path, json={"decision": "withdrawn"}), 422, "invalid")
    assert service.http.post(path, json={"decision": "false_alarm"}).status_code == 201
    assert service.http.post(path, json={"decision": "withdrawn"}).status_code == 201
    assert service.http.get(f"/v1/inspections/{number}").json()["review"] is None
    listed = service.http.get(f"/v1/inspections/{number}/reviews").json()["reviews"]
    assert [one["decision"] for one in listed] == ["false_alarm", "withdrawn"]
    check_error(service.http.get("/v1/inspections", params={"review": "withdrawn"}), 422)
