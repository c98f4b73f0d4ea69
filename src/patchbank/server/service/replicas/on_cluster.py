"""`OnCluster`: photographs are inspected by replicas, and a cluster that was gone is used again."""

from __future__ import annotations

import threading
from typing import Any

from patchbank.errors import ClusterError, PatchbankError
from patchbank.runtime.logs import LOGGER
from patchbank.server.service.catalog import Catalog
from patchbank.server.service.computing import Computed, Task
from patchbank.server.service.product_finding import ProductFinding
from patchbank.server.service.replicas.link import Link
from patchbank.server.service.settings import ServiceSettings

AGAIN_S = 5.0
"""Time after which a cluster that is gone is looked for again."""
LAST_S = 25.0
"""Time to remove the replicas at the end."""


class OnCluster:
    """Inspects photographs on a Ray cluster; see `computing.Computing`."""

    def __init__(self, settings: ServiceSettings, instance: str, catalog: Catalog) -> None:
        """Connect, and wait for the first replica.

        Args:
            settings: of the service.
            instance: name of the service, which its replicas have too.
            catalog: has the detectors.

        Raises:
            ParameterError: the package ray is not installed.
            ClusterError: no cluster answers.
        """
        self._address = settings.cluster
        self._catalog, self._finding = catalog, ProductFinding(catalog)
        self._terms = {
            "address": settings.cluster,
            "name": f"patchbank-{instance}",
            "device": "cpu",
            "engine": settings.engine,
            "products_mb": settings.products_mb,
        }
        self._is_closed = threading.Event()
        self._last_reason = ""
        """Why the last link has ended."""
        LOGGER.info("cluster: waiting for the first replica at %s", self._address)
        self._linked()
        self.cores = self._link.cores
        self._thread = threading.Thread(target=self._keep, name="patchbank-links", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> str | None:
        """Reason why nothing can be computed now; None if it can."""
        link = self._link
        return None if link.is_ready else link.reason or self._last_reason

    @property
    def replicas(self) -> int:
        """Number of replicas that run."""
        return self._link.replicas

    def status(self) -> dict[str, Any]:
        """The object in `GET /v1/status`."""
        link = self._link
        return {
            "address": self._address,
            "nodes": link.nodes,
            "cores": link.cores,
            "replicas": link.replicas,
            "error": self.trouble,
        }

    def compute(self, task: Task) -> Computed:
        """Have a photograph inspected; see `Computing`."""
        in_use = self._finding.in_use(task.product)
        trouble = self.trouble
        if trouble is not None:
            raise ClusterError(trouble)
        return self._link.compute(task, in_use)

    def close(self) -> None:
        """Remove the replicas, and end the connection."""
        self._is_closed.set()
        self._link.close(LAST_S)

    def _linked(self) -> None:
        """Start a link, and wait until it takes photographs."""
        self._link = Link(self._terms, self._catalog.content)
        self._link.wait()
        LOGGER.info(
            "cluster: %d node%s with %d core%s inspect",
            *(self._link.nodes, "" if self._link.nodes == 1 else "s"),
            *(self._link.cores, "" if self._link.cores == 1 else "s"),
        )

    def _keep(self) -> None:
        """Start another link where one has ended."""
        said = ""
        while True:
            self._link.ended.wait()
            self._last_reason = self._link.reason
            if self._last_reason != said and not self._is_closed.is_set():
                said = self._last_reason
                LOGGER.error("%s; it is tried again", said)
            if self._is_closed.wait(AGAIN_S):
                return
            try:
                self._linked()
                said = ""
            except PatchbankError:
                pass  # the reason is that of the link, which has ended
