"""Settings of PaDiM, beyond what holds for all settings."""

import pytest

from patchbank import ParameterError
from patchbank.methods import METHODS, PadimSettings
from patchbank.methods.padim import PRESETS
from tests.contract.settings_changes import outcome

# Five images resolve no rate below 1/6; the remark is tested elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")


def test_image_scores_differ():
    scores = [
        outcome("padim", image_score=score)[0] for score in ("max", "smooth_max", "top_fraction")
    ]
    assert len(set(scores)) == 3


def test_by_default_nothing_is_left_to_the_seed():
    assert outcome("padim", dims=None, seed=0) == outcome("padim", dims=None, seed=1)


def test_as_many_directions_as_the_photographs_span_are_all():
    assert outcome("padim", rank=4) == outcome("padim", rank=None) == outcome("padim", rank=99)


def test_all_channels_may_be_asked_for_but_not_more():
    assert outcome("padim", dims=152)[0] == pytest.approx(outcome("padim", dims=None)[0], rel=1e-4)
    with pytest.raises(ParameterError, match=r"dims: expected at most 152 \(the channels"):
        outcome("padim", dims=153)


def test_presets_are_settings():
    assert PadimSettings.from_mapping(PRESETS["balanced"]) == PadimSettings()
    changed = METHODS["padim"].changed_preset("paper", {"image_size": (96, 128), "crop": None})
    assert PadimSettings.from_mapping(changed).resize == "area"
    assert PadimSettings.from_mapping(PRESETS["paper"]).dims == 550
    assert PadimSettings(image_size=(96, 128)).resize == "area"  # these are squashed to it anyway
