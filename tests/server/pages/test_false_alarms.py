"""False alarms that were not taught are offered to whoever may teach, as long as that is so."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.server.pages.reviewing import copied
from tests.server.services import Running, bearer, check_error, make_token, png, records_of

pytestmark = pytest.mark.serve


@pytest.fixture(scope="module")
def desk(fitted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alarms")
    data = folder / "data"
    secrets = {role: make_token(data, f"a-{role}", role) for role in ("operator", "engineer")}
    with Running(data, shutil.copy(fitted, folder / "parts.patchbank")) as running:
        running.http.headers.update(bearer(secrets["engineer"]))
        running.operator = bearer(secrets["operator"])
        yield running


def offered(desk, **query):
    answer = desk.http.get("/review/false-alarms", params=query)
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["inspections"]]


def test_false_alarms_are_offered_until_they_are_taught_and_after_an_undo(desk):
    first, second, defect = (
        desk.inspect(png(seed, defect=size)).json()["id"]
        for seed, size in ((3, 20), (4, 60), (5, 40))
    )

    def review(number, decision):
        sent = desk.http.post(f"/v1/inspections/{number}/review", json={"decision": decision})
        assert sent.status_code == 201, sent.text

    assert offered(desk) == []
    for number in (first, second):
        review(number, "false_alarm")
    review(defect, "unsure")
    assert offered(desk) == offered(desk, product="parts") == [second, first]
    assert offered(desk, product="others") == []
    lesson = {"normal": [{"inspection": first}], "must_find": [], "reason": "a drop"}
    taught = desk.http.post("/v1/products/parts/update", json=lesson)
    assert taught.json()["changed"], taught.text
    assert offered(desk) == [second]
    assert desk.http.post("/v1/products/parts/undo", json={"reason": "no"}).status_code == 200
    assert offered(desk) == [second, first]
    review(second, "withdrawn")
    assert offered(desk) == [first]


def test_old_ones_and_those_whose_photograph_is_gone_are_not_offered(desk):
    number = desk.inspect(png(6, defect=30)).json()["id"]
    with records_of(desk.data) as records:
        one = records.inspection(number)
        others = [
            replace(copied(one), time=one.time - timedelta(days=8)),
            replace(copied(one), photograph="ab/gone.png"),
            replace(copied(one), photograph=None),
        ]
        added = [each.inspection.id for each in records.add(others)]
        for each in (number, *added):
            records.add_review(each, "false_alarm", "anna")
    assert offered(desk)[0] == number
    assert not set(added) & set(offered(desk))


def test_who_may_not_teach_is_offered_nothing(desk):
    answer = desk.http.get("/review/false-alarms", headers=desk.operator)
    check_error(answer, 403)
