"""What waits for a review, claimed over HTTP."""

from __future__ import annotations

import shutil

import pytest

from patchbank.server.records.store import Records
from tests.server.samples import inspection
from tests.server.services import Running, bearer, check_error, make_token

pytestmark = pytest.mark.serve
CLAIMS = "/v1/reviews/claims"
PAGE_1, PAGE_2 = "page-0001", "page-0002"


@pytest.fixture(scope="module")
def queue(fitted, tmp_path_factory):
    """A service with two tokens and ten flagged parts."""
    folder = tmp_path_factory.mktemp("queue")
    data = folder / "data"
    secrets = {name: make_token(data, name, "operator") for name in ("anna", "bert")}
    with Running(data, shutil.copy(fitted, folder / "parts.patchbank")) as running:
        records = Records.open(f"sqlite:///{data / 'records.sqlite'}", instance="other")
        records.add([inspection(n, verdict="anomalous", product="parts") for n in range(1, 11)])
        records.close()
        running.secrets = secrets
        yield running


def claim(queue, who, reviewer, count, **more):
    body = {"reviewer": reviewer, "count": count, **more}
    answer = queue.http.post(CLAIMS, json=body, headers=bearer(queue.secrets[who]))
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_claims_over_http_are_of_a_page_and_a_token(queue):
    first = claim(queue, "anna", PAGE_1, 3)
    assert [one["id"] for one in first["inspections"]] == first["held"] == [1, 2, 3]
    assert (first["waiting"], first["others"], first["ends_s"]) == (10, 0, 120)
    assert first["inspections"][0]["links"]["overlay"] is None  # it is not kept
    second = claim(queue, "anna", PAGE_2, 2)
    assert (second["held"], second["others"]) == ([4, 5], 3)
    same_name = claim(queue, "bert", PAGE_1, 1, order="newest", product="parts")
    assert same_name["held"] == [10]
    anna, bert = (bearer(queue.secrets[name]) for name in ("anna", "bert"))
    gone = queue.http.delete(f"{CLAIMS}/{PAGE_1}", headers=bert)
    assert (gone.status_code, gone.json()) == (200, {"released": 1})
    assert claim(queue, "anna", PAGE_1, 0)["held"] == [1, 2, 3]

    review = {"decision": "false_alarm", "reviewer": PAGE_1, "note": "<script>alert(1)</script>"}
    answer = queue.http.post("/v1/inspections/1/review", json=review, headers=anna)
    assert answer.status_code == 201
    for number, who in ((1, anna), (4, anna), (4, bert)):
        answer = queue.http.post(f"/v1/inspections/{number}/review", json=review, headers=who)
        check_error(answer, 409, "claimed")
    back = review | {"decision": "withdrawn"}
    assert queue.http.post("/v1/inspections/1/review", json=back, headers=anna).status_code == 201
    assert claim(queue, "anna", PAGE_1, 0)["held"] == [1, 2, 3]
    assert claim(queue, "anna", PAGE_1, 0, lot="none")["waiting"] == 0
    for times, waiting in (
        ({"since": "2026-03-01T08:30:00Z"}, 10),
        ({"since": "2026-03-01T10:30:01+02:00"}, 0),
        ({"until": "2026-03-01T08:30:00Z"}, 0),
        ({"since": "2026-03-01", "until": "2026-03-02", "shift": None}, 10),
        ({"shift": "late"}, 0),
    ):
        found = claim(queue, "anna", PAGE_1, 0, **times)
        assert (found["waiting"], found["anomalous"]) == (waiting, waiting), times


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reviewer": "short"},
        {"reviewer": "a/b-and-more"},
        {"reviewer": PAGE_1, "count": -1},
        {"reviewer": PAGE_1, "count": 101},
        {"reviewer": PAGE_1, "count": "1"},
        {"reviewer": PAGE_1, "order": "worst"},
        {"reviewer": PAGE_1, "since": "today"},
        {"reviewer": PAGE_1, "until": "yesterday"},
        {"reviewer": PAGE_1, "serial": "7"},
    ],
)
def test_other_claims_are_refused(queue, body):
    check_error(queue.http.post(CLAIMS, json=body, headers=bearer(queue.secrets["anna"])), 422)
    check_error(queue.http.delete(f"{CLAIMS}/short", headers=bearer(queue.secrets["anna"])), 422)
