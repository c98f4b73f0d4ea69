"""Detail that two photographs share, as copies of one exposure do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from patchbank.images.alignment import (
    Pictures,
    Placements,
    align,
    detail,
    gaussian,
    halved,
    resampled,
)
from patchbank.images.copy_candidates import Neighbours
from patchbank.types import Indices

FAINT, OWN = 0.72, 0.75
"""Shared faint detail and shared own detail, from 0 to 1, that make a copy in a crowd."""
CROWD = 7
"""Neighbours from which on their mean shows what is common to all of them."""
FAINT_ALONE = 0.76
"""Shared faint detail that makes a copy where there is no crowd."""
LIGHT = 1.5
"""Levels of blurred luminance (root of the mean square) by which a copy differs at most, after its
contrast and brightness were matched: an edit changes the whole photograph alike, light does not."""
GAIN = 1.35
"""Largest ratio of the contrasts of copies: more is another exposure."""
ALIGNED = 0.5
"""Correlation of detail below which pictures that were aligned do not show the same."""
FLOOR = 0.003
"""Variance (levels squared) of finest detail below which a block holds nothing to compare."""
VISIBLE = 0.25
"""Variance of detail at which a block counts half."""
FEWEST_BLOCKS = 8
FAINTEST = 0.3
"""Share of the blocks that count as faint."""
ERASED = 0.5
"""Ratio of two variances below which detail of one picture was erased, or added."""


class Comparison:
    """Thumbnails of all photographs, to be compared pair by pair."""

    def __init__(self, thumbnails: Pictures) -> None:
        fine = halved(thumbnails)
        self.fine = fine
        coarse = halved(fine)
        blur = gaussian(coarse.shape[-1], 1.0)
        self._light = blur @ coarse @ blur.T
        self._coarse_detail = detail(coarse, 4.0)
        self._fine_detail = detail(fine, 3.0)
        self._detail = detail(thumbnails, 4.0)
        self._finest = detail(thumbnails, 1.5)

    def copies(self, first: int, near: Neighbours) -> Iterator[tuple[int, float]]:
        """Copies of one photograph among its candidates, with what they share, 1 being all."""
        others = np.concatenate([near.candidates, near.further])
        if not len(near.candidates):
            return
        numbers = np.full(len(others), first)
        placements = align(self._coarse_detail, self._fine_detail, numbers, others)
        shown = resampled(self._fine_detail[others], placements)
        alike = _correlation(self._fine_detail[first], shown) > ALIGNED
        edited = self._differs_like_an_edit(first, others, placements)
        alike[: len(near.candidates)] &= edited[: len(near.candidates)]
        if not alike[: len(near.candidates)].any():
            return
        others, placements = others[alike], placements[alike]
        count = int(alike[: len(near.candidates)].sum())
        shared = self._shared_faint(first, others[:count], placements[:count])
        if len(others) < CROWD:
            shared /= FAINT_ALONE
        else:
            own = self._shared_own(first, others, placements)[:count]
            shared = np.minimum(shared / FAINT, own / OWN)
        yield from zip(others[:count].tolist(), shared.tolist(), strict=True)

    def _differs_like_an_edit(
        self, first: int, others: Indices, placements: Placements
    ) -> NDArray[np.bool_]:
        """Whether one contrast and one brightness explain the difference of the light."""
        edge = self._light.shape[-1] // 10
        inner = slice(edge, -edge)
        fixed = self._light[first][inner, inner].reshape(-1)
        moved = resampled(self._light[others], placements)[:, inner, inner]
        moved = moved.reshape(len(others), -1)
        fixed, moved = fixed - fixed.mean(), moved - moved.mean(axis=1, keepdims=True)
        gain = (moved @ fixed) / np.maximum((moved**2).sum(axis=1), 1e-6)
        left = np.sqrt(((fixed - gain[:, None] * moved) ** 2).mean(axis=1))
        is_edit: NDArray[np.bool_] = (left < LIGHT) & (gain < GAIN) & (gain > 1 / GAIN)
        return is_edit

    def _shared_own(
        self, first: int, others: Indices, placements: Placements
    ) -> NDArray[np.float64]:
        """Shared detail that the mean of the other neighbours does not have."""
        fixed = self._detail[first]
        moved = _matched(fixed, resampled(self._detail[others], placements))
        total = moved.sum(axis=0)
        shared = []
        for one in moved:
            mean = (total - one) / max(len(moved) - 1, 1)
            gain = np.clip((fixed * mean).sum() / max(float((mean**2).sum()), 1e-6), 0, 1.5)
            common = gain * mean
            a, b, ab = _blocks(fixed - common, one - common, 16)
            least = np.minimum(a, b)
            weights = least / (least + VISIBLE) + 1e-9
            shared.append(float((weights * _ratio(ab, least)).sum() / weights.sum()))
        return np.array(shared)

    def _shared_faint(
        self, first: int, others: Indices, placements: Placements
    ) -> NDArray[np.float64]:
        """Shared finest detail, in the blocks that have least of it."""
        fixed = self._finest[first]
        moved = _matched(fixed, resampled(self._finest[others], placements))
        shared = []
        for one in moved:
            a, b, ab = _blocks(fixed, one, 8)
            least, most = np.minimum(a, b), np.maximum(a, b)
            order = np.argsort(most, kind="stable")
            kept = order[((least > ERASED * most) & (least > FLOOR))[order]]
            kept = kept[: max(FEWEST_BLOCKS, int(FAINTEST * len(kept)))]
            if len(kept) < FEWEST_BLOCKS:
                kept = order[(least > FLOOR)[order]]
            shared.append(float(_ratio(ab, least)[kept].mean()) if len(kept) else 0.0)
        return np.array(shared)


def _matched(fixed: NDArray[np.float32], moved: Pictures) -> Pictures:
    """Pictures in the contrast of the fixed one."""
    gain = (moved * fixed).sum(axis=(1, 2)) / max(float((fixed**2).sum()), 1e-6)
    matched: Pictures = moved / np.clip(gain, 0.5, 2)[:, None, None].astype(np.float32)
    return matched


def _correlation(fixed: NDArray[np.float32], moved: Pictures) -> NDArray[np.float32]:
    edge = fixed.shape[0] // 10
    inner = slice(edge, -edge)
    a, b = fixed[inner, inner], moved[:, inner, inner]
    size = np.sqrt((a**2).sum() * (b**2).sum(axis=(1, 2)))
    correlation: NDArray[np.float32] = (a * b).sum(axis=(1, 2)) / np.maximum(size, 1e-6)
    return correlation


def _blocks(
    a: NDArray[np.float32], b: NDArray[np.float32], side: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Variances and covariance in the blocks that do not touch the edge."""
    n = a.shape[0] // side

    def means(product: NDArray[np.float32]) -> NDArray[np.float32]:
        whole = product.reshape(n, side, n, side).mean(axis=(1, 3), dtype=np.float32)
        inner: NDArray[np.float32] = whole[1:-1, 1:-1].reshape(-1)
        return inner

    return means(a * a), means(b * b), means(a * b)


def _ratio(covariance: NDArray[np.float32], least: NDArray[np.float32]) -> NDArray[np.float32]:
    ratio: NDArray[np.float32] = np.clip(covariance / np.maximum(least, 1e-5), -0.5, 1)
    return ratio
