"""What runs an ONNX network on the CPU: ONNX Runtime, or OpenVINO where that is asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, TypeAlias, get_args

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from patchbank.errors import BackboneError, ParameterError
from patchbank.runtime.threads import usable_cores
from patchbank.types import FeatureMap

EngineName: TypeAlias = Literal["onnxruntime", "openvino"]
Precision: TypeAlias = Literal["float32", "bfloat16"]

MOST_CORES = 8  # for one image: small networks gain nothing from more

Run: TypeAlias = Callable[[NDArray[np.float32], tuple[str, ...]], list[FeatureMap]]
"""(1, 3, H, W), names of outputs -> one (1, c, h, w) float32 each; called from several threads."""


@dataclass(frozen=True, slots=True)
class Engine:
    """Which program runs a network, and how precisely.

    Args:
        name: ``onnxruntime`` or ``openvino``.
        precision: of its products: ``float32``, or with OpenVINO ``bfloat16``.

    Raises:
        ParameterError: another name or precision, or the two do not go together.
        BackboneError: OpenVINO is not installed.
    """

    name: EngineName = "onnxruntime"
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        if self.name not in get_args(EngineName):
            raise ParameterError(f"engine: expected onnxruntime or openvino, got {self.name!r}")
        if self.precision not in get_args(Precision):
            raise ParameterError(f"precision: expected float32 or bfloat16, got {self.precision!r}")
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
        """Open the ONNX network `content`, called `name` in messages.

        Raises:
            BackboneError: the engine cannot run it.
        """
        if self.name == "onnxruntime":
            return SharedNetwork(lambda cores: OnnxRuntime(content, name, cores))
        from patchbank.backbones.openvino import OpenVino

        return SharedNetwork(lambda cores: OpenVino(content, name, cores, self.precision))


ONNX_RUNTIME = Engine()


class SharedNetwork:
    """A network that is called from any number of threads.

    An image that is alone gets several cores, for the shortest time; images side by side get one
    core each, for the most images a second.  Both give the same bits.

    Args:
        open_network: (cores an image) -> the network; the one for images side by side is opened
            when two have met.
    """

    def __init__(self, open_network: Callable[[int], Run]) -> None:
        cores = min(usable_cores(), MOST_CORES)
        self._open = open_network
        self._for_one = open_network(cores)
        self._for_many = self._for_one if cores == 1 else None
        self._lock = threading.Lock()
        self._at_work = 0

    def __call__(self, planes: NDArray[np.float32], outputs: tuple[str, ...]) -> list[FeatureMap]:
        """(1, 3, H, W) -> one (1, c, h, w) an output."""
        with self._network() as network:
            return network(planes, outputs)

    @contextmanager
    def _network(self) -> Iterator[Run]:
        with self._lock:
            network = self._for_one
            if self._at_work:
                self._for_many = self._for_many or self._open(1)
                network = self._for_many
            self._at_work += 1
        try:
            yield network
        finally:
            with self._lock:
                self._at_work -= 1


class OnnxRuntime:
    """A network in ONNX Runtime; each image has so many cores."""

    def __init__(self, content: bytes, name: str, cores: int) -> None:
        options = onnxruntime.SessionOptions()
        # Not asked, it takes all cores of the machine, also those that this process may not use.
        options.intra_op_num_threads = cores
        # Threads that spin between two images would take the cores from whatever else wants them.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = _session(content, name, options)
        self._input = self._session.get_inputs()[0].name

    def __call__(self, planes: NDArray[np.float32], outputs: tuple[str, ...]) -> list[FeatureMap]:
        """(1, 3, H, W) -> one (1, c, h, w) an output."""
        maps = self._session.run(list(outputs), {self._input: planes})
        return [np.asarray(m) for m in maps]


def described(content: bytes, name: str) -> onnxruntime.InferenceSession:
    """A session that tells of inputs, outputs and metadata; it is made quickly, and runs slowly.

    Raises:
        BackboneError: it is no ONNX model.
    """
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.intra_op_num_threads = 1
    return _session(content, name, options)


def _session(
    content: bytes, name: str, options: onnxruntime.SessionOptions
) -> onnxruntime.InferenceSession:
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no exception type of its own
        reason = str(error).splitlines()[0]
        raise BackboneError(f"{name}: expected an ONNX model, got: {reason}") from None
