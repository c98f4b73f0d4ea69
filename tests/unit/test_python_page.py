"""The page of the Python interface has every public name, method and attribute."""

import inspect
import re
from dataclasses import fields

import pytest

import patchbank
from patchbank import (
    Detector,
    Difference,
    Ensemble,
    Evaluation,
    Inspection,
    PatchCore,
    Region,
)
from patchbank.detector.inspector import Inspector
from patchbank.training.recipes import Learnable, Recipe
from tests.pages import ROOT, python_of

PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
HEADINGS = re.findall("^### `(.+)`$", PAGE, re.MULTILINE)
CODE = set(re.findall(r"`(\w+)`", PAGE))


def signature(name, function):
    """A call as the page writes it: without annotations, `self` and `cls`."""
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name not in ("self", "cls")
    ]
    return f"{name}{inspect.Signature(parameters)}"


def public(owner):
    """Names of the methods and properties that a class defines; of a detector its base's too."""
    kinds = (property, classmethod, staticmethod)
    for kind in (owner, *((Inspector,) if owner is Detector else ())):
        for name, value in vars(kind).items():
            if not name.startswith("_") and (isinstance(value, kinds) or inspect.isfunction(value)):
                yield name


def entries():
    """Headings that the page must have."""
    yield signature("load", patchbank.load)
    yield signature("evaluate", patchbank.evaluate)
    yield signature("compare", patchbank.compare)
    yield signature("fit_each", patchbank.fit_each)
    yield signature("predict_to_parquet", patchbank.predict_to_parquet)
    yield signature("model_card", patchbank.model_card)
    yield signature("compare_results", patchbank.compare_results)
    yield signature("check_photographs", patchbank.check_photographs)
    yield signature("Region", Region)
    yield signature("Difference", Difference)
    yield signature("Ensemble", Ensemble)
    yield signature("Ensemble.fit", Ensemble.fit)
    for name in (*public(Learnable), *public(Recipe)):
        yield signature(f"PatchCore.{name}", getattr(PatchCore, name))
    yield signature("PatchCore.auto", PatchCore.auto)
    for owner in (Detector, Inspection, Evaluation, patchbank.Comparison):
        for name in public(owner):
            value = inspect.getattr_static(owner, name)
            if inspect.isfunction(value):
                yield signature(f"{owner.__name__}.{name}", value)


@pytest.mark.parametrize("entry", list(entries()))
def test_a_function_has_a_heading_with_its_signature(entry):
    assert entry in HEADINGS


def test_no_heading_is_of_something_else():
    properties = {f"Detector.{name}" for name in public(Detector)}
    assert set(HEADINGS) <= set(entries()) | properties | {"Router"}


@pytest.mark.parametrize("name", patchbank.__all__)
def test_a_public_name_is_on_the_page_and_in_an_example(name):
    assert name in CODE or f"{name}(" in PAGE
    code = "\n".join(block.code for block in python_of(PAGE))
    returned = {"Detector", "Inspection", "Evaluation"}  # by functions of the examples
    assert re.search(rf"\b{name}\b", code) or name in returned


@pytest.mark.parametrize("owner", [Detector, Inspection, Evaluation])
def test_methods_and_properties_are_on_the_page(owner):
    missing = {
        name
        for name in public(owner)
        if name not in CODE and not any(h.startswith(f"{owner.__name__}.{name}") for h in HEADINGS)
    }
    assert missing == set()


@pytest.mark.parametrize("owner", [Inspection, Evaluation])
def test_attributes_are_on_the_page(owner):
    assert {field.name for field in fields(owner) if field.repr} - CODE == set()


def test_the_signature_of_a_call_has_names_and_defaults():
    def method(self, a: int, *, b: str = "x") -> None: ...

    assert signature("Some.method", method) == "Some.method(a, *, b='x')"
    assert set(public(Detector)) >= {"predict", "bank_sizes", "save"}
    assert "_inspect" not in set(public(Detector))
