"""A service from its start to its end: opened, answering, stopped without losing what it took."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from patchbank.errors import DataError
from patchbank.runtime.atomic_file import make_folders
from patchbank.runtime.file_lock import FolderInUse, locked_folder
from patchbank.runtime.logs import LOGGER
from patchbank.runtime.printable import json_text
from patchbank.server.intake import Answer
from patchbank.server.records.data_folder import DataFolder
from patchbank.server.records.store import Records
from patchbank.server.service.app import SPECS, make_app
from patchbank.server.service.catalog import Catalog
from patchbank.server.service.changes import Changes
from patchbank.server.service.commits import Commits
from patchbank.server.service.ends import EndSettings, Outlets, Sources
from patchbank.server.service.errors import error_body
from patchbank.server.service.file_watch import FileWatch
from patchbank.server.service.guarding import Gate, Spec
from patchbank.server.service.inference import Inference
from patchbank.server.service.metrics import Metrics
from patchbank.server.service.pictures import MadePictures
from patchbank.server.service.replicas.on_cluster import OnCluster
from patchbank.server.service.service import Service
from patchbank.server.service.sessions import Sessions
from patchbank.server.service.settings import ServiceSettings
from patchbank.server.service.setups.preparation import Preparation
from patchbank.server.service.tidying import Tidying
from patchbank.server.service.tokens import TokenBook

LAST_STEP_S = 2.0
"""Time in which a cancelled job has to end."""
KEEP_ALIVE_S = 75
LEAST_ADMIT_S = 1.0
"""Time in which the records have to say whose a token is, however short that of verdicts is."""
BACKLOG = 2048
REQUESTS_SHARE = 0.8
"""Share of the time to stop that requests have; the rest is for what they have handed in."""
OVERTIME_S = 5.0
"""Time beyond that after which the process ends, whatever a thread of it waits for."""
HEAD_S = 20.0
"""Time in which the header of a request has to come."""


class Running:
    """An open service; `serve` answers requests until it is stopped."""

    def __init__(
        self,
        settings: ServiceSettings,
        folder: DataFolder,
        records: Records,
        products: Sequence[Path],
        ends: EndSettings,
        specs: Sequence[Spec],
    ) -> None:
        """Open the products; see `opened`."""
        self._specs, self._commits = specs, Commits()
        metrics = Metrics()
        catalog = Catalog(settings, folder, records)
        catalog.open(products)
        self._outlets = Outlets(ends, records, folder.pictures)
        inference = self._inference(catalog, metrics, folder, records)
        self._sources = Sources(ends, inference, records, self._outlets.specs, settings.max_bytes)
        for name in self._sources.products:
            inference.finding.check(name)
        self.service = Service(
            settings=settings,
            records=records,
            pictures=folder.pictures,
            catalog=catalog,
            inference=inference,
            changes=Changes(catalog, records),
            made=MadePictures(catalog, folder.pictures),
            metrics=metrics,
            gate=Gate(
                TokenBook(records),
                Sessions.of_folder(folder.folder),
                settings.is_loopback,
                max(settings.timeout_s, LEAST_ADMIT_S),
            ),
            commits=self._commits,
            preparation=Preparation.of(folder, settings, catalog.versions, records),
            cameras=self._sources.cameras,
            parts={
                "outbox": self._outlets.outbox,
                **({} if self._cluster is None else {"cluster": self._cluster}),
                **self._sources.watches,
                **{f"camera {name}": one for name, one in self._sources.cameras.items()},
            },
        )
        self._outlets.measure(metrics)
        metrics.gauge("waiting", "Photographs in the queue.", lambda: inference.n_waiting)
        metrics.gauge("products_in_memory", "Open detectors.", lambda: catalog.n_open)
        self._watch, self._tidying = FileWatch(catalog), Tidying(self.service)
        self._last = threading.Timer(settings.stop_s + OVERTIME_S, self._give_up)
        self._last.daemon = True
        self._end: float | None = None
        """End of the time to stop, by the monotonic clock; None while it runs."""
        self.n_lost = 0
        """Photographs that were accepted and not recorded when it stopped."""

    def _inference(
        self, catalog: Catalog, metrics: Metrics, folder: DataFolder, records: Records
    ) -> Inference:
        """The queue, in front of this process or of replicas on a cluster."""
        settings = catalog.settings
        self._cluster: OnCluster | None = None
        if settings.cluster is not None:
            self._cluster = cluster = OnCluster(settings, folder.instance(), catalog)
            metrics.gauge("replicas", "Replicas on the cluster.", lambda: cluster.replicas)
        return Inference(
            catalog,
            records,
            folder.pictures,
            settings,
            computing=self._cluster,
            channels=self._outlets.names,
            observe=metrics.inspected,
            after_commit=self._committed,
        )

    def serve(self, ready: Callable[[str], None]) -> None:
        """Answer requests until SIGTERM or SIGINT.

        Args:
            ready: called with the address once requests are answered.

        Raises:
            DataError: the address cannot be used.
        """
        settings = self.service.settings

        def started() -> None:
            self._sources.start()
            ready(self._address(server))
            self._tidying.start()

        server = _Server(self._config(), started, self._stopping)
        self._watch.start()
        self._outlets.outbox.start()
        try:
            server.run()
        except SystemExit:  # of uvicorn, which has logged the reason
            raise DataError(
                f"--port: expected a free address, got {settings.host}:{settings.port}; stop the "
                "other program, or choose another port"
            ) from None
        finally:
            self._stop()

    def _config(self) -> uvicorn.Config:
        settings = self.service.settings
        return uvicorn.Config(
            make_app(self.service, specs=self._specs),
            host=settings.host,
            port=settings.port,
            http=Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=REQUESTS_SHARE * settings.stop_s,  # type: ignore[arg-type]
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
        )

    def _address(self, server: uvicorn.Server) -> str:
        settings = self.service.settings
        port = server.servers[0].sockets[0].getsockname()[1]
        scheme = "https" if settings.tls_cert else "http"
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        return f"{scheme}://{host}:{port}"

    def _committed(self, answers: Sequence[Answer]) -> None:
        """Count what is on record, and let those know that wait for it."""
        self.service.metrics.recorded(answers)
        self._commits.notify()
        self._outlets.outbox.notify()

    def _stopping(self) -> None:
        self.service.is_stopping = True
        self._commits.notify()
        if self._end is None:
            self._end = time.monotonic() + self.service.settings.stop_s
            self._last.start()

    def _stop(self) -> None:
        """End what runs, after the last answer, until the end of the time for that."""
        self._stopping()
        self.service.jobs.close(LAST_STEP_S)
        self.service.trials.close()
        self._watch.close()
        self._tidying.close()
        self._sources.close(self._left_s)
        self.n_lost = self.service.inference.close(self._left_s)
        self._outlets.close()
        if self._cluster is not None:
            self._cluster.close()

    def ended(self) -> None:
        """Say that nothing of it runs any more."""
        self._last.cancel()

    def _give_up(self) -> None:
        """End the process while threads still wait: a database that hangs answers nobody."""
        LOGGER.error(
            "stopped: a database or a disk does not answer; %d photographs were accepted and are "
            "not known to be on record",
            self.service.inference.n_accepted,
        )
        os._exit(1)

    @property
    def _left_s(self) -> float:
        """Time that is left to stop."""
        assert self._end is not None
        return max(self._end - time.monotonic(), 0.0)


class _Server(uvicorn.Server):
    """A server that says when it is ready, and does not raise the signal that has ended it."""

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], None], stopping: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._ready, self._stopping = ready, stopping

    async def startup(self, sockets: Any = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: Any = None) -> None:
        """Answer what was asked, and end."""
        self._stopping()
        await super().shutdown(sockets)
        self._captured_signals.clear()


class Protocol(HttpToolsProtocol):
    """Answers requests that are no HTTP in the shape of all errors, and closes what says nothing.

    uvicorn has a limit of time between requests, but none for the header of one, so connections
    that send none would stay for ever.
    """

    head_s = HEAD_S
    _silent: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for the first header, but not for ever."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._have_head()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Wait for the rest of a header."""
        super().on_message_begin()
        self._have_head()
        self._await_head()

    def on_headers_complete(self) -> None:
        """Go on: the body has limits of its own."""
        self._have_head()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._silent = self.loop.call_later(self.head_s, self.transport.close)

    def _have_head(self) -> None:
        if self._silent is not None:
            self._silent.cancel()
            self._silent = None

    def send_400_response(self, msg: str) -> None:
        """Answer and close."""
        message = f"request: expected HTTP, got: {msg}"
        content = json_text(error_body(400, "bad_request", message)).encode()
        head = (
            "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n"
            f"content-length: {len(content)}\r\n\r\n"
        )
        self.transport.write(head.encode() + content)
        self.transport.close()


@contextmanager
def opened(
    settings: ServiceSettings,
    products: Sequence[Path],
    ends: EndSettings,
    specs: Sequence[Spec] = SPECS,
) -> Iterator[Running]:
    """Open a service with its data folder and records.

    Args:
        settings: of the service.
        products: detector files, and folders of them.
        ends: channels and sources.
        specs: routes that are answered.

    Raises:
        DataError: the folder, the records or a product cannot be used, another service uses the
            folder, or the address needs a token and there is none.
    """
    folder = DataFolder(settings.data)
    folder.make()
    with _locked(folder):
        records = Records.open(settings.database or folder.url, instance=folder.instance())
        running: Running | None = None
        try:
            check_access(settings, records)
            running = Running(settings, folder, records, products, ends, specs)
            yield running
        finally:
            records.close()
            if running is not None:
                running.ended()


@contextmanager
def _locked(folder: DataFolder) -> Iterator[None]:
    """The data folder for this process alone, with its folders."""
    with ExitStack() as stack:
        try:
            make_folders(folder.detectors)
            make_folders(folder.versions)
            stack.enter_context(locked_folder(folder.folder))
        except FolderInUse:
            raise DataError(
                "--data: expected a folder that no other service uses, got "
                f"{folder.folder}; give each service its own"
            ) from None
        except OSError as error:
            raise DataError(
                f"--data: expected a folder that can be written, got {folder.folder}: "
                f"{error.strerror}"
            ) from None
        yield


def check_access(settings: ServiceSettings, records: Records) -> None:
    """Refuse to let others in without a token.

    Raises:
        DataError: the address is reached by others, and there is no token.
    """
    if not settings.is_loopback and not records.has_tokens():
        raise DataError(
            f"--host: expected a token before others can reach {settings.host}, got none; make "
            f"one: patchbank serve token add NAME --role admin --data {settings.data}"
        )
