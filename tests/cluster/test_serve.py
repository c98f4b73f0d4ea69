"""A real service whose photographs are inspected by replicas on a real Ray cluster."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psutil
import pytest
import ray

from patchbank import load
from tests.cluster.conftest import is_named
from tests.server.products import board, encoded, fit_two, noise, ring
from tests.server.real_servers import free_port, wait_until
from tests.server.services import Running, check_error, png, run

pytestmark = [
    pytest.mark.serve,
    pytest.mark.filterwarnings("ignore::patchbank.CalibrationWarning"),
    pytest.mark.filterwarnings("ignore:The `metrics_interval_s` field:DeprecationWarning"),
]
with warnings.catch_warnings():  # Ray Serve has some of its own
    warnings.simplefilter("ignore")
    from ray import serve
LONG_S = 400.0
"""Time in which replicas have to come: each imports all that they need."""
OWN = frozenset({"id", "time", "links", "photograph_url", "instance", "station"})
"""Facts of a record that differ between two services."""
PICTURES = ("photograph", "overlay", "map")
LIMITS = ("--keep-good", 1, "--max-pixels", 20_000, "--timeout-s", LONG_S)


@pytest.fixture(scope="module")
def detectors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("products")
    fit_two(folder)
    return folder


@pytest.fixture(scope="module")
def here(detectors, tmp_path_factory):
    """The same service without a cluster."""
    with Running(tmp_path_factory.mktemp("here") / "data", detectors, *LIMITS) as running:
        yield running


@pytest.fixture(scope="module")
def service(address, detectors, tmp_path_factory):
    folder = tmp_path_factory.mktemp("there")
    shutil.copytree(detectors, folder / "products")
    arguments = (folder / "products", *LIMITS, "--cluster", address)
    with Running(folder / "data", *arguments, start_s=LONG_S) as running:
        running.products = folder / "products"
        running.http.timeout = LONG_S
        yield running
        assert running.stop() == 0
        assert name_of(running) not in serve.status().applications


def name_of(service):
    """Name of the application of a service."""
    return f"patchbank-{(service.data / 'instance').read_text().strip()}"


def cluster_of(service):
    return service.http.get("/v1/status").json()["parts"]["cluster"]


def replicas_of(service):
    """Processes of the replicas of a service that run."""
    name = f"ServeReplica:{name_of(service)}"
    return [one for one in psutil.Process().children(recursive=True) if is_named(one, name)]


def links_of(service):
    """The process of the link of a service."""
    children = psutil.Process(service.process.pid).children()
    return [one for one in children if any(part.endswith("link_process") for part in one.cmdline())]


def recorded(service, response):
    """The record of a photograph without what differs, and its pictures."""
    content = response.json()
    number = content["id"] if response.is_success else content["error"]["inspection"]
    found = service.http.get(f"/v1/inspections/{number}").json()
    pictures = [service.http.get(f"/v1/inspections/{number}/{name}") for name in PICTURES]
    facts = {key: value for key, value in found.items() if key not in OWN}
    return facts, [(one.status_code, one.content * one.is_success) for one in pictures]


def test_the_log_says_how_large_the_cluster_is(service):
    assert "cluster: 2 nodes with 2 cores inspect" in service.log
    state = cluster_of(service)
    assert (state["nodes"], state["cores"], state["error"]) == (2, 2, None)
    assert "patchbank_replicas " in service.http.get("/metrics").text


@pytest.mark.parametrize(
    ("product", "content", "status"),
    [
        ("parts", encoded(ring(100)), 200),
        ("parts", encoded(ring(100, defect=9)), 200),
        ("boards", encoded(board(101, defect=8)), 200),
        ("auto", encoded(ring(102, defect=9)), 200),
        ("auto", encoded(board(102)), 200),
        ("auto", encoded(noise(1)), 422),
        ("parts", b"no image", 422),
        ("auto", b"no image", 422),
        ("parts", png(1, size=(150, 200)), 422),
        ("nuts", encoded(ring(100)), 404),
    ],
)
def test_records_and_pictures_are_those_of_one_process(service, here, product, content, status):
    there = service.inspect(content, product=product, lot="7")
    alone = here.inspect(content, product=product, lot="7")
    assert (there.status_code, alone.status_code) == (status, status), there.text
    if status == 404:
        assert there.json() == alone.json()
        return
    facts, pictures = recorded(service, there)
    assert (facts, pictures) == recorded(here, alone)
    assert pictures[0] == (200, content)
    if facts["verdict"] == "anomalous":
        assert all(code == 200 and picture for code, picture in pictures)


def test_a_key_is_recorded_once(service):
    headers = {"Idempotency-Key": "once"}
    first = service.inspect(encoded(ring(7)), product="parts", headers=headers)
    again = service.inspect(encoded(ring(7)), product="parts", headers=headers)
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    other = service.inspect(encoded(ring(8)), product="parts", headers=headers)
    check_error(other, 422, "key_reused")


def send_all(service, label, after=lambda n_answered: None):
    """Sixty photographs from eight clients.  -> the responses."""
    answered, counting = [], threading.Lock()

    def send(number):
        content = encoded(ring(200 + number, defect=9 * (number % 5 == 0)))
        response = service.inspect(content, f"{label}-{number}.png", product="parts")
        with counting:
            answered.append(number)
            after(len(answered))
        return response

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(send, range(60)))


def results_of(service, label):
    """What is on record of the sixty, by their names."""
    found = {}
    for one in service.on_record():
        if one["image"].startswith(f"{label}-"):
            number = one["image"].removeprefix(f"{label}-")
            assert number not in found
            found[number] = (one["verdict"], one["score"], one["p_value"], one["regions"])
    return found


def test_replicas_that_are_killed_cost_no_photograph_and_none_is_recorded_twice(service, here):
    killed = []

    def after(n_answered):
        if n_answered in (3, 20, 41):
            wait_until(lambda: replicas_of(service), "a replica", LONG_S)
            for process in replicas_of(service):
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)

    responses = send_all(service, "killed", after)
    assert [one.status_code for one in responses] == [200] * 60, service.log
    assert len(killed) >= 3
    send_all(here, "killed")
    assert len(results_of(here, "killed")) == 60
    assert results_of(service, "killed") == results_of(here, "killed")
    lines = [line for line in service.lines if "warning: cluster: a replica on " in line]
    assert lines
    assert all("of parts is inspected again" in line for line in lines)


def test_replicas_come_under_load_and_go_afterwards(service):
    wait_until(lambda: cluster_of(service)["replicas"] == 1, "one replica", LONG_S)
    seen, is_over = set(), threading.Event()

    def send(number):
        while not is_over.is_set():
            service.inspect(encoded(ring(number)), product="parts")

    with ThreadPoolExecutor(6) as pool:
        for number in range(6):
            pool.submit(send, number)
        try:
            wait_until(
                lambda: seen.add(cluster_of(service)["replicas"]) or 2 in seen, "a second", LONG_S
            )
        finally:
            is_over.set()
    assert seen <= {0, 1, 2}
    wait_until(lambda: cluster_of(service)["replicas"] == 1, "one replica again", LONG_S)


def test_a_changed_detector_inspects_what_begins_afterwards(service):
    file = service.products / "parts.patchbank"
    content = encoded(ring(9))
    before = service.inspect(content, product="parts").json()
    changed = load(file).with_threshold(7.5)
    changed.save(file)

    def digest():
        products = service.http.get("/v1/products").json()["products"]
        return next(one["detector_sha256"] for one in products if one["product"] == "parts")

    wait_until(lambda: digest() == changed.sha256, "the changed detector")
    after = service.inspect(content, product="parts").json()
    assert (after["threshold"], after["detector_sha256"]) == (7.5, changed.sha256)
    assert after["score"] == before["score"]
    auto = service.inspect(content, product="auto").json()
    assert (auto["threshold"], auto["detector_sha256"]) == (7.5, changed.sha256)


def test_a_service_that_is_killed_leaves_no_replicas_beside_those_of_others(
    service, address, detectors, tmp_path
):
    wait_until(lambda: cluster_of(service)["replicas"] == 1, "a free core", LONG_S)
    arguments = (detectors / "parts.patchbank", "--cluster", address, "--timeout-s", LONG_S)
    data, content = tmp_path / "data", encoded(ring(1))
    with Running(data, *arguments, start_s=LONG_S) as other:
        other.http.timeout = LONG_S
        name = name_of(other)
        assert other.inspect(content).status_code == 200
        assert {name, name_of(service)} <= set(serve.status().applications)
        other.kill()
    wait_until(lambda: name not in serve.status().applications, "its end", LONG_S)
    with Running(data, *arguments, start_s=LONG_S) as other:  # with its link, as a machine ends
        for process in reversed([psutil.Process(other.process.pid), *links_of(other)]):
            process.kill()
    assert name in serve.status().applications
    with Running(data, *arguments, start_s=LONG_S) as other:
        other.http.timeout = LONG_S
        assert other.inspect(content).status_code == 200
        assert other.stop() == 0
    assert name not in serve.status().applications
    assert service.inspect(content, product="parts").status_code == 200


CLUSTER = """
import sys
from ray.cluster_utils import Cluster
Cluster(initialize_head=True, head_node_args={
    "gcs_server_port": int(sys.argv[1]), "num_cpus": 1, "object_store_memory": 80 * 2**20,
    "include_dashboard": False,
})
print("up", flush=True)
sys.stdin.read()
"""


class OwnCluster:
    """A cluster of a process of its own, which can be taken away as a whole."""

    def __init__(self, port):
        self.address = f"{ray.util.get_node_ip_address()}:{port}"
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", CLUSTER, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout.readline() == "up\n"

    def take_away(self):
        own = psutil.Process(self._process.pid)
        every = [*own.children(recursive=True), own]
        for process in every:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(every, timeout=30)
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


def test_without_its_cluster_a_service_says_so_and_goes_on_when_it_is_back(detectors, tmp_path):
    port = free_port()
    cluster = OwnCluster(port)
    (tmp_path / "watched").mkdir()
    arguments = (detectors / "parts.patchbank", "--cluster", cluster.address)
    arguments += ("--timeout-s", LONG_S, "--watch", f"parts={tmp_path / 'watched'}")
    try:
        with Running(tmp_path / "data", *arguments, start_s=LONG_S) as service:
            service.http.timeout = LONG_S
            assert service.inspect(encoded(ring(1))).status_code == 200
            under_way = ThreadPoolExecutor(4)
            sent = [
                under_way.submit(service.inspect, encoded(ring(seed)), f"gone-{seed}.png")
                for seed in range(2, 6)
            ]
            cluster.take_away()
            answers = [one.result() for one in sent]
            for answer in answers:
                if answer.status_code != 200:
                    check_error(answer, 503, "no_cluster")
            wait_until(lambda: cluster_of(service)["error"], "the trouble", LONG_S)
            (tmp_path / "watched/new.png").write_bytes(encoded(ring(9)))
            refused = service.inspect(encoded(ring(6)), "refused.png")
            error = check_error(refused, 503, "no_cluster")
            assert error["message"].startswith("cluster: expected a Ray cluster")
            assert int(refused.headers["Retry-After"]) > 0
            assert service.http.get("/health").status_code == 200
            assert "got: cluster" in check_error(service.http.get("/ready"), 503)["message"]
            wait_until(lambda: ": new.png: cluster: expected" in service.log, "the file", LONG_S)
            names = [one["image"] for one in service.on_record()]
            assert "refused.png" not in names
            assert "new.png" not in names
            cluster = OwnCluster(port)
            wait_until(lambda: service.http.get("/ready").status_code == 200, "the cluster", LONG_S)
            assert service.inspect(encoded(ring(6)), "again.png").status_code == 200
            wait_until(
                lambda: "new.png" in [one["image"] for one in service.on_record()],
                "the watched photograph",
                LONG_S,
            )
            assert len(service.on_record()) == len({one["image"] for one in service.on_record()})
            assert service.stop() == 0
    finally:
        cluster.take_away()


def test_a_local_cluster_ends_with_the_service(detectors, tmp_path):
    arguments = (detectors / "parts.patchbank", "--cluster", "local", "--timeout-s", LONG_S)
    with Running(tmp_path / "data", *arguments, start_s=LONG_S) as service:
        service.http.timeout = LONG_S
        assert service.inspect(encoded(ring(1))).status_code == 200
        processes = psutil.Process(service.process.pid).children(recursive=True)
        assert any(is_named(one, "ServeReplica") for one in processes)
        assert service.stop() == 0
    _, left = psutil.wait_procs(processes, timeout=60)
    assert [one for one in left if one.status() != psutil.STATUS_ZOMBIE] == []


def test_a_cluster_that_does_not_answer_is_one_line_and_the_status_of_a_fit(detectors, tmp_path):
    detector, photograph = detectors / "parts.patchbank", tmp_path / "a.png"
    photograph.write_bytes(png(1))
    where = ("--cluster", "127.0.0.1:1")
    served = run("serve", detector, "--data", tmp_path / "data", "--port", 0, *where)
    fitted = run("fit", photograph, "--out", tmp_path / "x.patchbank", *where)
    line = next(line for line in served.stderr.splitlines() if "error" in line)
    assert "cluster: expected a Ray cluster at '127.0.0.1:1', got none" in line
    assert served.returncode == fitted.returncode != 0
    assert "Traceback" not in served.stderr


def test_without_the_package_the_line_says_what_to_install(detectors, tmp_path, monkeypatch):
    (tmp_path / "none/ray").mkdir(parents=True)
    (tmp_path / "none/ray/__init__.py").write_text("raise ImportError")
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'none'}{os.pathsep}{before}")
    where = ("--data", tmp_path / "data", "--port", 0, "--cluster", "local")
    served = run("serve", detectors / "parts.patchbank", *where)
    assert served.stderr.splitlines()[-1].endswith(
        "cluster: expected the package ray, which is not installed; pip install 'patchbank[ray]'"
    )
    assert served.returncode != 0


def test_a_device_that_replicas_do_not_use_is_refused(detectors, tmp_path):
    where = ("--data", tmp_path / "data", "--cluster", "local", "--device", "cuda")
    served = run("serve", detectors / "parts.patchbank", *where)
    assert "--device: expected auto or cpu with --cluster" in served.stderr
    assert served.returncode != 0
