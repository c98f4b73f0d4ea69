"""A thread that takes detector files up when they change, or appear in a folder."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from patchbank.errors import PatchbankError
from patchbank.runtime.logs import LOGGER
from patchbank.server.intake import NotRecorded
from patchbank.server.service.catalog import (
    Catalog,
    Change,
    FileState,
    Product,
    absolute,
    files_in,
    state_of,
)

POLL_S = 0.5


class FileWatch:
    """Looks for changed files; one that is still being written is left until it stands still."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="patchbank-products", daemon=True)
        self._waiting: dict[Path, FileState | None] = {}
        """States that have to last until the next time."""
        self._refused: dict[Path, FileState | None] = {}
        """States of new files that are no products."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(POLL_S):
            for product in self._catalog.products:
                _guarded(product.path, partial(self._check, product))
            known = {product.path for product in self._catalog.products}
            for folder in self._catalog.folders:
                for file in files_in(folder):
                    if absolute(file) not in known:
                        _guarded(file, partial(self._check_new, absolute(file)))

    def _check(self, product: Product) -> None:
        """Take up a file that has changed."""
        state = state_of(product.path)
        if state == product.state or (state is not None and not self._lasts(product.path, state)):
            return
        try:
            if state is None:
                reason = f"{product.path}: expected the detector file, got nothing of that name"
                self._refuse(product, state, reason)
            else:
                self._catalog.take_up(product, Change("replaced", "file", "the file was replaced"))
        except NotRecorded as error:  # it is tried again
            LOGGER.warning("%s: not in use yet: %s", product.name, error)
        except PatchbankError as error:
            self._refuse(product, state, str(error))

    def _check_new(self, file: Path) -> None:
        """Add the product of a file that is new in a folder."""
        state = state_of(file)
        if state == self._refused.get(file, ()) or not self._lasts(file, state):
            return
        try:
            self._catalog.add(file, Change("served", "file", "the file is new"))
        except NotRecorded as error:
            LOGGER.warning("%s: not in use yet: %s", file, error)
        except PatchbankError as error:
            self._refused[file] = state
            LOGGER.error("no product: %s", error)

    def _lasts(self, file: Path, state: FileState | None) -> bool:
        """Whether a file had this state the last time, too."""
        if self._waiting.get(file, ()) == state:
            del self._waiting[file]
            return True
        self._waiting[file] = state
        return False

    def _refuse(self, product: Product, state: FileState | None, reason: str) -> None:
        """Say that a file is not in use."""
        product.state, product.error = state, reason
        LOGGER.error("%s: the detector before stays in use: %s", product.name, reason)


def _guarded(file: Path, check: Callable[[], None]) -> None:
    """Check, and log what nobody foresaw: the thread must not end."""
    try:
        check()
    except Exception as error:
        LOGGER.error("%s: %s: %s", file, type(error).__name__, error)
