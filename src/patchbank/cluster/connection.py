"""The connection to a Ray cluster."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from patchbank.errors import ClusterError, ParameterError

LOCAL = "local"
"""Address of a cluster of this machine alone, which is started and stopped again."""
LONGEST_WAIT_S = 5.0
"""Limit of the time that a cluster may take to answer."""


@contextmanager
def connected(address: str = LOCAL) -> Iterator[None]:
    """Be connected to a cluster; a connection that is there already is used as it is.

    Args:
        address: of a running cluster ("auto" for that of this machine, HOST:PORT, or ray://...),
            or "local".

    Raises:
        ParameterError: the package ray is not installed.
        ClusterError: no cluster answers there.
    """
    try:
        import ray
    except ImportError:
        raise ParameterError(
            "cluster: expected the package ray, which is not installed; "
            "pip install 'patchbank[ray]'"
        ) from None
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        _check_answers(address)
        ray.init(
            address=address,
            include_dashboard=False if address == LOCAL else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"cluster: expected a Ray cluster at {address!r}, got none "
            f"({str(error).splitlines()[0]}); start one by `ray start --head`"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Raise an OSError where nobody listens, for which Ray itself would look for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), LONGEST_WAIT_S).close()
