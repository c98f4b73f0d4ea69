"""Settings of SPADE, beyond what holds for all settings."""

import numpy as np
import pytest

from patchbank import ParameterError
from patchbank.methods import METHODS, SpadeSettings
from patchbank.methods.base import TrainingImage
from tests.contract.settings_changes import outcome
from tests.fitting import fit_on_features

ONE_LAYER = np.ones((3, 4, 6), np.float32)
# Five images resolve no rate below 1/6; the remark is tested elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")


def test_nothing_is_left_to_the_seed():
    assert outcome("spade", seed=0) == outcome("spade", seed=1)


def test_image_scores_differ():
    kinds = ("pooled", "max", "smooth_max", "top_fraction")
    assert len({outcome("spade", image_score=kind)[0] for kind in kinds}) == 4


def test_more_photographs_than_there_are_is_all_of_them():
    assert outcome("spade", n_images=5) == outcome("spade", n_images=500)
    assert outcome("spade", n_neighbours=10**6)[0] > outcome("spade")[0]


def test_a_layer_for_pooling_only_needs_another():
    message = "pool_deepest_only: expected at least two layers"
    with pytest.raises(ParameterError, match=message):
        SpadeSettings(pool_deepest_only=True, layers=("blocks.2",))
    settings, examples = SpadeSettings(pool_deepest_only=True), [TrainingImage([ONE_LAYER], 0)]
    with pytest.raises(ParameterError, match=message):
        fit_on_features(METHODS["spade"], settings, examples, 1)


def test_presets_are_settings():
    changed = METHODS["spade"].changed_preset
    assert SpadeSettings.from_mapping(changed("balanced", {})) == SpadeSettings()
    assert SpadeSettings.from_mapping(changed("paper", {})).fusion == "concatenate"
    sized = changed("paper", {"image_size": (96, 128), "crop": None})
    assert SpadeSettings.from_mapping(sized).resize == "area"
