"""Feature extractors that run a network in torch (extra ``torch``), for any family of networks."""

from __future__ import annotations

import textwrap
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from patchbank.backbones.extractor import BackboneInfo, check_layers
from patchbank.errors import BackboneError
from patchbank.runtime.devices import HOST, Device
from patchbank.runtime.printable import one_line
from patchbank.runtime.torch_device import TorchDevice, full_float32, is_out_of_memory
from patchbank.types import Array, Image

State = Mapping[str, NDArray[Any]]


class TruncatedNetwork(torch.nn.Module):  # type: ignore[misc]  # mypy runs without torch too
    """A network without the part behind the deepest chosen layer.

    `forward` maps (b, 3, H, W) to one (b, c, h, w) map per chosen layer, shallow to deep; each
    family of networks implements it.
    """

    is_continuous = True
    """Whether a change of the input by one rounding error changes the maps by about as little."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network: Any = network


class TorchExtractor:
    """A feature extractor that runs a network in torch, on the CPU or a GPU.

    Images are processed one at a time on every device: features cannot depend on a batch, and
    memory does not grow with the number of calling threads.
    On the CPU the maps are numpy arrays; on a GPU they are tensors that stay there.

    Args:
        kind: the key of the network's source in `patchbank.backbones.SOURCES`.
        info: of the network.
        truncate: (indices of layers, ascending) -> the network truncated after the last of them.
        layers: the layers to compute; None for the default ones.
        device: where the network runs.
    """

    def __init__(
        self,
        kind: str,
        info: BackboneInfo,
        truncate: Callable[[list[int]], TruncatedNetwork],
        layers: tuple[str, ...] | None = None,
        device: Device = HOST,
    ) -> None:
        self.kind = kind
        self._info = info
        self._layers = check_layers(info, layers or info.default_layers)
        available = list(info.available_layers)
        ascending = sorted(available.index(layer) for layer in self._layers)
        self._order = [ascending.index(available.index(layer)) for layer in self._layers]
        self.network = truncate(ascending)
        self.network.eval().requires_grad_(False)
        self._on_host = device is HOST
        # On a GPU the time goes into starting its work, for which threads need Python's one lock:
        # one starts it while another prepares the next photograph.
        self.most_threads = None if self._on_host else 2
        self._device = TorchDevice("cpu", tile_factor=1) if self._on_host else device
        self.network.to(self._device.name)
        self._lock = threading.Lock()
        self._scale, self._shift = (
            self._device.put(np.array(values, dtype=np.float32)[:, None, None])
            for values in info.scale_and_shift
        )

    @property
    def info(self) -> BackboneInfo:
        """Origin of the weights, and how their input is prepared."""
        return self._info

    @property
    def layers(self) -> tuple[str, ...]:
        """The chosen layers, in the order of the returned maps."""
        return self._layers

    def __call__(self, image: Image) -> Sequence[Array]:
        """(H, W, 3) uint8 RGB -> one (c, h, w) float32 map per layer."""
        planes = self._device.put(np.ascontiguousarray(image)).permute(2, 0, 1)
        try:
            with self._lock, torch.no_grad(), full_float32():
                maps = self.network((planes * self._scale + self._shift)[None])
        except Exception as error:  # networks reject input sizes with errors of any type
            if is_out_of_memory(error):  # `Device.full_precision` turns it into a MemoryError
                raise
            size = f"{image.shape[0]} x {image.shape[1]}"
            raise BackboneError(
                f"{self._info.name}: it cannot run on an input of {size}: {in_one_line(error)}"
            ) from None
        ordered = [maps[position][0] for position in self._order]
        return [m.numpy() for m in ordered] if self._on_host else ordered

    def state(self) -> dict[str, NDArray[Any]]:
        """The weights of the truncated network, by name."""
        return {name: t.cpu().numpy() for name, t in self.network.network.state_dict().items()}

    def restore(self, state: State) -> None:
        """Load the weights that `state` returned.

        Raises:
            RuntimeError: they belong to another network.
        """
        tensors = {name: torch.from_numpy(array.copy()) for name, array in state.items()}
        self.network.network.load_state_dict(tensors)


def in_one_line(error: Exception) -> str:
    """The message of another library's error, shortened to one line."""
    text = one_line(str(error)) or type(error).__name__
    return textwrap.shorten(text, 160, placeholder=" ...")
