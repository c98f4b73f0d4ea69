"""Networks in OpenVINO (extra ``openvino``)."""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any

import numpy as np
import openvino
from numpy.typing import NDArray

from patchbank.backbones.onnx_runtime import Precision
from patchbank.errors import BackboneError
from patchbank.runtime.threads import usable_cores
from patchbank.types import FeatureMap

TYPES = {"float32": "f32", "bfloat16": "bf16"}


class OpenVino:
    """A network in OpenVINO on the CPU; each image has so many cores.

    Nothing is rounded but what `precision` says: left alone, OpenVINO takes bfloat16 wherever the
    processor has it.

    Raises:
        BackboneError: it cannot run the network, or the processor lacks the precision.
    """

    def __init__(self, content: bytes, name: str, cores: int, precision: Precision) -> None:
        core = openvino.Core()
        if precision == "bfloat16" and "BF16" not in core.get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            raise BackboneError(
                f"{name}: expected a processor with bfloat16, got one without; fit with float32"
            )
        at_a_time = usable_cores() if cores == 1 else 1
        try:
            compiled = core.compile_model(
                core.read_model(content, b""),
                "CPU",
                {
                    "INFERENCE_PRECISION_HINT": TYPES[precision],
                    "INFERENCE_NUM_THREADS": at_a_time * cores,
                    "NUM_STREAMS": at_a_time,
                    "ENABLE_CPU_PINNING": False,  # the cores belong to the host program
                },
            )
        except Exception as error:  # openvino raises RuntimeError for everything
            reason = " ".join(str(error).split())[-160:]
            raise BackboneError(
                f"{name}: expected a network that OpenVINO can run, got: {reason}; "
                "use the engine onnxruntime"
            ) from None
        self._requests: SimpleQueue[Any] = SimpleQueue()
        for _ in range(at_a_time):
            self._requests.put(compiled.create_infer_request())

    def __call__(self, planes: NDArray[np.float32], outputs: tuple[str, ...]) -> list[FeatureMap]:
        """(1, 3, H, W) -> one (1, c, h, w) an output."""
        request = self._requests.get()
        try:
            request.infer({0: planes}, share_inputs=True)
            return [request.get_tensor(name).data.copy() for name in outputs]
        finally:
            self._requests.put(request)
