"""Check photographs before anything is learned of them.

`check_photographs` finds what spoils a fit and is easily overlooked: files that cannot be read,
copies, photographs of another size or kind, black and blurred ones, probable defects among the good
ones, and test photographs that are learned as well.
"""

from patchbank.check.checking import check_photographs
from patchbank.check.findings import Finding, FindingKind, PhotographCheck

__all__ = ["Finding", "FindingKind", "PhotographCheck", "check_photographs"]
