"""Test martingales: whether scores still come from where the earlier ones came from.

Two steps.  (1) *Ranks*: each new score is ranked among all before it, ties at random.  If the
scores are exchangeable, these smoothed conformal p-values are independent and uniform, whatever the
distribution (Vovk, Gammerman, Shafer, *Algorithmic Learning in a Random World*, 2005, theorem 8.1;
Vovk, Nouretdinov, Gammerman, *Testing exchangeability on-line*, ICML 2003).  P-values from a fixed
set of n good scores are not: their quantiles are off by about 1 / sqrt(n), and any test that runs
long enough finds that and alarms, though nothing has changed.

(2) *Bets*: a bet is a density f on [0, 1], so the product of f(p_i) from any part on is a
martingale: its mean stays 1 while p-values are uniform.  The change may come at any time and be of
any kind, so the capital is spread beforehand over starting times j (shares w_j, their sum is 1) and
over K bets:

    M_t = 1/K sum_k sum_{j <= t} w_j prod_{i=j..t} f_k(p_i)  +  sum_{j > t} w_j

It is a test martingale: it starts at 1, is never negative, and its mean is 1.  By Ville's
inequality (1939) P(some t has M_t >= 1 / a) <= a: **the false alarms are at most `a` over a run of
any length.**  A mixture over starting times is Shiryaev's statistic (1963); as a test it is
the weighted e-detector of Shin, Ramdas and Rinaldo, *E-detectors* (2023), section 2.  The sums over
j are computed by recursion, so each part costs the same, and a late change costs ln(1 / w_j) of
evidence, 14 at part 10,000.
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

STANDARD_NORMAL = NormalDist()
KEY_BITS = 16
"""Bits of the mantissa that a ranked score keeps: 1 part in 65,536.

So a run of any length has a limited memory: scores that differ by less are ties.  The rounding is
fixed beforehand, as it must be: one that followed the scores would end the exchangeability.
"""
BLOCK_BITS = 8
MASK_64 = (1 << 64) - 1


class OnlineRanks:
    """Smoothed conformal p-values of scores as they come: ranks among all before.

    >>> ranks = OnlineRanks([3.0, 1.0, 2.0], seed=0)
    >>> 0.25 < ranks.p_value(2.5) < 0.5  # one of the four is higher
    True
    """

    def __init__(self, reference: Iterable[float] = (), *, seed: int = 0) -> None:
        """Ranks that begin with some scores.

        Args:
            reference: finite scores that the new ones should be exchangeable with.
            seed: of the random order of ties; the p-values follow from it and the scores.
        """
        self._seed = seed
        self._total = 0
        self._blocks: list[int] = []
        """Sorted: keys without their last bits, by which a rank is found in few steps."""
        self._in_block: list[dict[int, int]] = []
        """Number of scores of each key of a block."""
        self._block_totals: list[int] = []
        for score in reference:
            self._insert(key_of(score))

    def p_value(self, score: float) -> float:
        """Share of the scores so far, this one included, that are as high or higher; in (0, 1).

        A score that ties with others gets a random rank among them.
        """
        key = key_of(score)
        at = self._insert(key)
        block = self._in_block[at]
        higher = sum(self._block_totals[at + 1 :])
        higher += sum(count for other, count in block.items() if other > key)
        ties = block[key]  # the score itself is one
        return (higher + _uniform(self._seed, self._total) * ties) / self._total

    def _insert(self, key: int, count: int = 1) -> int:
        """Add scores of one key, and return the index of its block."""
        block = key >> BLOCK_BITS
        at = bisect_left(self._blocks, block)
        if at == len(self._blocks) or self._blocks[at] != block:
            self._blocks.insert(at, block)
            self._in_block.insert(at, {})
            self._block_totals.insert(at, 0)
        self._in_block[at][key] = self._in_block[at].get(key, 0) + count
        self._block_totals[at] += count
        self._total += count
        return at

    def to_json(self) -> dict[str, Any]:
        """The keys of the scores, and how many have each: enough to go on."""
        pairs = sorted(pair for block in self._in_block for pair in block.items())
        return {
            "seed": self._seed,
            "keys": [key for key, _ in pairs],
            "counts": [count for _, count in pairs],
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> OnlineRanks:
        """Go on from `to_json`; a ValueError where a count is below 1 or missing."""
        ranks = cls(seed=int(state["seed"]))
        for key, count in zip(state["keys"], state["counts"], strict=True):
            if int(count) < 1:
                raise ValueError(f"a score is counted {count} times")
            ranks._insert(int(key), int(count))
        return ranks


def key_of(score: float) -> int:
    """An integer that orders scores as they are, rounded to `KEY_BITS` bits of the mantissa.

    >>> key_of(-2.0) < key_of(-1.0) < key_of(0.0) == key_of(-0.0) < key_of(1.0) < key_of(1.0001)
    True
    >>> key_of(1.0) == key_of(1.000001)
    True
    """
    (bits,) = struct.unpack("<q", struct.pack("<d", abs(score)))
    key = int(bits) >> (52 - KEY_BITS)
    return -key if score < 0 else key


def _uniform(seed: int, count: int) -> float:
    """Uniform random number in (0, 1) for the count-th score (SplitMix64, Steele et al., 2014).

    It needs no state, so that a test that is continued has the same numbers.
    """
    mixed = (seed * 0xD1342543DE82EF95 + count * 0x9E3779B97F4A7C15) & MASK_64
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & MASK_64
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK_64
    mixed ^= mixed >> 31
    return ((mixed >> 11) + 0.5) / 2**53


@dataclass(frozen=True, slots=True)
class NormalBet:
    """A bet that scores have moved or spread.

    With z the normal score of the p-value, it is the density of N(shift, spread) over that of
    N(0, 1): what the change does to normal scores.
    """

    shift: float = 0.0
    """In standard deviations of good scores; positive for higher scores."""
    spread: float = 1.0
    """Standard deviation that scores have, where they had 1."""

    @property
    def direction(self) -> str:
        """The change in one word: higher, lower, wider or narrower."""
        if self.shift:
            return "higher" if self.shift > 0 else "lower"
        return "wider" if self.spread > 1 else "narrower"


SCORE_BETS = (
    *(NormalBet(shift=sign * size) for sign in (1, -1) for size in (0.25, 0.5, 1.0, 2.0)),
    NormalBet(spread=2.0),
    NormalBet(spread=0.5),
)
N_HIGHER = sum(bet.shift > 0 for bet in SCORE_BETS)
"""The first so many of them are on higher scores; their densities fall with the p-value."""
LIFTS = (1.5, 2.0, 4.0, 8.0, 16.0)
"""Factors by which the share of an event may have risen."""
Logs: TypeAlias = Sequence[float]
"""Logarithms, one for each bet.  Ten numbers are added faster in lists than in arrays."""


def log_score_bets(p_value: float) -> Logs:
    """Logarithms of the bets `SCORE_BETS` on a p-value in (0, 1).  -> (k,)."""
    z = -STANDARD_NORMAL.inv_cdf(p_value)
    half = 0.5 * z * z
    return [
        half - 0.5 * ((z - bet.shift) / bet.spread) ** 2 - math.log(bet.spread)
        for bet in SCORE_BETS
    ]


def log_lift_bets(p_value: float, share: float) -> Logs:
    """Logarithms of bets that p-values up to `share` have become more frequent, by `LIFTS`.

    Args:
        p_value: in (0, 1).
        share: in (0, 1), known before the p-value is.

    -> (k,).  A step density: a lift below `share`, and what is left of 1 above; a lift is at most
    that of a share of 0.95.
    """
    largest = max(1.0, 0.95 / share)
    lifts = [min(lift, largest) for lift in LIFTS]
    if p_value <= share:
        return [math.log(lift) for lift in lifts]
    return [math.log1p(-lift * share) - math.log1p(-share) for lift in lifts]


class ChangeMartingale:
    """The mixture over starting times and bets; see the page at the head of the module."""

    def __init__(self, n_bets: int) -> None:
        """Capital 1, before the first part.

        Args:
            n_bets: number of bets; `add` gets as many logarithms each time.
        """
        self._count = 0
        self._log_sums = [-math.inf] * n_bets
        """Logarithm of the sum over starting times, for each bet."""
        self._log_peaks = [-math.inf] * n_bets
        """Logarithm of the largest term of that sum (as CUSUM finds it, Page, 1954), likewise."""
        self._starts = [0] * n_bets
        """Number of the part at which that term begins."""
        self.log10 = 0.0
        """log10 of the martingale: 2 is the evidence that has probability 1 % at most."""

    def add(self, log_bets: Logs, part: int) -> None:
        """Bet on one more part.

        Args:
            log_bets: (k,) logarithms of the densities at its p-value.
            part: its number, for `best_start`.
        """
        kept = _unspent(self._count)
        self._count += 1
        log_weight = math.log(kept - _unspent(self._count))
        for k, log_bet in enumerate(log_bets):
            self._log_sums[k] = _log_of_sum(self._log_sums[k], log_weight) + log_bet
            if self._log_peaks[k] <= log_weight:
                self._log_peaks[k] = log_weight
                self._starts[k] = part
            self._log_peaks[k] += log_bet
        self.log10 = self._log10()

    def _log10(self) -> float:
        scale = max(0.0, *self._log_sums)
        won = sum(math.exp(each - scale) for each in self._log_sums) / len(self._log_sums)
        kept = _unspent(self._count) * math.exp(-scale)
        return (scale + math.log(won + kept)) / math.log(10)

    @property
    def best_bet(self) -> int:
        """Index of the bet that has won most."""
        return self._log_sums.index(max(self._log_sums))

    @property
    def best_start(self) -> int:
        """Number of the part since which that bet wins: the most likely time of the change.

        Most likely by the shares of the starting times, which favour the first part a little.
        """
        return self._starts[self.best_bet]

    def to_json(self) -> dict[str, Any]:
        """The sums over starting times, and the largest terms: enough to go on."""
        return {
            "count": self._count,
            "log_sums": list(self._log_sums) if self._count else None,
            "log_peaks": list(self._log_peaks) if self._count else None,
            "starts": list(self._starts),
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any], n_bets: int) -> ChangeMartingale:
        """Go on from `to_json`; a ValueError where its lists are not of `n_bets`."""
        found = cls(n_bets)
        found._count = int(state["count"])
        if found._count < 1:
            return found
        found._log_sums = [float(each) for each in state["log_sums"]]
        found._log_peaks = [float(each) for each in state["log_peaks"]]
        found._starts = [int(each) for each in state["starts"]]
        for values in (found._log_sums, found._log_peaks, found._starts):
            if len(values) != n_bets or not all(map(math.isfinite, values)):
                raise ValueError(f"expected {n_bets} finite numbers")
        found.log10 = found._log10()
        return found


def _log_of_sum(a: float, b: float) -> float:
    """ln(exp a + exp b); `b` is finite."""
    return max(a, b) + math.log1p(math.exp(-abs(a - b)))


def _unspent(count: int) -> float:
    """Capital kept for changes after `count` parts, 1 / (1 + ln(1 + count)).

    It falls so slowly that a change at part t still gets about 1 / (t ln² t).

    >>> [round(_unspent(count), 3) for count in (0, 1, 10_000)]
    [1.0, 0.591, 0.098]
    """
    return 1.0 / (1.0 + math.log1p(count))


def evidence_of(p_values: Iterable[float]) -> NDArray[np.float64]:
    """log10 of the martingale after each p-value, with the bets `SCORE_BETS`.  -> (t,).

    It is a test martingale where the p-values, in (0, 1), are independent and uniform, as those of
    `OnlineRanks` are.  P-values that are only exchangeable, as those of a detector, whose good
    photographs are always the same, go through `OnlineRanks` first.

    >>> [round(float(log10), 2) for log10 in evidence_of([0.001, 0.002, 0.001, 0.003])]
    [0.68, 2.12, 3.89, 5.4]
    """
    martingale = ChangeMartingale(len(SCORE_BETS))
    found = []
    for part, p_value in enumerate(p_values, 1):
        martingale.add(log_score_bets(p_value), part)
        found.append(martingale.log10)
    return np.array(found)
