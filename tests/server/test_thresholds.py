"""What another threshold would do, asked by programs: it is what `tune` does then."""

from __future__ import annotations

import shutil

import pytest

from patchbank.detector.loading import load
from tests.server.services import Running, check_error, png, run

pytestmark = pytest.mark.serve


PRODUCTS = ("empty", "moved", "rate", "threshold")


@pytest.fixture(scope="module")
def line(fitted, tmp_path_factory):
    """A service with a product for each test."""
    folder = tmp_path_factory.mktemp("thresholds")
    files = [shutil.copy(fitted, folder / f"{name}.patchbank") for name in PRODUCTS]
    with Running(folder / "data", *files, "--keep-good", "1") as running:
        running.folder = folder
        yield running


def asked(running, product, path="scores", **query):
    response = running.http.get(f"/v1/products/{product}/{path}", params=query)
    assert response.status_code == 200, response.text
    return response.json()


def tune(running, product, **content):
    answer = running.http.post(f"/v1/products/{product}/tune", json={"reason": "test", **content})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_scores_are_those_of_the_detector_and_of_the_records(line, fitted):
    calibration = load(fitted).calibration
    empty = asked(line, "empty")
    assert empty["parts"] == []
    assert empty["shift"]["counted"] == "nothing"
    assert empty["left_out"] == sorted(float(f"{s:.4g}") for s in calibration.image_scores)
    assert empty["threshold"] == calibration.threshold
    assert empty["false_alarm_rate"] == 0.1
    sent = [
        line.inspect(png(seed, defect=9 * (seed % 2)), shift="early", product="empty")
        for seed in range(5)
    ]
    answers = [one.json() for one in sent]
    line.inspect(b"text", product="empty")
    defect = answers[1]["id"]
    review = {"decision": "confirmed_defect"}
    assert line.http.post(f"/v1/inspections/{defect}/review", json=review).status_code == 201
    found = asked(line, "empty")
    kinds = ["good", "confirmed_defect", "good", "undecided", "good"]
    assert found["parts"] == [
        {"id": one["id"], "score": one["score"], "kind": kind, "is_always_flagged": False}
        for one, kind in zip(answers[::-1], kinds[::-1], strict=True)
    ]
    assert (found["n_other_detector"], found["n_unread"]) == (0, 1)
    assert found["shift"] == {"parts": 5, "counted": "shifts", "n": 1, "days": 7}
    assert [one["id"] for one in asked(line, "empty", parts=3)["parts"]] == [5, 4]  # and one unread
    for wrong in (0, 5001, "x"):
        check_error(line.http.get("/v1/products/empty/scores", params={"parts": wrong}), 422)
    check_error(line.http.get("/v1/products/nuts/scores"), 404, "unknown_product")


@pytest.mark.parametrize(
    ("product", "wanted"),
    [("threshold", {"threshold": 0.4}), ("rate", {"false_alarm_rate": 0.02})],
)
def test_what_is_expected_of_a_threshold_is_what_tune_then_sets(line, product, wanted):
    file = line.folder / f"{product}.patchbank"
    before = file.read_bytes()
    expected = asked(line, product, "threshold", **wanted)
    assert file.read_bytes() == before  # asking changes nothing
    answer = tune(line, product, **wanted)
    assert answer["threshold"] == expected["threshold"]
    calibration = load(file).calibration
    assert calibration.threshold == expected["threshold"]
    assert calibration.expected_rate == expected["false_alarm_rate"]
    after = asked(line, product)
    for key in ("threshold", "false_alarm_rate", "guaranteed_rate", "is_extrapolated"):
        assert after[key] == expected[key]
    assert after["is_set_by_hand"] is ("threshold" in wanted)


def test_thresholds_that_tune_refuses_are_refused_alike(line):
    for query, message in (
        ({}, "false_alarm_rate: expected it or threshold, got neither"),
        ({"threshold": -1}, "everything would be called anomalous"),
        ({"threshold": 1, "false_alarm_rate": 0.1}, "expected without false_alarm_rate, got both"),
        ({"threshold": "nan"}, "threshold: expected a finite number"),
        ({"false_alarm_rate": 1}, "false_alarm_rate: expected less than 1"),
    ):
        refused = line.http.get("/v1/products/empty/threshold", params=query)
        assert message in check_error(refused, 422)["message"]


def test_a_moved_threshold_keeps_scores_comparable_and_another_detector_does_not(line):
    def compared():
        found = asked(line, "moved")
        return len(found["parts"]), found["n_other_detector"]

    numbers = [line.inspect(png(seed), product="moved").json()["id"] for seed in (101, 102)]
    tune(line, "moved", threshold=0.5)
    line.inspect(png(103), product="moved")
    tune(line, "moved", false_alarm_rate=0.05)
    assert compared() == (3, 0)
    learned = {"good": numbers, "reason": "more"}
    updated = line.http.post("/v1/products/moved/update", json=learned)
    assert updated.status_code == 200, updated.text
    line.inspect(png(104), product="moved")
    assert compared() == (1, 3)
    undone = line.http.post("/v1/products/moved/undo", json={"reason": "back"})
    assert undone.status_code == 200, undone.text
    assert compared() == (3, 1)


def test_one_learned_photograph_promises_no_rate(tmp_path):
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "1.png").write_bytes(png(1))
    file = tmp_path / "parts.patchbank"
    fit = ("--preset", "fast", "--image-size", 64)
    done = run("fit", tmp_path / "good", "--out", file, *fit)
    assert done.returncode == 0, done.stderr
    with Running(tmp_path / "data", file) as running:
        found = asked(running, "parts")
        assert found["false_alarm_rate"] is None
        assert {one["false_alarm_rate"] for one in found["steps"]} == {None}
        refused = running.http.get("/v1/products/parts/threshold?false_alarm_rate=0.1")
        assert "single photograph" in check_error(refused, 422)["message"]
        trial = running.http.post("/v1/trials", files={"image": png(2)}).json()
        assert trial["is_rate_known"] is False
