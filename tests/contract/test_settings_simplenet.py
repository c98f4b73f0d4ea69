"""Settings of SimpleNet, beyond what holds for all settings."""

import pytest

from patchbank.methods.simplenet import METHOD, PRESETS, SimpleNetSettings
from tests.contract.settings_changes import outcome

# Five images resolve no rate below 1/6; the remark is tested elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")


@pytest.mark.torch
def test_image_scores_differ():
    scores = [
        outcome("simplenet", image_score=score)[0]
        for score in ("max", "smooth_max", "top_fraction")
    ]
    assert len(set(scores)) == 3


def test_presets_are_settings():
    assert SimpleNetSettings.from_mapping(PRESETS["balanced"]) == SimpleNetSettings()
    changed = METHOD.changed_preset("paper", {"image_size": (96, 128), "crop": None})
    assert SimpleNetSettings.from_mapping(changed).resize == "area"
    paper = SimpleNetSettings.from_mapping(METHOD.changed_preset("paper", {}))
    assert (paper.image_size, paper.crop, paper.batch_patches) == (329, 288, 10368)
    assert METHOD.presets == PRESETS
