"""The p-value of a score, as nodes of a graph."""

from __future__ import annotations

import math
import sys

import numpy as np

from patchbank.core.scores.calibration import Calibration
from patchbank.core.scores.left_out import LeftOutScores
from patchbank.core.scores.student_t import upper_tail
from patchbank.export.graph.builder import Tensor

N_KNOTS = 4096
"""Points of the table of tail probabilities."""
LARGEST_DEVIATION = 1e6
SMALLEST = 1e-300


def p_value(score: Tensor, calibration: Calibration) -> Tensor:
    """Probability that a good photograph scores this high or higher.  (n,) float64 -> (n,)."""
    scores = calibration.image_scores
    if calibration.rule == "ranks" or calibration.views_of_one:
        at_or_above = (score.like(scores).with_axis(0) >= score.with_axis(1)).cast(np.float64)
        return (at_or_above.sum(1) + 1.0) / float(len(scores) + 1)
    refined = _refined(score, calibration.left_out_scores)
    rate = calibration.false_alarm_rate
    threshold = calibration.threshold_at(rate)
    above = refined.minimum(rate)
    below = refined.maximum(math.nextafter(rate, 1.0))
    return (score <= threshold).where(below, above)


def _refined(score: Tensor, left_out: LeftOutScores) -> Tensor:
    """The p-value of `core.scores.left_out`: a tail probability within the steps of the ranks."""
    distinct, counts = left_out.descending
    is_above = (score.like(distinct).with_axis(0) >= score.with_axis(1)).cast(np.float64)
    number = is_above.sum(1).cast(np.int64)
    at = score.builder.constant(np.concatenate([[0.0], counts])).gathered(number)
    lowest = (at <= 2.0).where((at - 1).maximum(0.0), at)
    step = 1 / (left_out.n_groups + 1)
    tail = _tail_probability(score, left_out)
    limited = tail.maximum(lowest * step).minimum((at + 1) * step)
    return limited.clipped(sys.float_info.min, 1.0)


def _tail_probability(score: Tensor, left_out: LeftOutScores) -> Tensor:
    """Probability of the tail model, from a table of its logarithms; they are smooth."""
    model, builder = left_out.model, score.builder
    above = score - model.origin
    is_above = above > 0.0
    if model.centre == -math.inf:
        return is_above.where(builder.constant(0.0), 1.0)
    logarithm = is_above.where(above, 1.0).apply("Log")
    deviation = (logarithm - model.centre) / model.spread
    size = deviation.apply("Abs").minimum(LARGEST_DEVIATION)
    place = (size + (size * size + 1).apply("Sqrt")).apply("Log") * deviation.apply("Sign")
    end = math.asinh(LARGEST_DEVIATION)
    knots = np.linspace(-end, end, N_KNOTS)
    table = [math.log(max(upper_tail(math.sinh(k), model.dof), SMALLEST)) for k in knots.tolist()]
    position = ((place + end) * ((N_KNOTS - 1) / (2 * end))).clipped(0.0, float(N_KNOTS - 1))
    low = position.apply("Floor").minimum(float(N_KNOTS - 2))
    share, number = position - low, low.cast(np.int64)
    values = builder.constant(np.array(table))
    between = values.gathered(number) * (1 - share) + values.gathered(number + 1) * share
    return is_above.where(between.apply("Exp"), 1.0)
