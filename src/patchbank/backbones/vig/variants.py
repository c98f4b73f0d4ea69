"""The seven published ViGs: their sizes and the origin of their weights, without torch."""

from __future__ import annotations

from dataclasses import dataclass

from patchbank.backbones.extractor import BackboneInfo, Layer
from patchbank.choices import Normalisation

RELEASES = "https://github.com/huawei-noah/Efficient-AI-Backbones/releases"
SIDE = 224  # height and width of the training images, in pixels
HALF = (0.5, 0.5, 0.5)  # mean and standard deviation, from `default_cfgs` of the published vig.py
GRAPHCORE_LAYERS = ("backbone.3", "backbone.4")  # the layers that the authors of GraphCore use


@dataclass(frozen=True, slots=True)
class Graph:
    """Parameters of the nearest-neighbour graph of a block."""

    n_neighbours: int
    dilation: int
    """Step through the sorted nearest nodes: every `dilation`-th is a neighbour."""
    reduction: int
    """Candidates are averages over reduction x reduction nodes; 1: the nodes themselves."""


@dataclass(frozen=True, slots=True)
class Block:
    """One block, an entry of the list ``backbone`` in the published weights."""

    channels: int
    stride: int
    graph: Graph | None
    """Parameters of the graph; None for the convolution between two stages (halves the map)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Sizes of one ViG, which has one stage (isotropic) or four (pyramid)."""

    channels: tuple[int, ...]
    """Channels of each stage."""
    depths: tuple[int, ...]
    """Blocks of each stage, without the convolutions between stages."""
    weights: str
    """Release and file name of the published weights."""

    @property
    def is_pyramid(self) -> bool:
        """Whether the map gets smaller with depth, and distances include relative positions."""
        return len(self.channels) > 1

    @property
    def stem_stride(self) -> int:
        """Stride of the first map, in pixels."""
        return 4 if self.is_pyramid else 16

    @property
    def blocks(self) -> tuple[Block, ...]:
        """All blocks, shallow to deep."""
        stride, blocks, graphs = self.stem_stride, list[Block](), iter(self._graphs())
        for stage, (channels, depth) in enumerate(zip(self.channels, self.depths, strict=True)):
            if stage:
                stride *= 2
                blocks.append(Block(channels, stride, None))
            blocks += [Block(channels, stride, next(graphs)) for _ in range(depth)]
        return tuple(blocks)

    def _graphs(self) -> list[Graph]:
        """The graph of each block; dilation grows every four blocks, limited by the last map."""
        reductions = (4, 2, 1, 1) if self.is_pyramid else (1,)
        per_block = [r for r, n in zip(reductions, self.depths, strict=True) for _ in range(n)]
        last = len(per_block) - 1
        counts = [9 if self.is_pyramid else 9 + 9 * i // last for i in range(last + 1)]
        deepest = self.stem_stride * 2 ** (len(self.depths) - 1)
        largest = (SIDE // deepest) ** 2 // max(counts)
        return [
            Graph(count, min(i // 4 + 1, largest), reduction)
            for i, (count, reduction) in enumerate(zip(counts, per_block, strict=True))
        ]


def _isotropic(channels: int, depth: int, file: str) -> Variant:
    return Variant(channels=(channels,), depths=(depth,), weights=f"tag/vig ({file})")


def _pyramid(channels: tuple[int, ...], depth: int, file: str) -> Variant:
    weights = f"tag/pyramid-vig ({file})"
    return Variant(channels=channels, depths=(2, 2, depth, 2), weights=weights)


VARIANTS = {
    "vig_ti_224_gelu": _isotropic(192, 12, "vig_ti_74.5.pth"),
    "vig_s_224_gelu": _isotropic(320, 16, "vig_s_80.6.pth"),
    "vig_b_224_gelu": _isotropic(640, 16, "vig_b_82.6.pth"),
    "pvig_ti_224_gelu": _pyramid((48, 96, 240, 384), 6, "pvig_ti_78.5.pth.tar"),
    "pvig_s_224_gelu": _pyramid((80, 160, 400, 640), 6, "pvig_s_82.1.pth.tar"),
    "pvig_m_224_gelu": _pyramid((96, 192, 384, 768), 16, "pvig_m_83.1.pth.tar"),
    "pvig_b_224_gelu": _pyramid((128, 256, 512, 1024), 18, "pvig_b_83.66.pth.tar"),
}


def describe_vig(name: str, normalisation: Normalisation | None = None) -> BackboneInfo:
    """Layers, strides, channels and preprocessing of a ViG; its weights are not needed.

    >>> describe_vig("pvig_ti_224_gelu").default_layers  # the ends of stages 2 and 3
    ('backbone.4', 'backbone.11')
    """
    variant = VARIANTS[name]
    layers = {"stem": Layer(variant.channels[0], variant.stem_stride)}
    layers |= {f"backbone.{i}": Layer(b.channels, b.stride) for i, b in enumerate(variant.blocks)}
    mean, std = normalisation or (HALF, HALF)
    return BackboneInfo(
        name=name,
        available_layers=layers,
        default_layers=_default_layers(variant),
        mean=mean,
        std=std,
        size_multiple=variant.blocks[-1].stride,
        input_size=None,
        license="BSD-3-Clause",
        source=f"{RELEASES}/{variant.weights}",
        sha256="",
    )


def _default_layers(variant: Variant) -> tuple[str, ...]:
    if not variant.is_pyramid:
        return GRAPHCORE_LAYERS
    last = {block.stride: f"backbone.{i}" for i, block in enumerate(variant.blocks)}
    return last[8], last[16]
