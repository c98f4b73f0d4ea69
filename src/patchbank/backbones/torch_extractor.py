"""Networks that run in torch (extra ``torch``), whoever defines them."""

from __future__ import annotations

import hashlib
import textwrap
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray

from patchbank.backbones.extractor import BackboneInfo, check_layers
from patchbank.errors import BackboneError
from patchbank.runtime.devices import HOST, Device
from patchbank.runtime.torch_device import TorchDevice, full_float32
from patchbank.types import Array, Image

State = Mapping[str, NDArray[Any]]
Tensors = dict[str, torch.Tensor]


class TruncatedNetwork(torch.nn.Module):  # type: ignore[misc]  # torch need not be installed to check
    """A network cut after the deepest of the layers to take.  (b, 3, H, W) -> maps, by depth.

    Each family of networks says in `forward` how its maps are taken.
    """

    is_continuous = True
    """Whether a last bit in the input changes the maps by about as little."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network: Any = network


class TorchExtractor:
    """A feature extractor that runs a network in torch, on the CPU or a GPU.

    Images go through one at a time on every device, so features cannot depend on a batch, and
    memory does not grow with the threads that bring them.
    On the CPU the maps come as numpy arrays, on a GPU they stay there.
    """

    def __init__(
        self,
        info: BackboneInfo,
        cut: Callable[[list[int]], TruncatedNetwork],
        layers: tuple[str, ...] | None = None,
        device: Device = HOST,
    ) -> None:
        self._info = info
        self._layers = check_layers(info, layers or info.default_layers)
        every = list(info.available_layers)
        ascending = sorted(every.index(layer) for layer in self._layers)
        self._order = [ascending.index(every.index(layer)) for layer in self._layers]
        self.network = cut(ascending)
        self.network.eval().requires_grad_(False)
        self._on_host = device is HOST
        self._device = TorchDevice("cpu", tile_factor=1) if self._on_host else device
        self.network.to(self._device.name)
        self._turn = threading.Lock()
        self._scale, self._shift = (
            self._device.put(np.array(values, dtype=np.float32)[:, None, None])
            for values in info.scale_and_shift
        )

    @property
    def info(self) -> BackboneInfo:
        """Where the weights come from and how their input is prepared."""
        return self._info

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers taken, in the order of the maps returned."""
        return self._layers

    def __call__(self, image: Image) -> Sequence[Array]:
        """(H, W, 3) uint8 RGB -> one (c, h, w) float32 map a layer."""
        planes = self._device.put(np.ascontiguousarray(image)).permute(2, 0, 1)
        try:
            with self._turn, torch.no_grad(), full_float32():
                maps = self.network((planes * self._scale + self._shift)[None])
        except torch.OutOfMemoryError:  # `Device.precise` says it
            raise
        except Exception as error:  # networks refuse sizes with errors of any type
            size = f"{image.shape[0]} x {image.shape[1]}"
            raise BackboneError(
                f"{self._info.name}: it cannot run on an input of {size}: {in_one_line(error)}"
            ) from None
        found = [maps[position][0] for position in self._order]
        return [m.numpy() for m in found] if self._on_host else found

    def state(self) -> dict[str, NDArray[Any]]:
        """The weights that the layers taken need, by name."""
        return {name: t.cpu().numpy() for name, t in self.network.network.state_dict().items()}

    def restore(self, state: State) -> None:
        """Put back the weights that `state` gave.

        Raises:
            RuntimeError: they are those of another network.
        """
        tensors = {name: torch.from_numpy(array.copy()) for name, array in state.items()}
        self.network.network.load_state_dict(tensors)


def load_weights(
    network: torch.nn.Module, name: str, path: str, adapt: Callable[[Tensors], Tensors]
) -> None:
    """Fill a network from a safetensors file or a state dict, without unpickling anything else.

    Args:
        network: to fill.
        name: of the network, for messages.
        path: of the file; in a checkpoint of a training its entry ``state_dict`` is taken.
        adapt: turns the names of the file into those of the network.

    Raises:
        BackboneError: no such file, no weights in it, or some are missing.
    """
    if not Path(path).is_file():
        raise BackboneError(f"weights: expected a file of weights, got nothing named {path}")
    try:
        state = timm.models.load_state_dict(path, weights_only=True)
        missing = network.load_state_dict(adapt(state), strict=False).missing_keys
    except Exception as error:  # of torch, safetensors and timm: many types for one fact
        pickled = "weights_only" in str(error)
        reason = (
            "it holds more than weights; save its state_dict()" if pickled else in_one_line(error)
        )
        raise BackboneError(
            f"weights: expected a safetensors file or state dict for {name}, got {path}: {reason}"
        ) from None
    if missing:
        raise BackboneError(
            f"weights: expected all weights of {name}, got {path} without "
            f"{', '.join(missing[:3])} ({len(missing)} are missing)"
        )


def weights_digest(network: torch.nn.Module) -> str:
    """The sha256 of names and values of all weights, whatever file they came in."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def in_one_line(error: Exception) -> str:
    """The beginning of an error of others, in one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return textwrap.shorten(text, 160, placeholder=" ...")
