"""The two lists of public names agree: that of type checkers, and that of the interpreter."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

import patchbank

TREE = ast.parse(Path(patchbank.__file__).read_text(encoding="utf-8"))


def names_for_type_checkers():
    """Name -> module, from the block under TYPE_CHECKING."""
    (block,) = [
        node
        for node in TREE.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    found = {}
    for statement in block.body:
        for alias in statement.names:
            assert alias.asname == alias.name, f"{alias.name}: only `as` makes it public to mypy"
            assert alias.name not in found, f"{alias.name} stands there twice"
            found[alias.name] = statement.module
    return found


def test_both_lists_have_the_same_names_from_the_same_modules():
    assert names_for_type_checkers() == patchbank._HOMES


def test_no_name_stands_twice_in_the_table():
    (table,) = [
        node.value
        for node in TREE.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOMES"
    ]
    keys = [key.value for key in table.keys]
    assert len(keys) == len(set(keys)) == len(patchbank._HOMES)


@pytest.mark.parametrize("name", patchbank.__all__)
def test_each_public_name_is_the_object_of_its_module(name):
    assert getattr(patchbank, name) is getattr(import_module(patchbank._HOMES[name]), name)
    aliases = {"AnomalyMap", "Image", "ImageInput"}  # of types, which have no name of their own
    assert name in aliases or getattr(patchbank, name).__name__ == name
    assert name in dir(patchbank)


def test_other_names_are_no_attributes():
    with pytest.raises(AttributeError, match="no attribute 'PatchCoreX'"):
        _ = patchbank.PatchCoreX
