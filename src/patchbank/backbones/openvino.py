"""Networks in OpenVINO, on the CPU (extra ``openvino``)."""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from patchbank.errors import BackboneError
from patchbank.runtime.printable import one_line
from patchbank.runtime.threads import usable_cores
from patchbank.types import FeatureMap


class OpenVino:
    """A network in OpenVINO that uses `cores` cores per image.

    The precision is always given, because OpenVINO's own default is bfloat16 wherever the
    processor supports it.

    Raises:
        BackboneError: OpenVINO cannot run the network, or the processor has no bfloat16.
    """

    def __init__(self, content: bytes, name: str, cores: int, *, bfloat16: bool) -> None:
        core = openvino.Core()
        if bfloat16 and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise BackboneError(
                f"{name}: expected a processor with bfloat16, got one without; fit with float32"
            )
        n_streams = usable_cores() if cores == 1 else 1
        try:
            compiled = core.compile_model(
                core.read_model(content, b""),
                "CPU",
                {
                    "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
                    "INFERENCE_NUM_THREADS": n_streams * cores,
                    "NUM_STREAMS": n_streams,
                    "ENABLE_CPU_PINNING": False,  # the host program decides about its cores
                },
            )
        except Exception as error:  # openvino raises RuntimeError for everything
            reason = one_line(str(error))[-160:]
            raise BackboneError(
                f"{name}: expected a network that OpenVINO can run, got: {reason}; "
                "use the engine onnxruntime"
            ) from None
        self._requests: SimpleQueue[Any] = SimpleQueue()
        for _ in range(n_streams):
            self._requests.put(compiled.create_infer_request())

    def __call__(self, planes: NDArray[np.float32], outputs: tuple[str, ...]) -> list[FeatureMap]:
        """(1, 3, H, W) -> one (1, c, h, w) array per output."""
        request = self._requests.get()
        try:
            request.infer({0: planes}, share_inputs=True)
            return [request.get_tensor(name).data.copy() for name in outputs]
        finally:
            self._requests.put(request)
