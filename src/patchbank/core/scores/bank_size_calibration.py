"""Leave-one-out scores for several bank sizes: the calibrations of truncated banks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from patchbank.core.scores.calibration import Calibration
from patchbank.errors import ParameterError, ShapeError


@dataclass(frozen=True, slots=True)
class BankSizeCalibration:
    """Leave-one-out scores of the good images at several sizes of the memory bank.

    Every patch is farther from a smaller bank, so scores are higher, and the threshold of the whole
    bank would raise too many false alarms.
    """

    bank_rows: NDArray[np.int64]
    """(s,) sizes, ascending; the last is the whole bank."""
    image_scores: NDArray[np.float64]
    """(s, n) leave-one-out image scores."""
    map_peaks: NDArray[np.float64]
    """(s, n) largest value of each leave-one-out anomaly map."""

    def __post_init__(self) -> None:
        s, shapes = len(self.bank_rows), {self.image_scores.shape, self.map_peaks.shape}
        if len(shapes) != 1 or self.image_scores.ndim != 2 or self.image_scores.shape[0] != s:
            raise ShapeError(f"bank sizes: expected two arrays ({s}, n), got {sorted(shapes)}")
        if s == 0 or (np.diff(self.bank_rows) <= 0).any():
            raise ShapeError(f"bank sizes: expected ascending sizes, got {self.bank_rows.tolist()}")

    def at(self, n_rows: int, whole: Calibration) -> Calibration:
        """Calibration of a bank of the first `n_rows` rows.

        Between two sizes it is that of the smaller one: good images score no higher against more
        rows, so the false-alarm rate is kept, at some cost in detection.  (Interpolated scores are
        too low: a score only drops when the row that lowers it is added.)

        Args:
            n_rows: from the smallest size to the largest.
            whole: calibration of the whole bank; its false-alarm rate is kept, or where a threshold
                was set by hand, the rate that is expected of it.

        Raises:
            ParameterError: `n_rows` is outside that range.

        >>> scores = np.array([[4.0, 8.0], [2.0, 4.0]])
        >>> whole = Calibration(scores[1], scores[1], 0.4)
        >>> by_size = BankSizeCalibration(np.array([100, 400]), scores, scores)
        >>> by_size.at(399, whole).image_scores.tolist()
        [4.0, 8.0]
        """
        least, most = int(self.bank_rows[0]), int(self.bank_rows[-1])
        if not least <= n_rows <= most:
            raise ParameterError(
                f"bank_rows: expected {least} to {most} (sizes that were calibrated), got {n_rows}"
            )
        step = int(np.searchsorted(self.bank_rows, n_rows, side="right")) - 1
        return replace(
            whole,
            image_scores=self.image_scores[step],
            map_peaks=self.map_peaks[step],
            false_alarm_rate=min(whole.expected_rate, math.nextafter(1.0, 0.0)),
            set_threshold=None,
            set_pixel_threshold=None,
        )

    def truncated(self, n_rows: int, calibration: Calibration) -> BankSizeCalibration:
        """The sizes up to `n_rows` of a bank that was truncated to that, with its calibration."""
        below = self.bank_rows < n_rows
        return BankSizeCalibration(
            np.append(self.bank_rows[below], n_rows),
            np.vstack([self.image_scores[below], calibration.image_scores]),
            np.vstack([self.map_peaks[below], calibration.map_peaks]),
        )
