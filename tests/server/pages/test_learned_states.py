"""States that a detector had: the one in use, those that can be restored, and the last change."""

from __future__ import annotations

import pytest

from patchbank.server.pages.learned import last_change, states
from tests.unit.test_lineage_chain import changed, state, undone, walked

pytestmark = pytest.mark.serve


def marks(lineage):
    """Number of each entry with the marks of its row, newest first."""
    names = ("is_now", "restorable", "is_lost")
    return [
        (one["number"], one["same_as"], *(name for name in names if one[name]))
        for one in states(lineage)
    ]


def test_every_other_state_that_the_file_has_can_be_restored():
    assert marks(walked(2)[0]) == [
        (2, None, "is_now"),
        (1, None, "restorable"),
        (0, None, "restorable"),
    ]
    assert last_change(walked(2)[0])["number"] == 2
    assert last_change(walked(0)[0]) is None


def test_after_an_undo_the_earlier_state_is_in_use_and_the_later_one_lost():
    lineage = undone(walked(2)[0])
    assert marks(lineage) == [
        (3, 1),
        (2, None, "is_lost"),
        (1, None, "is_now"),
        (0, None, "restorable"),
    ]
    assert last_change(lineage)["number"] == 1


def test_an_undo_whose_state_was_changed_since_can_be_gone_back_to():
    lineage, made = walked(2)
    lineage = changed(undone(lineage), made[1], state(9))
    assert marks(lineage)[:2] == [(4, None, "is_now"), (3, 1, "restorable")]
    assert lineage.target(3) == lineage.target(None) == 1
