"""Every declaration of a setting keeps what it promises, whatever the method."""

import json
from dataclasses import fields

import numpy as np
import pytest

from patchbank import ParameterError
from patchbank.methods import METHODS
from patchbank.settings import settings_of
from tests.contract.needs_torch import marks_to_fit
from tests.contract.settings_changes import BASE, CHANGES, COMPANIONS, ELSEWHERE, outcome, with_file
from tests.onnx_files import write_onnx

DECLARED = [
    pytest.param(method, setting, id=f"{name}-{setting.name}")
    for name, method in METHODS.items()
    for setting in settings_of(method.settings).values()
]


def marks_of_change(method, name):
    """Markers of a fit with a changed setting; the changed index is one of faiss."""
    return marks_to_fit(method) + [pytest.mark.approximate] * (name == "index")


CHANGED = [
    pytest.param(method, name, marks=marks_of_change(method, name))
    for method, changes in CHANGES.items()
    for name in changes
]

# Five images resolve no rate below 1/6; the remark is tested elsewhere.
pytestmark = pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")


@pytest.mark.parametrize(("method", "setting"), DECLARED)
def test_a_setting_has_all_that_help_and_docs_need(method, setting):
    assert setting.help[0].isupper()
    assert setting.help.endswith(".")
    assert setting.group
    assert setting.rule.metavar
    assert setting.rule.check(setting.name, setting.default) == setting.default


@pytest.mark.parametrize(("method", "setting"), DECLARED)
def test_a_wrong_value_is_refused_by_name(method, setting):
    assert setting.rule.invalid_values()
    for value in setting.rule.invalid_values():
        with pytest.raises(ParameterError, match=f"^{setting.name}: expected .*got ") as caught:
            method.settings(**{**COMPANIONS.get(setting.name, {}), setting.name: value})
        assert setting.rule.describe() in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("method", "setting"), DECLARED)
def test_a_right_value_is_kept_and_survives_json(method, setting):
    assert len(setting.rule.valid_values()) >= 2
    for value in setting.rule.valid_values():
        companions = COMPANIONS.get(setting.name, {}) if value is not None else {}
        record = method.settings(**{**companions, setting.name: value})
        kept = getattr(record, setting.name)
        assert list(kept) == list(value) if isinstance(value, (list, tuple)) else kept == value
        restored = method.settings.from_mapping(json.loads(json.dumps(record.to_mapping())))
        assert restored == record
        assert repr(restored) == repr(record)  # 1 is not 1.0: files keep what was given


@pytest.mark.parametrize(("method", "setting"), DECLARED)
def test_a_value_of_numpy_is_that_of_python(method, setting):
    def check(value):
        return setting.rule.check(setting.name, value)

    def refused(value):
        with pytest.raises(ParameterError, match=f"^{setting.name}: expected .*got ") as caught:
            check(value)
        return str(caught.value)

    for value in setting.rule.valid_values():
        for given in of_numpy(value):
            assert repr(check(given)) == repr(check(value))
    for value in setting.rule.invalid_values():
        for given in of_numpy(value):
            assert refused(given) == refused(given.tolist() if given.ndim < 2 else value)


def of_numpy(value):
    """What NumPy makes of a value, if it has such a type: a scalar, or an array and its entries."""
    if isinstance(value, (bool, int, float, str)):
        found = np.asarray(value)
        return [found[()], found] if found.dtype.kind in "biufU" else []
    if not isinstance(value, (list, tuple)) or not value:
        return []
    if len({type(entry) for entry in value}) > 1 or not isinstance(value[0], (int, float, str)):
        return []
    found = np.asarray(value)
    return [found] if found.dtype.kind in "biufU" else []


@pytest.mark.parametrize(("method", "setting"), DECLARED)
def test_a_value_is_written_as_it_is_read(method, setting):
    for value in setting.rule.valid_values():
        kept = setting.rule.check(setting.name, value)
        assert setting.rule.parse(setting.name, setting.rule.text(kept)) == kept


@pytest.mark.parametrize("name", METHODS)
def test_a_method_receives_a_part_of_its_record(name):
    method = METHODS[name]
    part, whole = settings_of(method.parameters), settings_of(method.settings)
    assert 0 < len(part) < len(whole)
    assert all(whole[setting] == declared for setting, declared in part.items())


@pytest.mark.parametrize(("name", "changed"), CHANGED)
def test_each_setting_changes_something(name, changed, tmp_path):
    companions, value = CHANGES[name][changed]
    path = write_onnx(tmp_path / "small.onnx") if "an ONNX file" in companions.values() else None
    companions = with_file(companions, path)
    before = {**BASE[name], **companions}.get(
        changed, settings_of(METHODS[name].settings)[changed].default
    )
    assert before != value
    assert outcome(name, **companions) != outcome(name, **{**companions, changed: value})


def test_every_setting_of_every_method_has_a_change():
    ours = {
        n: m.settings for n, m in METHODS.items() if m.settings.__module__.startswith("patchbank.")
    }
    assert {name: {field.name for field in fields(record)} for name, record in ours.items()} == {
        name: {*changes, *ELSEWHERE[name]} for name, changes in CHANGES.items()
    }
    assert not any(set(CHANGES[name]) & ELSEWHERE[name] for name in ours)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("largest_enlargement", "max_upscale"),
        ("top_share", "top_fraction"),
        ("support", "n_reweight_neighbours"),
        ("deepest_apart", "pool_deepest_only"),
    ],
)
def test_a_renamed_setting_is_named_by_its_new_name(name, old, new):
    record = METHODS[name].settings
    hint = f"it was renamed to '{new}'" if new in settings_of(record) else "settings are backbone,"
    with pytest.raises(ParameterError, match=f"expected a setting of .*, got '{old}'; {hint}"):
        record.from_mapping({old: 1})


@pytest.mark.parametrize("name", METHODS)
def test_what_a_change_rules_out_is_dropped_from_a_preset(name):
    method = METHODS[name]
    for preset in method.presets:
        settings = method.settings_from(preset, {"image_size": (96, 128), "crop": None})
        assert (settings.image_size, settings.resize) == ((96, 128), "area")
    with pytest.raises(ParameterError, match="preset: expected one of .*balanced.*, got 'best'"):
        method.settings_from("best", {})
    assert method.settings_from("balanced", {}) == method.settings_from(None, {})
