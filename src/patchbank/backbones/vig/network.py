"""ViG and Pyramid ViG without classifier, with the names and shapes of the published weights.

Written from the paper (Han et al., NeurIPS 2022) and the shapes of the weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from patchbank.backbones.torch_extractor import TruncatedNetwork
from patchbank.backbones.vig.graph import max_relative, nearest
from patchbank.backbones.vig.positions import relative_positions, resized
from patchbank.backbones.vig.variants import SIDE, Block, Graph, Variant


class Vig(nn.Module):  # type: ignore[misc]  # mypy runs without torch too
    """A ViG without its classifier, for inputs of any multiple of its largest stride."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        channels, side = variant.channels[0], SIDE // variant.stem_stride
        self.stem = nn.ModuleDict({"convs": _stem(channels, variant.stem_stride)})
        self.pos_embed = nn.Parameter(torch.zeros(1, channels, side, side))
        before = [channels, *(block.channels for block in variant.blocks[:-1])]
        self.backbone = nn.Sequential(
            *(_block(b, c, variant) for b, c in zip(variant.blocks, before, strict=True))
        )

    def maps(self, images: torch.Tensor) -> Iterator[torch.Tensor]:
        """(b, 3, H, W) -> the output of the stem, then of every block, each (b, c, h, w)."""
        x = self.stem["convs"](images)
        yield x
        x = x + resized(self.pos_embed, *x.shape[2:])
        for block in self.backbone:
            x = block(x)
            yield x


class TruncatedVig(TruncatedNetwork):
    """A ViG truncated after the deepest chosen layer; the stem is layer 0."""

    is_continuous = False  # see the module `graph`

    def __init__(self, network: Vig, indices: list[int]) -> None:
        super().__init__(network)
        self.indices = indices
        self.network.backbone = self.network.backbone[: indices[-1]]

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """(b, 3, H, W) -> (b, c, h, w) per layer."""
        maps = enumerate(self.network.maps(images))
        return tuple(one for index, one in maps if index in self.indices)


class Grapher(nn.Module):  # type: ignore[misc]
    """The graph convolution of a block: every node aggregates its nearest neighbours."""

    def __init__(self, channels: int, graph: Graph, grid: tuple[int, int] | None) -> None:
        super().__init__()
        self.channels, self.graph, self.grid = channels, graph, grid
        self.fc1 = _convolution(channels, channels, 1)
        relative = nn.Parameter(self.positions(*grid), requires_grad=False) if grid else None
        self.register_parameter("relative_pos", relative)
        mixing = nn.Conv2d(2 * channels, 2 * channels, 1, groups=4)
        mixed = nn.Sequential(mixing, nn.BatchNorm2d(2 * channels), nn.GELU())
        # the published weights call it graph_conv.gconv.nn
        self.graph_conv = nn.ModuleDict({"gconv": nn.ModuleDict({"nn": mixed})})
        self.fc2 = _convolution(2 * channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, h, w) -> (b, c, h, w)."""
        features = self.fc1(x)
        pairs = torch.stack([features, self._relative(features)], dim=2)  # (b, c, 2, h, w)
        mixed = self.graph_conv["gconv"]["nn"](pairs.flatten(1, 2))  # channels x0, m0, x1, m1, ...
        return x + self.fc2(mixed)

    def _relative(self, features: torch.Tensor) -> torch.Tensor:
        graph = self.graph
        coarse = features
        if graph.reduction > 1:
            coarse = functional.avg_pool2d(features, graph.reduction)
        nodes, candidates = (m.flatten(2).transpose(1, 2) for m in (features, coarse))
        neighbours = nearest(
            nodes,
            candidates,
            graph.n_neighbours,
            graph.dilation,
            self._relative_pos(*features.shape[2:]),
        )
        relative = max_relative(nodes, candidates, neighbours)  # (b, h * w, c)
        return relative.transpose(1, 2).reshape(features.shape)

    def positions(self, height: int, width: int) -> torch.Tensor:
        """(1, n, m) relative positions of a grid, added to the distances between its nodes."""
        return relative_positions(
            self.channels, height, width, self.graph.reduction, self.fc1[0].weight.device
        )

    def _relative_pos(self, height: int, width: int) -> torch.Tensor | None:
        if self.grid is None:
            return None
        # while a model for inputs of any size is exported, height and width are symbols
        if isinstance(height, int) and (height, width) == self.grid:
            return self.relative_pos
        return self.positions(height, width)


class FeedForward(nn.Module):  # type: ignore[misc]
    """The second part of a block: a perceptron per node, four times as wide inside."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = _convolution(channels, 4 * channels, 1)
        self.fc2 = _convolution(4 * channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, h, w) -> (b, c, h, w)."""
        return x + self.fc2(functional.gelu(self.fc1(x)))


class Downsampling(nn.Module):  # type: ignore[misc]
    """Convolution between two stages of a pyramid, which halves height and width."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.conv = _convolution(before, after, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(b, c, h, w) -> (b, c', h / 2, w / 2)."""
        return self.conv(x)


def _block(block: Block, before: int, variant: Variant) -> nn.Module:
    if block.graph is None:
        return Downsampling(before, block.channels)
    side = SIDE // block.stride
    grid = (side, side) if variant.is_pyramid else None
    return nn.Sequential(Grapher(block.channels, block.graph, grid), FeedForward(block.channels))


def _stem(channels: int, stride: int) -> nn.Sequential:
    """Convolutions that halve the map until its stride is `stride`, then one of stride 1."""
    halvings = stride.bit_length() - 1
    widths = [3, *(channels >> (halvings - 1 - i) for i in range(halvings))]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [*_convolution(before, after, 3, stride=2), nn.GELU()]
    return nn.Sequential(*layers, *_convolution(channels, channels, 3))


def _convolution(before: int, after: int, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, kernel, stride, padding=kernel // 2)
    return nn.Sequential(convolution, nn.BatchNorm2d(after))
