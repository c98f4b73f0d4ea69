"""Detail that two photographs share, as copies of one exposure do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from patchbank.images.alignment import (
    Pictures,
    Placements,
    blurred,
    blurred_across,
    detail,
    halved,
    refined,
    resampled,
    shifted,
)
from patchbank.images.copy_candidates import Details, Neighbours
from patchbank.types import Indices

FAINT, OWN = 0.7, 0.8
"""Shared faint detail that makes a copy, from 0 to 1; and, in a crowd, shared own detail."""
CROWD = 7
"""Neighbours from which on their mean shows what is common to all of them."""
GRAIN = 0.4
"""The same for grain: faint detail that is neither upright nor level, as most edges are."""
LIGHT = 1.5
"""Levels of blurred luminance (root of the mean square) by which a copy differs at most, after its
contrast and brightness were matched: an edit changes the whole photograph alike, light does not."""
ROUGH = 1.5
"""The same as a factor, before pictures are aligned in detail."""
GAIN = 1.35
"""Largest ratio of the contrasts of copies: more is another exposure."""
ALIGNED = 0.5
"""Correlation of detail below which pictures that were aligned do not show the same."""
FINEST_SIGMA = 1.5
"""Sigma of the blur that removes the finest detail, in pixels of a thumbnail."""
FAINT_BLOCK, OWN_BLOCK = 8, 16
"""Side of the blocks."""
FLOOR = 0.001
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
        self.details = Details.of(halved(thumbnails))
        self._light = blurred(halved(self.details.fine), 1.0)
        self._thumbnails = thumbnails
        # Few photographs have a neighbour for which these are needed; in half precision, so that
        # thousands of photographs fit into memory.
        self._bands: dict[int, NDArray[np.float16]] = {}

    def _bands_of(self, numbers: Indices) -> NDArray[np.float32]:
        """Detail, finest detail and grain of some pictures.  -> (3, p, side, side)."""
        missing = [number for number in numbers.tolist() if number not in self._bands]
        if missing:
            computed = _bands(self._thumbnails[missing]).astype(np.float16)
            self._bands.update(zip(missing, computed.swapaxes(0, 1), strict=True))
        found = np.stack([self._bands[number] for number in numbers.tolist()], axis=1)
        return found.astype(np.float32)

    def possible(self, first: int, others: Indices) -> Indices:
        """Photographs in the light of the first one, as far as small pictures show.

        It rules out most candidates, and saves the alignment of larger pictures.
        """
        placements = self._roughly_aligned(first, others)
        return others[self._differs_like_an_edit(first, others, placements, ROUGH * LIGHT)]

    def copies(self, first: int, near: Neighbours) -> list[tuple[int, float]]:
        """Copies of one photograph among its candidates, with what they share, 1 being all."""
        placements = self._roughly_aligned(first, near.candidates)
        possible, placements = self._aligned(first, near.candidates, placements)
        edited = self._differs_like_an_edit(first, possible, placements, LIGHT)
        possible, placements = possible[edited], placements[edited]
        count = len(possible)
        if not count:
            return []
        roughly = self._roughly_aligned(first, near.further)
        further, placements_of_further = self._aligned(first, near.further, roughly)
        others = np.concatenate([possible, further])
        placements = np.concatenate([placements, placements_of_further])
        own, finest, grain = resampled(self._bands_of(others), placements)
        fixed = self._bands_of(np.array([first]))[:, 0]
        faint = _shared_faint(fixed[1], finest[:count]) / FAINT
        faint = np.minimum(faint, _shared_faint(fixed[2], grain[:count]) / GRAIN)
        if len(others) >= CROWD:
            faint = np.minimum(faint, _shared_own(fixed[0], own)[:count] / OWN)
        return list(zip(others[:count].tolist(), faint.tolist(), strict=True))

    def _roughly_aligned(self, first: int, others: Indices) -> Placements:
        """Placements over the first picture, by small pictures."""
        placements = shifted(self.details.fine_detail, first, others)
        return refined(self.details.coarse_detail, first, others, placements)

    def _aligned(
        self, first: int, others: Indices, placements: Placements
    ) -> tuple[Indices, Placements]:
        """The pictures that show what the first one shows, and their placements over it."""
        placements = refined(self.details.fine_detail, first, others, placements)
        shown = resampled(self.details.fine_detail[others], placements)
        alike = _correlation(self.details.fine_detail[first], shown) > ALIGNED
        return others[alike], placements[alike]

    def _differs_like_an_edit(
        self, first: int, others: Indices, placements: Placements, light: float
    ) -> NDArray[np.bool_]:
        """Whether one contrast and one brightness explain the difference of the light."""
        edge = self._light.shape[-1] // 10
        inner = slice(edge, -edge)
        fixed = self._light[first][inner, inner].reshape(-1)
        moved = resampled(self._light[others], placements)[:, inner, inner]
        moved = moved.reshape(len(others), fixed.size)
        fixed, moved = fixed - fixed.mean(), moved - moved.mean(axis=1, keepdims=True)
        gain = (moved @ fixed) / np.maximum((moved**2).sum(axis=1), 1e-6)
        left = np.sqrt(((fixed - gain[:, None] * moved) ** 2).mean(axis=1))
        is_edit: NDArray[np.bool_] = (left < light) & (gain < GAIN) & (gain > 1 / GAIN)
        return is_edit


def _bands(thumbnails: Pictures) -> NDArray[np.float32]:
    """Detail, finest detail and grain.  -> (3, n, side, side)."""
    upright = (thumbnails - blurred_across(thumbnails, FINEST_SIGMA)).swapaxes(1, 2)
    grain = (upright - blurred_across(upright, FINEST_SIGMA)).swapaxes(1, 2)
    return np.stack([detail(thumbnails, 4.0), detail(thumbnails, FINEST_SIGMA), grain])


def _shared_own(fixed: NDArray[np.float32], moved: Pictures) -> NDArray[np.float32]:
    """Shared detail that the mean of the other neighbours does not have.  -> (p,)."""
    moved = _matched(fixed, moved)
    means = (moved.sum(axis=0) - moved) / max(len(moved) - 1, 1)
    energy = np.maximum((means**2).sum(axis=(1, 2)), 1e-6)
    gain = np.clip((means * fixed).sum(axis=(1, 2)) / energy, 0, 1.5)
    common = means * gain[:, None, None]
    a, b, ab = _blocks(fixed - common, moved - common, OWN_BLOCK)
    least = np.minimum(a, b)
    weights = least / (least + VISIBLE) + 1e-9
    shared: NDArray[np.float32] = np.average(_ratio(ab, least), axis=1, weights=weights)
    return shared


def _shared_faint(fixed: NDArray[np.float32], moved: Pictures) -> NDArray[np.float32]:
    """Shared detail in the blocks that have least of it.  -> (p,)."""
    a, b, ab = _blocks(fixed[None], _matched(fixed, moved), FAINT_BLOCK)
    least, most = np.minimum(a, b), np.maximum(a, b)
    holds = least > FLOOR
    kept = _faintest(most, holds & (least > ERASED * most))
    enough = kept.sum(axis=1) >= FEWEST_BLOCKS
    kept = np.where(enough[:, None], kept, _faintest(most, holds))
    total = (_ratio(ab, least) * kept).sum(axis=1)
    shared: NDArray[np.float32] = total / np.maximum(kept.sum(axis=1), 1)
    return shared


def _faintest(energy: NDArray[np.float32], usable: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The usable blocks of least energy: a share of them, but no fewer than some.  (p, blocks)."""
    order = np.argsort(np.where(usable, energy, np.inf), axis=1, kind="stable")
    ranks = np.argsort(order, axis=1, kind="stable")
    count = usable.sum(axis=1, keepdims=True)
    kept: NDArray[np.bool_] = usable & (ranks < np.maximum(FEWEST_BLOCKS, FAINTEST * count))
    return kept


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
    a: Pictures, b: Pictures, side: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Variances and covariance in the blocks that do not touch the edge.  -> (p, blocks) each."""
    n = a.shape[-1] // side

    def means(product: Pictures) -> NDArray[np.float32]:
        columns = product.reshape(-1, n * side, n, side).sum(axis=3)
        whole = columns.reshape(-1, n, side, n).sum(axis=2) / np.float32(side**2)
        inner: NDArray[np.float32] = whole[:, 1:-1, 1:-1].reshape(len(whole), -1)
        return inner

    return means(a * a), means(b * b), means(a * b)


def _ratio(covariance: NDArray[np.float32], least: NDArray[np.float32]) -> NDArray[np.float32]:
    ratio: NDArray[np.float32] = np.clip(covariance / np.maximum(least, 1e-5), -0.5, 1)
    return ratio
