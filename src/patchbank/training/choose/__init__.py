"""Choose settings from good photographs alone: trials on photographs with pasted defects.

Some photographs are learned with each candidate (`candidates.TRIED`), others are held out, and get
synthetic defects (`defects`).  The candidate is chosen that scores the copies with defects highest
above the photographs without: by the area under the ROC curve over all kinds together.
"""

from patchbank.training.choose.choice import AutomaticSettings, ChosenSettings, choose_settings
from patchbank.training.choose.sample import FEWEST_PHOTOGRAPHS
from patchbank.training.choose.smallest import with_missed

__all__ = [
    "FEWEST_PHOTOGRAPHS",
    "AutomaticSettings",
    "ChosenSettings",
    "choose_settings",
    "with_missed",
]
