"""Changes of detectors over HTTP are those of the library, and none is lost or half done."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
import threading

import pytest

from patchbank.detector.changes import Thresholds
from patchbank.detector.loading import load
from patchbank.errors import ParameterError
from patchbank.server.records.data_folder import DataFolder
from patchbank.server.service.catalog import Catalog, Change
from patchbank.server.service.change_requests import Said
from patchbank.server.service.changes import Changes
from patchbank.server.service.errors import ApiError
from patchbank.server.service.settings import ServiceSettings
from patchbank.server.service.tokens import LOCAL
from tests.server.real_servers import wait_until
from tests.server.services import Running, bearer, check_error, make_token, png, records_of

pytestmark = pytest.mark.serve
SEEN = [png(seed) for seed in (1, 700)] + [png(203, defect=9)]
WHY = {"reason": "a test"}


@pytest.fixture
def running(detector_file, tmp_path):
    with Running(tmp_path / "data", detector_file, "--keep-good", "1") as service:
        service.file = detector_file
        yield service


def change(service, verb, product="parts", **body):
    return service.http.post(f"/v1/products/{product}/{verb}", json={**WHY, **body})


def entries(service, product="parts"):
    return service.http.get(f"/v1/products/{product}/detectors").json()["detectors"]


def check_same(service, detector, *, names=True):
    """The service gives the results of a detector to the last bit, and says so.

    The digests are those of the library where photographs had the same names.
    """
    product = service.http.get("/v1/products/parts").json()
    calibration = detector.calibration
    assert product["threshold"] == calibration.threshold
    assert product["false_alarm_rate"] == calibration.false_alarm_rate
    for sent in SEEN:
        found, expected = service.inspect(sent).json(), detector.predict(sent).to_json()
        for name in ("score", "p_value", "threshold", "anomalous", "regions", "unlike"):
            assert found[name] == expected[name], name
        assert found["detector_sha256"] == product["detector_sha256"]
        assert (found["detector_sha256"] == detector.sha256) == names


def state(service):
    """Everything that a change would change."""
    return (
        hashlib.sha256(service.file.read_bytes()).hexdigest(),
        entries(service),
        service.http.get("/v1/products/parts/history").json(),
        service.http.get("/v1/products/parts").json(),
        sorted((service.data / "versions").rglob("*")),
    )


def test_each_verb_is_that_of_the_library_to_the_last_bit(running):
    library = [load(running.file)]
    check_same(running, library[0])

    assert change(running, "tune", false_alarm_rate=0.25).status_code == 200
    library.append(library[0].with_false_alarm_rate(0.25))
    check_same(running, library[1])

    assert change(running, "tune", threshold=9.5, pixel_threshold=12.25).status_code == 200
    library.append(library[1].with_threshold(9.5, 12.25))
    check_same(running, library[2])

    good = [png(seed) for seed in (800, 801)]
    learned = [running.inspect(one).json()["id"] for one in good]
    updated = change(running, "update", good=learned, must_find=[]).json()
    library.append(library[2].updated(good))
    check_same(running, library[3], names=False)
    assert library[3].predict(SEEN[1]).score != library[2].predict(SEEN[1]).score

    assert change(running, "undo").status_code == 200
    check_same(running, library[2])
    assert change(running, "undo", to=0).status_code == 200
    check_same(running, library[0])

    sha256 = updated["detector_sha256"]
    assert change(running, "activate", sha256=sha256).json()["detector_sha256"] == sha256
    check_same(running, library[3], names=False)
    assert [one["action"] for one in entries(running)] == [
        *("activated", "undone", "undone", "updated", "tuned", "tuned", "served")
    ]
    check_same(running, load(running.file))


@pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")
def test_a_false_alarm_that_is_called_normal_is_learned_as_the_library_learns_it(running):
    before, sent = load(running.file), png(203, defect=9)
    flagged = running.inspect(sent).json()
    assert flagged["verdict"] == "anomalous"
    normal = [{"inspection": flagged["id"]}]
    assert change(running, "update", normal=normal, must_find=[]).status_code == 200
    check_same(running, before.updated(normal=before.predict(sent, keep_image=True)), names=False)


@pytest.mark.parametrize("must_find", ["confirmed", "given", "remembered"])
def test_a_guard_that_refuses_has_changed_nothing_and_names_what_would_be_lost(running, must_find):
    found = running.inspect(SEEN[2], name="blot.png").json()
    body = {"normal": [{"inspection": found["id"]}]}
    if must_find == "confirmed":
        running.http.post(found["links"]["review"], json={"decision": "confirmed_defect"})
    elif must_find == "given":
        body["must_find"] = [found["id"]]
    else:
        assert change(running, "update", remember=[found["id"]]).status_code == 200
    before = state(running)
    error = check_error(change(running, "update", **body), 409, "defects_lost")
    assert len(error["lost"]) == 1
    assert "blot.png" in error["lost"][0] or must_find == "remembered"
    assert state(running) == before
    refusal = running.http.get("/v1/audit?limit=1").json()["audit"][0]
    assert (refusal["action"], refusal["product"]) == ("update_refused", "parts")
    assert refusal["details"]["lost"] == error["lost"]
    assert running.inspect(SEEN[2]).json()["score"] == found["score"]


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("tune", {"threshold": True}),
        ("tune", {"threshold": "1.5"}),
        ("tune", {"false_alarm_rate": 0}),
        ("tune", {"false_alarm_rate": 1}),
        ("tune", {"threshold": 1.0, "false_alarm_rate": 0.1}),
        ("tune", {"threshold": 1.0, "reason": " "}),
        ("tune", {"threshold": 1.0, "reason": "x" * 2001}),
        ("undo", {"to": 0}),
        ("undo", {}),
        ("undo", {"to": 10**30}),
        ("activate", {"sha256": "0" * 63}),
        ("update", {"good": [10**30]}),
        ("update", {"normal": [{"inspection": 1, "regions": [1]}]}),
        ("update", {"normal": [{"inspection": 2}]}),
        ("update", {"limit_rows": 1, "good": [1]}),
        ("update", {"good": [1], "other": 1}),
        ("update", {"must_find": "all", "good": [1]}),
    ],
)
def test_a_change_that_cannot_be_made_changes_nothing(unchanged, verb, body):
    before = state(unchanged)
    error = check_error(change(unchanged, verb, **body), 422)
    assert ": expected " in error["message"] or error["message"].startswith("expected ")
    assert state(unchanged) == before


@pytest.fixture(scope="module")
def unchanged(fitted, tmp_path_factory):
    """A service with a good inspection and an unread one, and further products."""
    folder = tmp_path_factory.mktemp("unchanged")
    file = folder / "parts.patchbank"
    shutil.copy(fitted, file)
    with Running(folder / "data", file, "--keep-good", "1") as service:
        service.file = file
        assert service.inspect(png(1)).json()["regions"] == []
        check_error(service.inspect(b"no image"), 422, "unread")
        yield service


def test_a_detector_that_the_product_never_had_is_not_found(unchanged):
    error = check_error(change(unchanged, "activate", sha256="ab" * 32), 404)
    assert "/v1/products/parts/detectors lists them" in error["message"]
    for verb in ("tune", "undo", "activate", "update"):
        body = {"sha256": "ab" * 32} if verb == "activate" else {}
        body |= {"threshold": 1.0} if verb == "tune" else {}
        check_error(change(unchanged, verb, product="nuts", **body), 404, "unknown_product")


def test_the_same_detector_again_is_no_change(unchanged, fitted):
    before = state(unchanged)
    sha256 = load(fitted).sha256
    for response in (
        change(unchanged, "activate", sha256=sha256),
        unchanged.http.put("/v1/products/parts/detector", params=WHY, content=fitted.read_bytes()),
    ):
        content = response.json()
        assert (content["changed"], content["detector_sha256"]) == (False, sha256)
    assert state(unchanged) == before


def test_of_changes_at_once_each_is_made_or_refused(running):
    together, responses = threading.Barrier(4), {}

    def tune(threshold):
        together.wait()
        responses[threshold] = change(running, "tune", threshold=threshold)

    threads = [threading.Thread(target=tune, args=(5.0 + n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = [one for one in responses.values() if one.status_code == 200]
    refused = [one for one in responses.values() if one.status_code != 200]
    assert made
    for one in refused:
        check_error(one, 409)
        assert int(one.headers["retry-after"]) >= 1
    history = load(running.file).lineage.entries
    assert len(history) == 1 + len(made)
    assert [one["action"] for one in entries(running)] == ["tuned"] * len(made) + ["served"]
    last = load(running.file).calibration.threshold
    assert responses[last].json()["threshold"] == last
    assert running.inspect(SEEN[0]).json()["threshold"] == last


def test_a_change_while_another_is_under_way_is_refused_and_the_next_one_is_made(
    detector_file, tmp_path
):
    with records_of(tmp_path / "data") as records:
        folder = DataFolder(tmp_path / "data")
        catalog = Catalog(ServiceSettings(data=folder.folder), folder, records)
        product = catalog.add(detector_file, Change("served"))
        changes, said = Changes(catalog, records), Said(LOCAL, "a test")
        with product.changing, pytest.raises(ApiError) as refused:
            changes.tune("parts", Thresholds(threshold=4.5), said)
        assert (refused.value.status_code, refused.value.code) == (409, "change_under_way")
        assert not product.changing.locked()
        assert changes.tune("parts", Thresholds(threshold=4.5), said)["threshold"] == 4.5
        with pytest.raises(ParameterError):
            changes.undo("parts", 7, said)
        assert not product.changing.locked()


@pytest.mark.parametrize("harm", ["damaged", "gone"])
@pytest.mark.parametrize("verb", ["activate", "upload"])
def test_a_file_that_is_damaged_or_gone_is_replaced_by_a_request(running, fitted, harm, verb):
    first = load(fitted)
    assert change(running, "tune", threshold=4.5).status_code == 200
    if harm == "gone":
        running.file.unlink()
    else:
        running.file.write_bytes(running.file.read_bytes()[:-100])
    check_error(change(running, "tune", threshold=5.5), 422, "bad_detector")
    assert running.inspect(SEEN[0]).json()["threshold"] == 4.5
    if verb == "activate":
        response = change(running, "activate", sha256=first.sha256)
    else:
        content = fitted.read_bytes()
        response = running.http.put("/v1/products/parts/detector", params=WHY, content=content)
    assert response.status_code == 200, response.text
    assert response.json()["detector_sha256"] == first.sha256
    assert running.http.get("/v1/products/parts").json()["error"] is None
    assert running.file.read_bytes() == fitted.read_bytes()
    check_same(running, first)


def test_a_change_that_the_records_do_not_take_is_not_made(running):
    before, content = running.inspect(SEEN[0]).json()["threshold"], running.file.read_bytes()
    other = sqlite3.connect(running.data / "records.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    refused = change(running, "tune", threshold=4.5, reason="fewer misses")
    check_error(refused, 503, "not_recorded")
    assert running.http.get("/v1/products/parts").json()["threshold"] == before
    other.execute("ROLLBACK")
    other.close()
    assert running.file.read_bytes() == content
    wait_until(lambda: running.http.get("/ready").status_code == 200, "the database")
    assert change(running, "tune", threshold=4.5, reason="fewer misses").status_code == 200
    first, *others = entries(running)
    assert len(others) == 1
    assert (first["action"], first["reason"]) == ("tuned", "fewer misses")
    assert (first["by"], first["threshold"]) == ("local", 4.5)
    assert running.inspect(SEEN[0]).json()["threshold"] == 4.5


def test_a_new_product_that_the_records_did_not_take_is_uploaded_again(running, fitted):
    content = fitted.read_bytes()
    path, why = "/v1/products/nuts/detector", {"reason": "second line"}
    other = sqlite3.connect(running.data / "records.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    check_error(running.http.put(path, params=why, content=content), 503, "not_recorded")
    other.execute("ROLLBACK")
    other.close()
    again = running.http.put(path, params=why, content=content)
    assert again.status_code == 200, again.text
    (entry,) = entries(running, "nuts")
    assert (entry["action"], entry["by"], entry["reason"]) == ("uploaded", "local", "second line")
    foreign = running.inspect(SEEN[0], product="nuts").json()["id"]
    for lessons in ({"good": [foreign]}, {"normal": [{"inspection": foreign}]}):
        error = check_error(change(running, "update", **lessons), 422, "invalid")
        assert f"inspection: expected one of parts, got {foreign}" in error["message"]


def test_least_used_detectors_come_back_with_the_same_scores_also_without_their_copies(
    fitted, tmp_path
):
    data, names = tmp_path / "data", ("nuts", "parts")
    token = bearer(make_token(data, "root", "admin"))
    files = {name: tmp_path / f"{name}.patchbank" for name in names}
    for at, file in enumerate(files.values()):
        shutil.copy(fitted, file)
        load(file).with_threshold(6.0 + at).save(file, replaces=_digest(file))
    with Running(data, *files.values(), "--products-mb", "0.001") as running:

        def answer(name):
            return running.inspect(SEEN[2], product=name, headers=token).json()

        first = {name: answer(name) for name in names}
        assert (first["nuts"]["threshold"], first["parts"]["threshold"]) == (6.0, 7.0)
        for name in (*names, *names):
            assert answer(name)["score"] == first[name]["score"]
            products = running.http.get("/v1/products", headers=token).json()["products"]
            assert {one["product"] for one in products if one["in_memory"]} == {name}
        shutil.rmtree(data / "versions")
        for name in (*names, *names):
            again = answer(name)
            assert again["score"] == first[name]["score"]
            assert again["detector_sha256"] == first[name]["detector_sha256"]
        copies = sorted((data / "versions").rglob("*.patchbank"))
        assert [copy.parent.name for copy in copies] == list(names)
        copies[0].write_bytes(files["parts"].read_bytes())
        error = check_error(running.inspect(SEEN[2], product="nuts", headers=token), 503)
        assert "among the versions" in error["message"]


def _digest(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()
