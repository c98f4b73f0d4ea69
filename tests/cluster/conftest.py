"""A small cluster for all tests: two machines of one core, which are processes of this one."""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
import time
from contextlib import contextmanager

import psutil
import pytest

STORE_BYTES = 80 * 2**20
"""Object store of a machine; Ray allows little less."""


NODE = {"num_cpus": 1, "object_store_memory": STORE_BYTES}


@pytest.fixture(scope="session")
def cluster():
    """The cluster, to which this process is connected."""
    import ray  # where it is absent, this file is loaded all the same
    from ray.cluster_utils import Cluster

    os.environ.update(RAY_worker_niceness="0")  # else whatever else runs here takes their cores
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    cluster.add_node(**NODE)
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="session")
def address(cluster):
    """Address of the cluster."""
    return cluster.address


@pytest.fixture
def losing(cluster):
    """A third machine, and a context in which it is lost when a line of the log says so."""
    node = cluster.add_node(**NODE)
    cluster.wait_for_nodes()
    losing = Losing(cluster, node)
    logger = logging.getLogger("patchbank")
    level = logger.level
    logger.addHandler(losing)
    logger.setLevel(logging.INFO)
    yield losing
    logger.removeHandler(losing)
    logger.setLevel(level)
    losing.lose()


class Losing(logging.Handler):
    """Ends a machine at the first line about it that matches."""

    def __init__(self, cluster, node):
        super().__init__()
        self.cluster, self.node, self.when, self.is_lost = cluster, node, None, False

    def emit(self, record):
        if self.when is not None and self.when.match(record.getMessage()):
            self.lose()

    def at(self, pattern):
        self.when = re.compile(pattern.replace("NODE", self.node.node_id[:8]))

    def lose(self):
        if not self.is_lost:
            self.is_lost = True
            self.cluster.remove_node(self.node, allow_graceful=False)


@pytest.fixture
def killing():
    """Context in which processes of Ray with a name are killed, as soon as they are there."""

    @contextmanager
    def kill(name, times):
        killed, is_over = [], threading.Event()

        def look():
            while len(killed) < times and not is_over.is_set():
                for process in psutil.Process().children(recursive=True):
                    if process.pid not in killed and is_named(process, name):
                        os.kill(process.pid, signal.SIGKILL)
                        killed.append(process.pid)
                        break
                time.sleep(0.05)

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield killed
        finally:
            is_over.set()
            thread.join()

    return kill


def is_named(process, name):
    """Whether it is working on what Ray calls so."""
    try:
        command = process.cmdline()
    except psutil.Error:
        return False
    return bool(command) and command[0].startswith(f"ray::{name}")
