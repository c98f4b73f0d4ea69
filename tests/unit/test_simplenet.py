"""SimpleNet without torch: prediction, its scores, the patches it would learn from."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from patchbank.errors import ParameterError, PatchbankError, ShapeError
from patchbank.methods.simplenet import METHOD, SimpleNetSettings, method
from patchbank.methods.simplenet.discriminator import Affine
from patchbank.methods.simplenet.method import anomaly_score
from patchbank.runtime.devices import HOST
from tests.fitting import fit_on_features

SETTINGS = SimpleNetSettings(patch_size=1, patch_stride=1, image_score="max")


def tensors(rng, d=3, hidden=4):
    return {
        "weight": rng.standard_normal((hidden, d)).astype(np.float32),
        "bias": rng.standard_normal(hidden).astype(np.float32),
        "tail": rng.standard_normal(hidden).astype(np.float32),
        "steps": np.array([7]),
    }


def test_a_restored_model_scores_by_its_tensors_alone(rng):
    saved, maps = tensors(rng), rng.standard_normal((3, 4, 6)).astype(np.float32)

    scored = METHOD.restore(SETTINGS, saved, HOST).score([maps])

    for row in range(4):
        for column in range(6):
            hidden = saved["weight"] @ maps[:, row, column] + saved["bias"]
            said = sum(
                t * (x if x > 0 else 0.2 * x) for t, x in zip(saved["tail"], hidden, strict=True)
            )
            expected = np.log1p(np.exp(-said / 0.5))
            assert scored.patch_scores[row, column] == pytest.approx(expected, rel=1e-4)
    assert scored.image_score == scored.patch_scores.max()


def test_the_tensors_and_facts_of_a_restored_model_are_those_saved(rng):
    saved = tensors(rng)
    model = METHOD.restore(SETTINGS, saved, HOST)
    assert model.tensors().keys() == saved.keys()
    assert all((model.tensors()[name] == saved[name]).all() for name in saved)
    assert model.summary() == {"dimensions": 3, "hidden_dims": 4, "steps": 7}


def test_prediction_imports_no_torch():
    program = """
import sys
import numpy as np
from patchbank.runtime.devices import HOST
from patchbank.methods.simplenet import METHOD, SimpleNetSettings
numbers = np.ones((2, 3), np.float32)
saved = {"weight": numbers, "bias": numbers[:, 0], "tail": numbers[:, 1], "steps": np.ones(1)}
METHOD.restore(SimpleNetSettings(), saved, HOST).score([np.ones((3, 4, 6), np.float32)])
sys.exit("torch" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@given(
    said=st.lists(st.integers(-1280, 1280), min_size=1, max_size=30, unique=True),
    margin=st.sampled_from([0.25, 0.5, 1.0]),
)
def test_scores_have_the_ranks_of_minus_d_and_a_floor_of_zero(said, margin):
    d = np.array(said, dtype=np.float32) / 64
    scores = anomaly_score(d, margin)
    assert (np.argsort(scores) == np.argsort(-d)).all()
    assert (scores >= 0).all()
    assert scores.dtype == np.float32


def test_scores_of_what_is_far_out_do_not_saturate():
    far = np.array([-1e3, -1e6, -1e30], dtype=np.float32)
    np.testing.assert_allclose(anomaly_score(far, 0.5), -2 * far, rtol=1e-6)


def test_a_larger_margin_asks_for_more():
    d = np.array([-1.0], dtype=np.float32)
    assert anomaly_score(d, 1.0) < anomaly_score(d, 0.5)


def test_affine_maps_follow_one_another(rng):
    first, second = (
        Affine(rng.standard_normal((a, b)), rng.standard_normal(a)) for a, b in ((5, 3), (2, 5))
    )
    scaling = Affine.scaling(rng.standard_normal(3), rng.standard_normal(3))
    x = rng.standard_normal(3)
    scaled = np.diag(scaling.weight) * x + scaling.bias
    expected = second.weight @ (first.weight @ scaled + first.bias) + second.bias
    both = second.after(first).after(scaling)
    np.testing.assert_allclose(both.weight @ x + both.bias, expected)


def test_features_of_another_number_of_dimensions_are_refused(rng):
    model = METHOD.restore(SETTINGS, tensors(rng), HOST)
    with pytest.raises(ShapeError, match=r"features: expected \(n, 3\), got \(24, 2\)"):
        model.score([np.ones((2, 4, 6), np.float32)])


def test_without_torch_the_fit_says_what_to_install(monkeypatch):
    monkeypatch.setattr(method, "find_spec", lambda name: None)
    with pytest.raises(ParameterError) as caught:
        fit_on_features(METHOD, SETTINGS, iter(()), 0)
    assert str(caught.value) == (
        "method: expected torch to fit simplenet, got none; pip install 'patchbank[torch]'"
    )
    assert isinstance(caught.value, PatchbankError)
