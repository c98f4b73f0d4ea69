"""The seven published ViGs: their sizes, and where their weights are.  No torch is needed."""

from __future__ import annotations

from dataclasses import dataclass

from patchbank.backbones.extractor import BackboneInfo, Layer, Normalisation

RELEASES = "https://github.com/huawei-noah/Efficient-AI-Backbones/releases"
SIDE = 224  # pixels: the size of the input that all were trained with
HALF = (0.5, 0.5, 0.5)  # mean and deviation, from `default_cfgs` of the published vig.py
GRAPHCORE_LAYERS = ("backbone.3", "backbone.4")  # those that the authors of GraphCore take


@dataclass(frozen=True, slots=True)
class Graph:
    """How the nodes of a block find their neighbours."""

    n_neighbours: int
    dilation: int
    """Of the nearest nodes, sorted, every `dilation`-th is a neighbour."""
    reduction: int
    """Side of the squares of nodes whose averages are the candidates; 1 for the nodes."""


@dataclass(frozen=True, slots=True)
class Block:
    """An entry of the published list ``backbone``."""

    channels: int
    stride: int
    graph: Graph | None
    """None for a convolution between two stages, which halves the map."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Sizes of one ViG: one stage (isotropic) or four (pyramid)."""

    channels: tuple[int, ...]
    """Of each stage."""
    depths: tuple[int, ...]
    """Blocks of each stage, the convolutions between the stages left out."""
    weights: str
    """Release and file of the published weights."""

    @property
    def is_pyramid(self) -> bool:
        """Whether the map gets smaller, and nodes know where they lie."""
        return len(self.channels) > 1

    @property
    def stem_stride(self) -> int:
        """Pixels of the image a step of the first map."""
        return 4 if self.is_pyramid else 16

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The list ``backbone``, shallow to deep."""
        stride, blocks, graphs = self.stem_stride, list[Block](), iter(self._graphs())
        for stage, (channels, depth) in enumerate(zip(self.channels, self.depths, strict=True)):
            if stage:
                stride *= 2
                blocks.append(Block(channels, stride, None))
            blocks += [Block(channels, stride, next(graphs)) for _ in range(depth)]
        return tuple(blocks)

    def _graphs(self) -> list[Graph]:
        """Dilation grows every four blocks, as far as the smallest map at 224 x 224 has nodes."""
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
    """Layers, strides, channels and preprocessing of a ViG, without its weights.

    >>> describe_vig("pvig_ti_224_gelu").default_layers  # the ends of stages 2 and 3
    ('backbone.4', 'backbone.11')
    """
    variant = VARIANTS[name]
    taps = {"stem": Layer(variant.channels[0], variant.stem_stride)}
    taps |= {f"backbone.{i}": Layer(b.channels, b.stride) for i, b in enumerate(variant.blocks)}
    mean, std = normalisation or (HALF, HALF)
    return BackboneInfo(
        name=name,
        available_layers=taps,
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
