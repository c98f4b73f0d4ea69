"""What runs an ONNX network: ONNX Runtime."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from patchbank.errors import BackboneError
from patchbank.threads import usable_cores
from patchbank.types import FeatureMap

MOST_CORES = 8  # for one image: small networks gain nothing from more


class OnnxRuntime:
    """A network in ONNX Runtime, on the CPU; to be called from any number of threads.

    An image that is alone gets several cores, for the shortest time; images side by side get one
    core each, for the most images a second.  Both give the same bits.
    """

    def __init__(self, content: bytes, name: str) -> None:
        self._content, self._name = content, name
        self._cores = min(usable_cores(), MOST_CORES)
        self.session = open_session(content, name, self._cores)
        """For an image that is alone."""
        self._one_core = self.session if self._cores == 1 else None
        self._lock = threading.Lock()
        self._at_work = 0

    def __call__(self, planes: NDArray[np.float32], outputs: tuple[str, ...]) -> list[FeatureMap]:
        """(1, 3, H, W) -> one (1, c, h, w) an output."""
        with self._session() as session:
            maps = session.run(list(outputs), {session.get_inputs()[0].name: planes})
        return [np.asarray(m) for m in maps]

    @contextmanager
    def _session(self) -> Iterator[onnxruntime.InferenceSession]:
        with self._lock:
            alone = self._at_work == 0
            if not alone and self._one_core is None:
                self._one_core = open_session(self._content, self._name, 1)
            self._at_work += 1
        try:
            yield self.session if alone else self._one_core
        finally:
            with self._lock:
                self._at_work -= 1


def open_session(content: bytes, name: str, cores: int) -> onnxruntime.InferenceSession:
    """Open a network that one image runs through with so many cores.

    Raises:
        BackboneError: it is no ONNX model.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Not asked, it takes all cores of the machine, also those that this process may not use.
    options.intra_op_num_threads = cores
    # Threads that spin between two images would take the cores from whatever else wants them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no exception type of its own
        reason = str(error).splitlines()[0]
        raise BackboneError(f"{name}: expected an ONNX model, got: {reason}") from None
