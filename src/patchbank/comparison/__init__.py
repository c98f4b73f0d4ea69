"""Compare two detectors by what they say of the same photographs.

comparison   the result: pairs of verdicts, what changed, and the facts of both sides
comparing    inspect photographs by both, alternately
results      the same from the lines that `predict` wrote for each
facts        differences of two detectors: settings, sizes, history
ranks        rank correlation
words        lines for people
page         a page, with the scatter of both scores (`scatter`)
"""

from patchbank.comparison.comparing import compare, compared
from patchbank.comparison.comparison import Comparison
from patchbank.comparison.page import write_comparison
from patchbank.comparison.results import compare_results

__all__ = ["Comparison", "compare", "compare_results", "compared", "write_comparison"]
