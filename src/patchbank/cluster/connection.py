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
    answers = False
    try:
        answers = _check_answers(address)
        ray.init(
            address=address,
            include_dashboard=False if address == LOCAL else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"cluster: expected a Ray cluster at {address!r}, got none "
            f"({str(error).splitlines()[0]}); {_hint(answers)}"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _check_answers(address: str) -> bool:
    """Raise an OSError where nobody listens, for which Ray itself would look for minutes.

    -> whether somebody does; False of an address that is none of a machine.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal()):
        return False
    socket.create_connection((host.strip("[]"), int(port)), LONGEST_WAIT_S).close()
    return True


def _hint(answers: bool) -> str:
    """Advice where Ray does not connect."""
    if not answers:
        return "start one by `ray start --head`"
    if os.environ.get("RAY_AUTH_MODE") == "token":
        return "has this machine its token, and its version of Ray?"
    return (
        "if it asks for a token, set RAY_AUTH_MODE=token here; has this machine its version of Ray?"
    )
