"""Limits and presets, and steps around a fit, that no result shows at once."""

from collections import Counter
from contextlib import contextmanager

import pytest

from patchbank import BackboneError, PatchCore, load
from patchbank.detector import loading, packing
from patchbank.detector.bundle import Bundle
from patchbank.errors import ParameterError
from patchbank.methods import METHODS, PadimSettings, SimpleNetSettings
from patchbank.runtime.progress import NullProgress
from tests.photographs import parts


@pytest.mark.parametrize("name", ["noise_std", "margin"])
def test_a_noise_or_margin_of_zero_is_refused(name):
    with pytest.raises(ParameterError, match=f"{name}: expected a number, more than 0 .*got 0"):
        SimpleNetSettings(**{name: 0})


def test_padim_keeps_one_channel_at_least():
    assert PadimSettings(dims=1, rank=1).dims == 1
    with pytest.raises(ParameterError, match="dims: expected an integer.*got 0"):
        PadimSettings(dims=0)


def test_the_preset_of_anomalib_normalises_scores_and_that_of_the_official_code_does_not():
    presets = METHODS["patchcore"].settings_from
    assert presets("anomalib", {}).normalise_score
    assert not presets("official", {}).normalise_score


class Counting(NullProgress):
    def __init__(self):
        self.done, self.totals = Counter(), {}

    @contextmanager
    def task(self, name, total):
        self.totals[name] = total
        yield lambda count: self.done.update({name: count})


def test_every_photograph_and_every_copy_is_a_step_of_reading():
    progress = Counting()
    settings = {"image_size": 64, "bank_limit": 50, "false_alarm_rate": 0.3}
    recipe = PatchCore(backbone="efficientnet_lite0", flips="both", **settings)
    recipe.fit(parts(4), progress=progress)
    assert progress.totals["reading good images"] == progress.done["reading good images"] == 12


@pytest.mark.parametrize(
    ("others", "named"),
    [({"torch": "9.1", "timm": "7"}, "; fitted with torch 9.1, timm 7"), ({}, "")],
)
def test_a_backbone_that_cannot_be_opened_names_the_programs_of_the_fit(
    tmp_path, monkeypatch, others, named
):
    bundle = Bundle({}, {"versions": {"patchbank": "1", **others}})

    def unopened(*_):
        raise BackboneError("no torch")

    monkeypatch.setattr(loading, "read_bundle", lambda *_, **__: bundle)
    monkeypatch.setattr(packing, "_parts_of", unopened)
    with pytest.raises(BackboneError) as caught:
        load(tmp_path / "a.patchbank")
    assert str(caught.value) == f"{tmp_path / 'a.patchbank'}: no torch{named}"
