"""A backbone without weights: mean and gradient of each colour, in blocks of two sizes."""

from __future__ import annotations

import numpy as np

from patchbank.backbones import BackboneInfo, BackboneSource, Layer, check_layers, unpack_info
from patchbank.errors import BackboneError

GREY = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
LAYERS = {"fine": Layer(channels=9, stride=4), "coarse": Layer(channels=9, stride=8)}


class ToyExtractor:
    """Means of the colours and of their absolute gradients down and across."""

    kind = "toy"

    def __init__(self, info, layers):
        self.info = info
        self.layers = check_layers(info, layers or info.default_layers)

    def __call__(self, image):
        """(H, W, 3) uint8 RGB -> one (9, h, w) float32 map per layer."""
        scale, shift = self.info.scale_and_shift
        colours = image * scale + shift  # (H, W, 3)
        down, across = (np.abs(np.gradient(colours, axis=axis)) for axis in (0, 1))
        planes = np.concatenate([colours, down, across], axis=2).transpose(2, 0, 1)
        return [block_means(planes, LAYERS[layer].stride) for layer in self.layers]


class ToySource(BackboneSource):
    """The backbone ``toy:blocks``."""

    kind = "toy"
    names = ("toy:blocks",)

    def accepts(self, name):
        return name in self.names

    def describe(self, name, normalisation):
        mean, std = normalisation or GREY
        return BackboneInfo(
            name=name,
            available_layers=LAYERS,
            default_layers=("fine", "coarse"),
            mean=mean,
            std=std,
            size_multiple=8,
            input_size=None,
            license="Apache-2.0",
            source="patchbank-toy",
            sha256="",
        )

    def open(self, name, options):
        return ToyExtractor(self.describe(name, options.normalisation), options.layers)

    def pack(self, extractor):
        return {}, {}

    def restore(self, record, tensors, device, engine):
        return ToyExtractor(unpack_info(record["info"]), tuple(record["layers"]))


def block_means(planes, stride):
    """(c, H, W) -> (c, H / stride, W / stride) float32."""
    c, height, width = planes.shape
    if height % stride or width % stride:
        raise BackboneError(f"toy: expected multiples of {stride}, got {height} x {width}")
    blocks = planes.reshape(c, height // stride, stride, width // stride, stride)
    return blocks.mean(axis=(2, 4)).astype(np.float32)


SOURCE = ToySource()
