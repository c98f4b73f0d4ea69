"""Parts of the service by themselves: limits, memory, the order of records, words of errors."""

from __future__ import annotations

import io
import math
import shutil
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from fastapi.exceptions import RequestValidationError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from starlette.exceptions import HTTPException

from patchbank.core.scores.calibration import Calibration
from patchbank.detector.inspection import FailedInspection
from patchbank.detector.loading import load
from patchbank.errors import (
    BackboneError,
    DataError,
    DetectorFileError,
    GuardError,
    ImageError,
    ParameterError,
    PatchbankError,
    ShapeError,
)
from patchbank.runtime.file_lock import FolderInUse, locked_folder
from patchbank.runtime.threads import usable_cores
from patchbank.server.intake import (
    Answer,
    Busy,
    KeyReused,
    NotRecorded,
    Submission,
    UnknownProduct,
)
from patchbank.server.records.data_folder import DataFolder
from patchbank.server.records.entries import Fields
from patchbank.server.service import inference as inference_module
from patchbank.server.service.answers import answer, api_error
from patchbank.server.service.catalog import Catalog, Change
from patchbank.server.service.committing import Committer, Finished
from patchbank.server.service.computing import is_border
from patchbank.server.service.congestion import LONGEST_S, Congestion
from patchbank.server.service.errors import ApiError, body_of, error_of
from patchbank.server.service.inference import Inference
from patchbank.server.service.keeping import (
    digest_of,
    files_of,
    is_sampled,
    map_png,
    map_range,
    overlay_jpeg,
)
from patchbank.server.service.memory import DetectorMemory
from patchbank.server.service.settings import ServiceSettings
from patchbank.server.service.tokens import Caller, Failures, TokenBook
from patchbank.server.service.validation import words_of
from patchbank.server.service.versions import Versions
from tests.server.real_servers import wait_until
from tests.server.samples import inspection
from tests.server.services import png, records_of

pytestmark = pytest.mark.serve


# --- words of errors


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Busy("x", 3), 429, "busy"),
        (NotRecorded("x"), 503, "not_recorded"),
        (UnknownProduct("x"), 404, "unknown_product"),
        (KeyReused("x"), 422, "key_reused"),
        (GuardError("x", ("a.png",)), 409, "defects_lost"),
        (ImageError("x"), 422, "unread"),
        (DetectorFileError("x"), 422, "bad_detector"),
        (BackboneError("x"), 422, "bad_detector"),
        (ParameterError("x"), 422, "invalid"),
        (ShapeError("x"), 422, "invalid"),
        (DataError("x"), 422, "invalid"),
        (PatchbankError("x"), 500, "fault"),
    ],
)
def test_each_exception_has_its_status_and_its_word(error, status, code):
    found = error_of(error)
    assert (found.status_code, found.code, found.detail) == (status, code, "x")


def test_errors_that_pass_say_when_to_come_again():
    assert error_of(Busy("x", 3)).headers == {"Retry-After": "3"}
    assert int(error_of(NotRecorded("x")).headers["Retry-After"]) >= 1
    assert not error_of(ParameterError("x")).headers


def test_a_guard_names_what_would_be_lost():
    body = body_of(error_of(GuardError("lost", ("a.png", "b.png"))))
    assert body["error"]["lost"] == ["a.png", "b.png"]


def test_a_fault_says_nothing_of_its_inside():
    found = api_error(ZeroDivisionError("/secret/path"))
    assert found.status_code == 500
    assert "secret" not in found.detail
    assert "ZeroDivisionError" in found.detail


def test_a_message_of_several_lines_becomes_one():
    assert ApiError(400, "two\n  lines").detail == "two lines"


@pytest.mark.parametrize(
    ("status", "beginning"),
    [(404, "path: expected one"), (405, "method: expected one"), (400, "request: expected one")],
)
def test_errors_of_the_framework_get_the_words_of_the_project(status, beginning):
    body = body_of(api_error(HTTPException(status)))
    assert body["error"]["message"].startswith(beginning)
    assert body["error"]["status"] == status


def test_answers_escape_what_would_break_a_line_and_are_utf_8():
    response = answer({"name": "größe\n\udcff"})
    assert response.body.decode("utf-8") == '{"name": "größe\\n\\udcff"}'


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            {
                "loc": ("query", "limit"),
                "msg": "Input should be a valid integer, unable",
                "input": "x",
                "type": "int_parsing",
            },
            "limit: expected a valid integer, unable, got 'x'",
        ),
        (
            {"loc": ("body", "reason"), "msg": "Field required", "input": {}, "type": "missing"},
            "reason: expected a value, got none",
        ),
        (
            {"loc": ("body", "rate"), "msg": "Extra inputs", "input": 1, "type": "extra_forbidden"},
            "rate: expected none of that name, got one",
        ),
        (
            {"loc": ("body", 3), "msg": "JSON decode error", "input": {}, "type": "json_invalid"},
            "body: expected JSON, got other text",
        ),
        (
            {
                "loc": ("body", "normal", 0, "inspection"),
                "msg": "Input should be greater than or equal to 1",
                "input": 0,
                "type": "greater_than_equal",
            },
            "normal.0.inspection: expected greater than or equal to 1, got 0",
        ),
    ],
)
def test_what_the_framework_refuses_is_said_in_one_line(error, message):
    assert words_of([error]) == message
    assert words_of([error, error]).startswith(message)
    assert RequestValidationError([error]).errors() == [error]


def test_a_long_value_is_cut_in_a_message():
    error = {
        "loc": ("query", "lot"),
        "msg": "String should have at most 200 characters",
        "input": "x" * 5000,
        "type": "string_too_long",
    }
    said = words_of([error])
    assert said.startswith("lot: expected at most 200 characters, got 'xxx")
    assert len(said) < 150


# --- who may ask


@pytest.mark.parametrize("role", ["operator", "engineer", "admin"])
def test_a_role_may_do_what_those_before_it_may(role):
    roles = ["operator", "engineer", "admin"]
    allowed = [needed for needed in roles if Caller("eva", role).may(needed)]
    assert allowed == roles[: roles.index(role) + 1]


@given(st.lists(st.floats(0, 30), min_size=1, max_size=60), st.integers(1, 12))
def test_no_more_failures_pass_in_any_minute_than_are_allowed(waits, most):
    failures, now, passed = Failures(most), 0.0, []
    for wait in waits:
        now += wait
        left = failures.wait_s("10.0.0.7", now)
        if left == 0:
            passed.append(now)
        else:
            assert 1 <= left <= 60
    for at in passed:
        assert sum(at - 60 < other <= at for other in passed) <= most


def test_failures_of_one_address_do_not_count_for_another():
    failures = Failures(1)
    assert failures.wait_s("a", 0.0) == 0
    assert failures.wait_s("b", 0.0) == 0
    assert failures.wait_s("a", 1.0) == 59


def test_tokens_are_remembered_for_a_moment_and_forgotten_when_they_change(tmp_path):
    with records_of(tmp_path) as records:
        book = TokenBook(records)
        assert not book.is_needed()
        secret = records.add_token("eva", "engineer")
        book.forget()
        assert book.is_needed()
        assert book.caller_of(secret) == Caller("eva", "engineer")
        assert records.revoke_token("eva")
        assert book.caller_of(secret) == Caller("eva", "engineer")  # known for a moment
        book.forget()
        assert book.caller_of(secret) is None
        assert book.is_needed()


def test_unknown_and_expired_tokens_have_no_caller(tmp_path):
    with records_of(tmp_path) as records:
        past = datetime.now(timezone.utc) + timedelta(milliseconds=30)
        secret = records.add_token("old", "admin", past)
        time.sleep(0.05)
        book = TokenBook(records)
        for wrong in (secret, "", "pb_x", "x" * 201, "\udcff"):
            assert book.caller_of(wrong) is None


# --- when to come again


def test_the_time_to_wait_grows_with_a_crowd_and_falls_again():
    congestion = Congestion(2)
    for _ in range(100):
        congestion.inspected(0.2)
    alone = congestion.refused(8, now=time.monotonic())
    crowd = [congestion.refused(8, now=time.monotonic()) for _ in range(100)]
    assert crowd == sorted(crowd)
    assert alone == 1
    assert crowd[-1] > 5
    assert congestion.refused(8, now=time.monotonic() + 60) == 1


@given(st.integers(0, 1000), st.integers(1, 64), st.lists(st.floats(0, 100), max_size=20))
def test_the_time_to_wait_is_within_its_limits(n_waiting, n_threads, seconds):
    congestion = Congestion(n_threads)
    for each in seconds:
        congestion.inspected(each)
    assert 1 <= congestion.refused(n_waiting) <= LONGEST_S


@given(st.integers(1, 64), st.integers(0, 200))
def test_a_crowd_has_a_shorter_queue_until_it_is_over(max_queue, n_refused):
    congestion, now = Congestion(2), time.monotonic()
    for _ in range(n_refused):
        congestion.refused(max_queue, now)
    most = congestion.most_accepted(max_queue, now)
    assert most == (math.ceil(0.75 * max_queue) if n_refused > max_queue else max_queue)
    assert congestion.most_accepted(max_queue, now + 60) == max_queue


# --- files that are kept


@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        elements=st.floats(-(2**10), 2**10, width=32),
    )
)
def test_a_map_comes_back_from_its_file_to_a_step_of_its_range(anomaly_map):
    content = map_png(anomaly_map)
    low, high = (float(text) for text in map_range(content))
    levels = np.asarray(Image.open(io.BytesIO(content))).astype(np.float64)
    assert levels.shape == anomaly_map.shape
    step = (high - low) / 65535
    np.testing.assert_allclose(low + levels * step, anomaly_map, atol=step)


def test_a_share_of_digests_is_sampled_and_always_the_same():
    digests = [digest_of(bytes([n % 256, n // 256])) for n in range(4000)]
    chosen = {d for d in digests if is_sampled(d, 0.05)}
    assert 120 < len(chosen) < 280  # 200 are expected, with a deviation of 14
    assert chosen <= {d for d in digests if is_sampled(d, 0.1)}
    assert not any(is_sampled(d, 0.0) for d in digests)
    assert all(is_sampled(d, 1.0) for d in digests)


def test_what_is_kept_depends_on_the_verdict(fitted):
    detector = load(fitted)
    good, flagged = png(101), png(201, defect=9)
    seen = detector.predict(flagged)
    files = files_of(flagged, digest_of(flagged), seen, 0.0)
    assert files.photograph == (flagged, ".png")
    assert files.overlay == overlay_jpeg(seen)
    assert Image.open(io.BytesIO(files.map)).size == (104, 72)
    passed = detector.predict(good)
    assert files_of(good, digest_of(good), passed, 0.0).photograph is None
    kept = files_of(good, digest_of(good), passed, 1.0)
    assert (kept.photograph, kept.overlay, kept.map) == ((good, ".png"), None, None)
    failed = FailedInspection("a", "a: expected an image, got text", ImageError)
    assert files_of(b"text", "00", failed, 0.0).photograph == (b"text", ".bin")


@pytest.mark.parametrize("size", [(65_500, 8), (8, 70_000)])
def test_an_overlay_that_is_too_large_for_its_format_is_made_smaller(fitted, size, monkeypatch):
    """The header over the photograph makes it larger still."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    content = _drawn_png(size)
    seen = load(fitted).with_threshold(1e-6).predict(content)
    files = files_of(content, digest_of(content), seen, 0.0)
    with Image.open(io.BytesIO(files.overlay)) as overlay:
        assert max(overlay.size) == 65_500
    with Image.open(io.BytesIO(files.map)) as drawn:
        assert drawn.size == size[::-1]


def test_a_picture_that_cannot_be_made_costs_no_record(fitted, monkeypatch, caplog):
    content = png(201, defect=9)
    seen = load(fitted).predict(content)

    def fails(*_):
        raise OSError("no room")

    monkeypatch.setattr("patchbank.server.service.keeping.draw_overlay", fails)
    files = files_of(content, digest_of(content), seen, 0.0)
    assert (files.photograph, files.overlay) == ((content, ".png"), None)
    assert files.map is not None
    assert "no overlay: OSError: no room" in caplog.text


def _drawn_png(size):
    stream = io.BytesIO()
    Image.fromarray(np.zeros(size, np.uint8)).save(stream, "PNG")
    return stream.getvalue()


# --- detectors in memory and their copies


def test_the_least_used_detectors_leave_the_memory(fitted):
    detector, memory = load(fitted), DetectorMemory(2.0)
    for name in "abc":
        memory.keep((name, "1"), detector, 900_000)
    assert memory.keys() == {("b", "1"), ("c", "1")}
    assert memory.get(("b", "1")) is detector
    memory.keep(("d", "1"), detector, 900_000)
    assert memory.keys() == {("b", "1"), ("d", "1")}
    assert memory.get(("c", "1")) is None
    memory.keep(("large", "1"), detector, 9_000_000)
    assert memory.keys() == {("large", "1")}  # the last one always stays


def test_a_copy_is_written_once_and_again_for_another_history(tmp_path):
    versions = Versions(tmp_path / "versions")
    assert versions.read("bolts", "0" * 64) is None
    versions.keep("bolts", "0" * 64, b"one")
    path = versions.path("bolts", "0" * 64)
    before = path.stat().st_mtime_ns
    versions.keep("bolts", "0" * 64, b"one")
    assert path.stat().st_mtime_ns == before
    versions.keep("bolts", "0" * 64, b"two")
    assert versions.read("bolts", "0" * 64) == b"two"
    assert versions.has("bolts", "0" * 64)
    assert not versions.has("nuts", "0" * 64)


def test_a_copy_that_cannot_be_written_is_not_recorded(tmp_path):
    (tmp_path / "versions").write_text("a file where the folder should be")
    with pytest.raises(NotRecorded, match="expected to write 3 bytes"):
        Versions(tmp_path / "versions").keep("bolts", "0" * 64, b"one")


def test_one_process_holds_a_folder(tmp_path):
    with locked_folder(tmp_path), pytest.raises(FolderInUse), locked_folder(tmp_path):
        pass
    with locked_folder(tmp_path):
        pass  # it is free again


# --- a queue that is followed by one transaction for all that wait


class SlowStore:
    """Takes inspections slowly, or fails: what a disk may do."""

    def __init__(self, error=None):
        self.batches, self.error, self.may_go = [], error, threading.Event()

    def add(self, new, channels=()):
        self.may_go.wait(20)
        if self.error is not None:
            raise self.error
        self.batches.append([one.fields.serial_number for one in new])
        return [Answer(one, True) for one in new]


def put(committer, number):
    answered = Future()
    committer.put(Finished(inspection(number), answered))
    return answered


def test_all_that_wait_are_one_transaction_in_their_order():
    store, seen = SlowStore(), []
    committer = Committer(store, (), seen.extend)
    first = put(committer, 0)
    wait_until(lambda: not committer._waiting, "the first transaction")
    others = [put(committer, number) for number in range(1, 30)]
    assert not first.done()
    store.may_go.set()
    assert [one.result(20).inspection.fields.serial_number for one in [first, *others]] == [
        str(number) for number in range(30)
    ]
    assert store.batches == [["0"], [str(number) for number in range(1, 30)]]
    assert len(seen) == 30
    committer.close()


@pytest.mark.parametrize("error", [NotRecorded("disk full"), ZeroDivisionError("a fault")])
def test_a_transaction_that_fails_answers_all_and_the_next_one_goes_on(error):
    store = SlowStore(error)
    committer = Committer(store, (), lambda answers: None)
    store.may_go.set()
    for answered in [put(committer, number) for number in range(3)]:
        assert answered.exception(20) is error
    assert committer.trouble == str(error)
    store.error = None
    assert put(committer, 4).result(20).is_new
    assert committer.trouble is None
    committer.close()


def test_what_follows_a_commit_cannot_undo_its_answers():
    def fail(answers):
        raise ZeroDivisionError

    store = SlowStore()
    store.may_go.set()
    committer = Committer(store, (), fail)
    assert put(committer, 1).result(20).is_new
    committer.close()


def test_the_queue_is_full_while_all_of_it_waits_for_its_commit(inference):
    inference.may_commit.clear()
    answered = [inference.submit(submission(seed)) for seed in range(6)]
    wait_until(lambda: inference.n_waiting + inference.n_running == 0, "the last inspection")
    with pytest.raises(Busy, match="got 6;"):
        inference.submit(submission(7))
    assert inference.offered(submission(7), "0" * 64) is None
    inference.may_commit.set()
    assert all(one.result(20).is_new for one in answered)
    wait_until(lambda: not inference.is_full, "room")
    assert inference.submit(submission(7)).result(20).is_new


class HeldRecords:
    """Real records whose commits a test may hold."""

    def __init__(self, records, may_commit):
        self.by_key, self._records, self._may_commit = records.by_key, records, may_commit

    def add(self, new, channels=()):
        self._may_commit.wait(30)
        return self._records.add(new, channels)


@pytest.fixture
def inference(fitted, tmp_path):
    """The real thing without HTTP."""
    folder = DataFolder(tmp_path / "data")
    settings = ServiceSettings(data=folder.folder, max_queue=6, keep_good=0)
    with records_of(folder.folder) as records:
        catalog = Catalog(settings, folder, records)
        shutil.copy(fitted, tmp_path / "parts.patchbank")
        catalog.open([tmp_path / "parts.patchbank"])
        may_commit = threading.Event()
        may_commit.set()
        held = HeldRecords(records, may_commit)
        made = Inference(catalog, held, folder.pictures, settings)
        made.may_commit = may_commit
        made.records, made.catalog = records, catalog
        yield made
        made.close(20)


def submission(seed, **others):
    given = {
        "product": "parts",
        "content": png(seed),
        "name": f"{seed}.png",
        "source": "watch",
        "by": "local",
        "fields": Fields(lot="L"),
    }
    return Submission(**given | others)


def test_a_future_is_done_when_the_inspection_is_on_record(inference):
    found = inference.submit(submission(1)).result(30)
    assert found.is_new
    assert found.inspection == inference.records.inspection(found.inspection.id)
    assert found.inspection.source == "watch"
    assert inference.products() == ["parts"]


def test_an_unknown_product_and_a_full_queue_are_refused_at_once(inference):
    with pytest.raises(UnknownProduct, match="expected one of parts, got 'nuts'"):
        inference.submit(submission(1, product="nuts"))
    futures, refused = [], 0
    for seed in range(60):
        try:
            futures.append(inference.submit(submission(seed)))
        except Busy as error:
            refused = max(refused, error.retry_s)
    assert refused >= 1
    assert all(future.result(30).is_new for future in futures)


def test_photographs_that_wait_have_a_limit_of_bytes_beside_that_of_their_number(
    inference, tmp_path, monkeypatch
):
    content, may_look = png(1), threading.Event()
    monkeypatch.setattr(inference_module, "LARGEST_QUEUE_BYTES", 2 * len(content))

    def by_key(product, key):
        may_look.wait(30)
        return inference.records.by_key(product, key)

    held = HeldRecords(inference.records, inference.may_commit)
    held.by_key = by_key
    settings = ServiceSettings(max_queue=1000, keep_good=0)
    made = Inference(inference.catalog, held, DataFolder(tmp_path / "data").pictures, settings)

    def submitted(number):
        return made.submit(submission(1, content=content, idempotency_key=f"{number}"))

    n_threads = inference_module.THREADS_PER_CORE * usable_cores()
    futures = []
    for number in range(n_threads):  # each thread has one, and none waits
        futures.append(submitted(number))
        wait_until(lambda: made.n_waiting == 0, "a thread that takes it")
    futures += [submitted(n_threads), submitted(n_threads + 1)]
    with pytest.raises(Busy):
        submitted(n_threads + 2)
    may_look.set()
    assert all(future.result(30).is_new for future in futures)
    assert submitted(n_threads + 2).result(30).is_new
    assert made.close(20) == 0


def test_the_same_key_at_once_is_one_inspection_and_another_photograph_an_error(inference):
    first = inference.submit(submission(1, idempotency_key="k"))
    same = inference.submit(submission(1, idempotency_key="k"))
    other = inference.submit(submission(2, idempotency_key="k"))
    assert first.result(30).inspection == same.result(30).inspection
    assert [first.result().is_new, same.result().is_new] == [True, False]
    assert isinstance(other.exception(30), KeyReused)
    later = inference.submit(submission(1, idempotency_key="k")).result(30)
    assert (later.is_new, later.inspection) == (False, first.result().inspection)
    reused = inference.submit(submission(3, idempotency_key="k"))
    assert isinstance(reused.exception(30), KeyReused)


def test_a_sender_that_gives_up_does_not_undo_an_inspection(inference):
    future = inference.submit(submission(1, idempotency_key="gone"))
    assert not future.cancel()
    assert future.result(30).is_new


def test_close_finishes_what_was_accepted_and_refuses_the_rest(inference):
    futures = [inference.submit(submission(seed)) for seed in range(5)]
    assert inference.close(30) == 0
    assert all(future.done() and future.result().is_new for future in futures)
    with pytest.raises(Busy, match="got one that stops"):
        inference.submit(submission(9))


def test_a_detector_that_is_replaced_serves_all_that_follow(inference, tmp_path):
    before = inference.submit(submission(1)).result(30).inspection
    product = inference.catalog.product("parts")
    load(product.path).with_threshold(7.5).save(product.path)
    assert inference.catalog.take_up(product, Change("tuned", "eva", "test"))
    assert not inference.catalog.take_up(product, Change("tuned", "eva", "the same file"))
    after = inference.submit(submission(1)).result(30).inspection
    assert after.result["threshold"] == 7.5
    assert after.result["score"] == before.result["score"]
    assert after.result["detector_sha256"] != before.result["detector_sha256"]
    entries = inference.records.detectors("parts")
    assert [(one.action, one.by) for one in entries] == [("tuned", "eva"), ("served", "local")]
    old = inference.catalog.version("parts", before.result["detector_sha256"])
    assert old.calibration.threshold == before.result["threshold"]
    with pytest.raises(DetectorFileError, match="among the versions"):
        inference.catalog.version("parts", "0" * 64)


def test_many_senders_get_each_their_own_answer(inference):
    def send(seed):
        while True:
            try:
                return inference.submit(submission(seed, idempotency_key=str(seed))).result(60)
            except Busy:
                time.sleep(0.01)

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(send, range(40)))
    assert [one.inspection.result["image"] for one in answers] == [f"{n}.png" for n in range(40)]
    assert len({one.inspection.id for one in answers}) == 40


@pytest.mark.parametrize("rule", ["ranks", "tail"])
def test_border_cases_are_as_many_good_parts_again_as_are_flagged_by_chance(rule):
    scores = np.random.default_rng(0).normal(10, 1, 400)
    calibration = Calibration(scores, scores, 0.05, rule=rule)
    drawn = np.linspace(8, 14, 2401)
    border = [
        score
        for score in drawn
        if score <= calibration.threshold and is_border(calibration, calibration.p_value(score))
    ]
    good = np.random.default_rng(1).normal(10, 1, 100_000)
    flagged = np.mean(good > calibration.threshold)
    near = np.mean((good >= border[0]) & (good <= calibration.threshold))
    assert 0.7 < near / flagged < 1.4
    by_hand = replace(calibration, set_threshold=11.0)
    assert is_border(by_hand, calibration.p_value(10.8))
    assert not is_border(by_hand, calibration.p_value(10.0))
    assert not is_border(replace(calibration, views_of_one=True), 0.0)
