"""PaDiM as a method: its settings, learner, model, and the tensors in its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from patchbank.methods.base import Method, Tensors
from patchbank.methods.padim.continuing import NormalSamples, PadimContinuation
from patchbank.methods.padim.learner import PadimLearner
from patchbank.methods.padim.model import PadimModel, channels_kept, restore_model
from patchbank.methods.padim.settings import PRESETS, PadimParameters, PadimSettings
from patchbank.methods.tensor_spec import TensorSpec
from patchbank.runtime.devices import Device


def restore(settings: PadimParameters, tensors: Tensors, device: Device) -> PadimModel:
    """Build the model that `tensors` came from; it scores on the CPU."""
    return restore_model(settings, tensors)


def lengths(settings: PadimParameters, channels: Sequence[int]) -> Mapping[str, int]:
    """Channels of all layers together, and dimensions of a patch."""
    n_channels = sum(channels)
    return {"channels": n_channels, "d": len(channels_kept(settings, n_channels))}


CONTENTS: Mapping[str, TensorSpec] = {
    "means": TensorSpec("float32", ("p", "d")),
    "bases": TensorSpec("float32", ("p", "d", "r?"), low=-1.01, high=1.01),
    "variances": TensorSpec("float32", ("p", "r?"), low=1e-30, high=1e30),
    "rests": TensorSpec("float32", ("p",), low=1e-30, high=1e30),
    "grid": TensorSpec("int32", ("2",), low=1),
    "n_channels": TensorSpec("int32", ("1",), equals="channels"),
    "sample_counts": TensorSpec("int32", ("p",), low=1, optional=True),
}
METHOD = Method(
    "padim",
    PadimSettings,
    PadimParameters,
    PRESETS,
    PadimLearner,
    restore,
    contents=CONTENTS,
    lengths=lengths,
    takes_interest=True,
    continued=PadimContinuation,
    normal=NormalSamples,
)
