"""Jobs: one of each kind runs at a time, their progress is seen, and they can be cancelled."""

from __future__ import annotations

import threading

import pytest

from patchbank.errors import DataError
from patchbank.server.service.errors import ApiError
from patchbank.server.service.jobs import MOST_KEPT, MOST_WAITING, Job, Jobs
from tests.server.services import check_error

WAIT_S = 20.0
pytestmark = pytest.mark.serve


@pytest.fixture
def jobs():
    made = Jobs()
    yield made
    made.close(WAIT_S)


def new(kind="fit") -> Job:
    return Job(kind, "bolts", "eva")


def ended(job: Job) -> Job:
    for _ in range(2000):
        if job.is_over:
            return job
        threading.Event().wait(0.01)
    raise AssertionError(job.state)


class Gate:
    """Work that takes steps when it is let."""

    def __init__(self) -> None:
        self.has_begun, self.may_go_on = threading.Event(), threading.Event()

    def __call__(self, job: Job) -> str:
        with job.task("measuring", 3) as step:
            step(1)
            self.has_begun.set()
            assert self.may_go_on.wait(WAIT_S)
            step(1)
        return "measured"


def test_a_job_shows_its_progress_and_then_its_result(jobs):
    gate = Gate()
    job = jobs.start(new(), gate)
    assert gate.has_begun.wait(WAIT_S)
    shown = jobs.find(job.id).to_json()
    assert (shown["state"], shown["title"], shown["done"], shown["total"]) == (
        "running",
        "measuring",
        1,
        3,
    )
    gate.may_go_on.set()
    assert ended(job).to_json()["result"] == "measured"
    assert (job.state, job.n_done, job.error) == ("done", 2, None)


def test_jobs_of_a_kind_wait_for_each_other_and_others_do_not(jobs):
    gate = Gate()
    first, second = jobs.start(new(), gate), jobs.start(new(), lambda job: 2)
    assert gate.has_begun.wait(WAIT_S)
    assert ended(jobs.start(new("preview"), lambda job: 3)).result == 3
    assert (first.state, second.state) == ("running", "waiting")
    assert jobs.all()[-1] is first
    gate.may_go_on.set()
    assert ended(second).result == 2


def test_a_cancelled_job_ends_at_its_next_step_and_one_that_waits_never_begins(jobs):
    gate, begun = Gate(), []
    first, second = jobs.start(new(), gate), jobs.start(new(), begun.append)
    assert gate.has_begun.wait(WAIT_S)
    first.cancel()
    second.cancel()
    gate.may_go_on.set()
    assert (ended(first).state, first.n_done, first.result) == ("cancelled", 1, None)
    assert ended(second).state == "cancelled"
    assert begun == []


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (DataError("folder: expected photographs, got none"), "folder: expected photographs"),
        (ApiError(409, "bolts: changed"), "bolts: changed"),
        (KeyError("secret"), "a fault of the program (KeyError); the log has more"),
    ],
)
def test_a_job_that_fails_says_why(jobs, error, line):
    def work(job):
        raise error

    job = ended(jobs.start(new(), work))
    assert job.state == "failed"
    assert job.error.startswith(line)
    assert "secret" not in job.error


def test_more_than_a_few_that_wait_are_refused_and_old_ones_are_forgotten(jobs):
    gate = Gate()
    for _ in range(MOST_WAITING):
        jobs.start(new(), gate)
    with pytest.raises(ApiError, match="job: expected fewer than") as refused:
        jobs.start(new(), gate)
    assert refused.value.status_code == 429
    gate.may_go_on.set()
    old = ended(jobs.start(new("preview"), lambda job: 1))
    for _ in range(MOST_KEPT + MOST_WAITING):
        ended(jobs.start(new("preview"), lambda job: 1))
    with pytest.raises(ApiError) as unknown:
        jobs.find(old.id)
    assert unknown.value.status_code == 404


def test_what_stops_cancels_its_jobs_and_takes_no_other():
    jobs, gate = Jobs(), Gate()
    job = jobs.start(new(), gate)
    assert gate.has_begun.wait(WAIT_S)
    gate.may_go_on.set()
    job.cancel()
    jobs.close(WAIT_S)
    assert job.is_over
    with pytest.raises(ApiError, match="one that stops"):
        jobs.start(new(), gate)


def test_jobs_are_asked_for_by_their_id(service):
    assert service.http.get("/v1/jobs").json() == {"jobs": []}
    check_error(service.http.get("/v1/jobs/0123456789abcdef"), 404)
    check_error(service.http.delete("/v1/jobs/0123456789abcdef"), 404)
