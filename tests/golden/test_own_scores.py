"""Our own numbers, whole way: a change of them is a change of everybody's scores.

Change them with a line marked [scores] in CHANGELOG.md, and only then.
"""

import pytest

from patchbank import PatchCore
from tests.photographs import part, parts

pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")

OWN = {  # score of a good part, of a spoilt one, threshold
    "fast": (0.3912, 1.5343, 0.7437),
    "balanced": (0.4065, 1.4082, 0.8301),
    "accurate": (0.4041, 1.2713, 0.7565),
}


@pytest.mark.parametrize("preset", OWN)
def test_presets_score_as_they_did(preset):
    detector = PatchCore.preset(preset, bank_limit=500).fit(parts(4))
    good, bad = detector.predict(part(60)), detector.predict(part(60, defect=6))
    expected = OWN[preset]
    assert (good.score, bad.score, bad.threshold) == pytest.approx(expected, rel=1e-3)
