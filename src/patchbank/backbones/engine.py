"""Engines: the program that runs an ONNX network on the CPU, ONNX Runtime or OpenVINO.

`Engine` is the choice that a caller makes.  `SharedNetwork` lets several threads use one network;
`onnx_runtime` and `openvino` each hold one class that runs a network in their program.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from patchbank.backbones.onnx_runtime import OnnxRuntime
from patchbank.choices import EngineName, Precision
from patchbank.errors import BackboneError, ParameterError
from patchbank.runtime.logs import LOGGER
from patchbank.runtime.once import BuiltOnce
from patchbank.runtime.threads import usable_cores
from patchbank.types import FeatureMap

MAX_CORES = 8  # per image: small networks do not run faster on more

Run: TypeAlias = Callable[[NDArray[np.float32], tuple[str, ...]], list[FeatureMap]]
"""(1, 3, H, W) and names of outputs -> one (1, c, h, w) float32 array per output; thread-safe."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The program that runs ONNX networks, and the precision of its matrix products.

    Args:
        name: ``onnxruntime`` or ``openvino``.
        precision: ``float32``, with OpenVINO ``bfloat16``; ``int8`` for a network that is
            quantised.

    Raises:
        ParameterError: unknown name or precision, or a precision that the engine does not have.
        BackboneError: OpenVINO is not installed.
    """

    name: EngineName = "onnxruntime"
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        if self.name not in get_args(EngineName):
            raise ParameterError(f"engine: expected onnxruntime or openvino, got {self.name!r}")
        if self.precision not in get_args(Precision):
            expected = ", ".join(get_args(Precision))
            raise ParameterError(f"precision: expected one of {expected}, got {self.precision!r}")
        if self.precision == "bfloat16" and self.name != "openvino":
            raise ParameterError(
                f"precision: expected float32 with {self.name}, got bfloat16, "
                "which needs the engine openvino"
            )
        if self.name == "openvino" and find_spec("openvino") is None:
            raise BackboneError(
                "engine: expected OpenVINO to be installed, got none; "
                "pip install 'patchbank[openvino]'"
            )

    def open(self, content: bytes, name: str) -> Run:
        """Load the ONNX model `content`; error messages call it `name`.

        Raises:
            BackboneError: the engine cannot run it.
        """
        LOGGER.debug("opening %s in %s", name, self.name)
        if self.name == "onnxruntime":
            return SharedNetwork(lambda cores: OnnxRuntime(content, name, cores))
        from patchbank.backbones.openvino import OpenVino

        bfloat16 = self.precision == "bfloat16"
        return SharedNetwork(lambda cores: OpenVino(content, name, cores, bfloat16=bfloat16))


ONNX_RUNTIME = Engine()


class SharedNetwork:
    """A network that any number of threads may call.

    A call that runs alone uses several cores, for the lowest latency.  Concurrent calls use one
    core each, for the highest throughput.  Both give the same bits.

    Args:
        open_network: (cores per image) -> the network.  The one-core network is opened at the
            first concurrent call.
    """

    def __init__(self, open_network: Callable[[int], Run]) -> None:
        cores = min(usable_cores(), MAX_CORES)
        # A forked process opens its own: the threads of a network stay with the parent.
        self._for_latency = BuiltOnce(
            partial(open_network, cores), open_network(cores), anew_in_child=True
        )
        self._for_throughput = (
            self._for_latency
            if cores == 1
            else BuiltOnce(partial(open_network, 1), anew_in_child=True)
        )
        self._lock = threading.Lock()
        self._n_running = 0

    def __call__(self, planes: NDArray[np.float32], outputs: tuple[str, ...]) -> list[FeatureMap]:
        """(1, 3, H, W) -> one (1, c, h, w) array per output."""
        with self._network() as network:
            return network(planes, outputs)

    @contextmanager
    def _network(self) -> Iterator[Run]:
        with self._lock:
            is_alone = self._n_running == 0
            self._n_running += 1
        try:
            yield self._for_latency() if is_alone else self._for_throughput()
        finally:
            with self._lock:
                self._n_running -= 1
