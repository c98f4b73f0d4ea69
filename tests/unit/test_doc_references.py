"""Names of modules, functions and files in the documentation exist."""

import ast
import importlib
import re
from dataclasses import fields, is_dataclass
from functools import cache
from urllib.parse import unquote

import pytest

from patchbank import Detector
from tests.pages import PAGES, ROOT

SOURCE = ROOT / "src" / "patchbank"
ROOMS = sorted(
    path.stem
    for path in SOURCE.iterdir()
    if (path / "__init__.py").is_file() or (path.suffix == ".py" and path.stem != "__init__")
)
GONE = ("pipeline", "data", "native")  # rooms of earlier versions
FIRST = "|".join([*ROOMS, *GONE])
DOTTED = re.compile(rf"`((?:patchbank\.)?(?:{FIRST})(?:\.(?!py`)[A-Za-z_]\w*)+)(?:\(\))?`")
PATHS = re.compile(r"`((?:src|tests|tools|docs|benchmarks|" + FIRST + r")/[\w./-]+)`")
CLASS_ATTRIBUTES = re.compile(r"`([A-Z]\w*)\.(\w+)")
LINKS = re.compile(r"(?<!`)\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"")
PAGES_BY_NAME = {path.relative_to(ROOT).as_posix(): path for path in PAGES}
FOREIGN = {"Engine": {"predict"}}  # of anomalib


@cache
def attributes_of_classes():
    """Names that each class of the package defines or inherits, from the syntax alone.

    Some modules need torch, and would not be importable everywhere.
    """
    found, bases = {}, {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, set()).update(defined_in(node))
                names = [base.id for base in node.bases if isinstance(base, ast.Name)]
                bases.setdefault(node.name, set()).update(names)
    for _ in range(5):  # deeper than any inheritance here
        for name, parents in bases.items():
            found[name].update(*(found.get(parent, ()) for parent in parents))
    return found


def defined_in(node):
    """Methods, fields, and attributes that methods set on `self`."""
    for part in ast.walk(node):
        if isinstance(part, ast.FunctionDef):
            yield part.name
        elif isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            yield part.target.id
        elif isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store):
            yield part.attr


def resolve(name):
    """The module or attribute of a dotted name below the package.

    A name such as ``detector.calibration`` may also be an attribute of a fitted detector, as in
    the examples.
    """
    parts = name.removeprefix("patchbank.").split(".")
    if parts[0] == "detector" and hasattr(Detector, parts[1]):
        return
    value = importlib.import_module("patchbank")
    for depth, part in enumerate(parts, 1):
        try:
            value = importlib.import_module(f"patchbank.{'.'.join(parts[:depth])}")
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("patchbank"):
                find_in_source(parts)  # it needs torch, say, which is not everywhere
                return
            value = member(value, part)


def find_in_source(parts):
    """Raise unless the syntax of the package has such a module, or a name in one."""
    for depth in range(len(parts), 0, -1):
        path = SOURCE.joinpath(*parts[:depth])
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if path.is_file():
            break
    names = list(parts[depth:])
    if names and names[0] not in names_of_module(path):
        raise AttributeError(f"{path} has no {names[0]}")
    if len(names) > 1 and names[1] not in attributes_of_classes()[names[0]]:
        raise AttributeError(f"{names[0]} has no {names[1]}")


def names_of_module(path):
    """Names that a module defines or imports at its top level."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name for alias in node.names}
        else:
            stored = (n for n in ast.walk(node) if isinstance(n, ast.Name))
            found |= {name.id for name in stored if isinstance(name.ctx, ast.Store)}
    return found


def member(value, name):
    """An attribute, or a field without a default of a dataclass."""
    if is_dataclass(value) and name in {field.name for field in fields(value)}:
        return None
    return getattr(value, name)


def references():
    """Each dotted name of each page, once."""
    for page, path in PAGES_BY_NAME.items():
        names = dict.fromkeys(DOTTED.findall(path.read_text(encoding="utf-8")))
        yield from ((page, name) for name in names)


@pytest.mark.parametrize(("page", "name"), list(references()))
def test_a_name_in_a_page_is_a_module_or_an_attribute(page, name):
    resolve(name)


@pytest.mark.parametrize(
    ("name", "exists"),
    [
        ("backbones.vig.network", True),
        ("methods.simplenet.folds.train", True),
        ("methods.simplenet.folds.trained", False),
        ("backbones.vig.nothing", False),
    ],
)
def test_a_module_that_needs_torch_is_resolved_by_its_syntax(name, exists):
    if exists:
        find_in_source(name.split("."))
    else:
        with pytest.raises(AttributeError, match=name.rpartition(".")[2]):
            find_in_source(name.split("."))


@pytest.mark.parametrize("page", PAGES_BY_NAME)
def test_a_file_that_a_page_names_exists(page):
    named = set(PATHS.findall(PAGES_BY_NAME[page].read_text(encoding="utf-8")))
    missing = {name for name in named if not (ROOT / name).exists() and not in_source(name)}
    assert missing == set()


def in_source(name):
    """Whether a path exists below the package."""
    return (SOURCE / name).exists()


@pytest.mark.parametrize("page", PAGES_BY_NAME)
def test_a_link_of_a_page_leads_to_a_file_and_a_heading(page):
    path, broken = PAGES_BY_NAME[page], []
    for groups in LINKS.findall(path.read_text(encoding="utf-8")):
        target, _, heading = unquote(groups[0] or groups[1]).partition("#")
        if re.match("[a-z]+:", target):
            continue
        file = (path.parent / target).resolve() if target else path
        if not file.exists():
            broken.append(target)
        elif heading and heading not in anchors(file):
            broken.append(f"{target}#{heading}")
    assert broken == []


def anchors(file):
    """The anchors that GitHub makes of the headings of a page."""
    headings = re.findall("^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES_BY_NAME)
def test_an_attribute_of_a_class_of_the_package_exists(page):
    text = PAGES_BY_NAME[page].read_text(encoding="utf-8")
    known = attributes_of_classes()
    unknown = [
        f"{name}.{attribute}"
        for name, attribute in CLASS_ATTRIBUTES.findall(text)
        if name in known and attribute not in known[name] | FOREIGN.get(name, set())
    ]
    assert unknown == []


def test_attributes_of_classes_are_found_in_the_source():
    known = attributes_of_classes()
    assert {"nearest", "bank"} <= known["ExactIndex"]
    assert {"threshold", "image_scores"} <= known["Calibration"]
    assert "no_such" not in known["Calibration"]
    assert CLASS_ATTRIBUTES.findall("`Gaussians.distances`, `a.B.c`, D.e") == [
        ("Gaussians", "distances")
    ]


def test_names_are_found_in_pages():
    found = {name for _, name in references()}
    assert {"core.coreset.greedy_coreset", "core.neighbours.ExactIndex"} <= found
    assert DOTTED.findall("`core.a.b`, `core.c()` and `numpy.d`, core.e") == ["core.a.b", "core.c"]
    assert PATHS.findall("`core/int8/kernel.c`, `a/b`") == ["core/int8/kernel.c"]


@pytest.mark.parametrize(
    "name", ["core.coreset.no_such", "pipeline.fit.fit", "core.neighbours.ExactIndex.no_such"]
)
def test_a_name_that_does_not_exist_is_found(name):
    with pytest.raises(AttributeError):
        resolve(name)


def test_headings_become_anchors():
    assert "a-new-method" in anchors(ROOT / "CONTRIBUTING.md")
