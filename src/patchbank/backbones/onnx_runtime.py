"""Networks in ONNX Runtime, on the CPU."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

# Version 1.29 and later otherwise look up a server of their maker when they are imported, and keep
# an identifier of the machine in the user's folder.  The thread that does so also keeps a forked
# child from ending.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from patchbank.errors import BackboneError
from patchbank.types import FeatureMap

EXTERNAL_FOLDER_KEY = "session.model_external_initializers_file_folder_path"
NO_FOLDER = "/dev/null/patchbank-reads-no-weights-from-other-files"
"""A folder that cannot exist, where a model would find weights that are not in it."""

KEPT_PX = 640**2
"""Pixels of an input, at most, whose memory is kept for the next one.  Larger ones are few, and
what several threads keep for them would grow to a gigabyte; it costs a fifth of the time."""


class OnnxRuntime:
    """A network in ONNX Runtime that uses `cores` cores per image.

    Raises:
        BackboneError: `content` is not an ONNX model.
    """

    def __init__(self, content: bytes, name: str, cores: int) -> None:
        self._session = _session(content, name, options_on(cores))
        self._input = self._session.get_inputs()[0].name
        self._releasing = onnxruntime.RunOptions()
        self._releasing.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def __call__(self, planes: NDArray[np.float32], outputs: tuple[str, ...]) -> list[FeatureMap]:
        """(1, 3, H, W) -> one (1, c, h, w) array per output."""
        is_large = planes.shape[2] * planes.shape[3] > KEPT_PX
        run_options = self._releasing if is_large else None
        maps = self._session.run(list(outputs), {self._input: planes}, run_options)
        return [np.asarray(m) for m in maps]


def options_on(cores: int) -> onnxruntime.SessionOptions:
    """Options of a session that uses so many cores, and leaves them while it waits."""
    options = onnxruntime.SessionOptions()
    # The default is every core of the machine, including those this process may not use.
    options.intra_op_num_threads = cores
    # Threads that spin between two images would keep cores busy that other work needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _session(
    content: bytes, name: str, options: onnxruntime.SessionOptions
) -> onnxruntime.InferenceSession:
    options.log_severity_level = 4
    options.add_session_config_entry(EXTERNAL_FOLDER_KEY, NO_FOLDER)
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has no exception type of its own
        reason = str(error).splitlines()[0]
        raise BackboneError(f"{name}: expected an ONNX model, got: {reason}") from None
