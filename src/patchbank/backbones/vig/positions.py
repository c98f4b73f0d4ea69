"""Position embeddings of a ViG, on the grid of the published weights and on any other."""

from __future__ import annotations

import torch
from torch.nn import functional

HALFWAY = (-3 / 32, 19 / 32, 19 / 32, -3 / 32)  # bicubic (a = -3/4), midway between samples


def resized(pos_embed: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Interpolate a position embedding bicubically: (1, c, h, w) -> (1, c, height, width).

    On its own grid the bicubic weights are 0 and 1, so it stays the same to the last bit.
    """
    return functional.interpolate(
        pos_embed, size=(height, width), mode="bicubic", align_corners=False
    )


def relative_positions(
    channels: int, height: int, width: int, reduction: int, device: torch.device | None = None
) -> torch.Tensor:
    """Relative positions, which a pyramid adds to the squared distances of its nodes.

    They are -2/c P P', where a row of P holds sines and cosines of a node's column and row, counted
    in nodes (the published formula, for any grid).  If candidates are averages over reduction x
    reduction nodes, the published code interpolates the matrix bicubically along the *index* of
    the candidate instead of along rows and columns of the grid; the weights were trained with
    that, so other grids are treated the same.

    Returns:
        (1, n, m) float32, n = height * width and m = n / reduction^2.

    >>> [round(far, 3) for far in relative_positions(4, 1, 3, 1)[0, 0].tolist()]
    [-1.0, -0.77, -0.292]
    """
    table = _sines_and_cosines(channels, height, width, device)  # (n, c)
    candidates = table
    if reduction > 1:
        n = reduction**2
        middle = table.reshape(-1, n, channels)[:, n // 2 - 2 : n // 2 + 2]  # (m, 4, c)
        weights = torch.tensor(HALFWAY, dtype=table.dtype, device=device)
        candidates = (middle * weights[:, None]).sum(dim=1)
    return (table @ candidates.T * (-2 / channels)).float()[None]


def _sines_and_cosines(
    channels: int, height: int, width: int, device: torch.device | None
) -> torch.Tensor:
    """(height * width, channels): sines and cosines of the column, then those of the row."""
    float64 = {"dtype": torch.float64, "device": device}
    quarter = channels // 4
    frequencies = 10000.0 ** -(torch.arange(quarter, **float64) / quarter)
    parts = []
    for side in (width, height):
        angles = torch.arange(side, **float64)[:, None] * frequencies
        parts.append(torch.cat([angles.sin(), angles.cos()], dim=1))
    across, down = parts
    # Both are (height, width, channels / 2).
    grid = [across[None].expand(height, -1, -1), down[:, None].expand(-1, width, -1)]
    return torch.cat(grid, dim=2).reshape(-1, channels)
