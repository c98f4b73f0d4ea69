"""Explanations in words and JSON, of values that are given."""

import json

import pytest

from patchbank import Explanation
from patchbank.core.spatial.box import Box
from patchbank.detector.explanation.explained import (
    GoodPatch,
    OddPatch,
    OddSpot,
    SimilarPhotograph,
)
from patchbank.detector.explanation.words import box_words
from patchbank.images.pixel_map import PixelMap

HERE = PixelMap.scaling((8.0, 8.0), (24.0, 40.0))


def good(**changes):
    facts = {
        "photograph": "a/7.png",
        "number": 7,
        "box": Box(12, 30, 8, 10),
        "part": "bank 2",
        "row": 311,
        "distance": 1.25,
        "usual": 0.5,
        "around": HERE,
    }
    return GoodPatch(**{**facts, **changes})


def odd(*nearest, **changes):
    facts = {
        "member": 0,
        "method": "patchcore",
        "box": Box(20, 36, 8, 8),
        "score": 2.5,
        "nearest": nearest,
        "remark": "",
        "around": HERE,
        "patch_cells": 3,
        "shown_cells": 16.0,
    }
    return OddPatch(**{**facts, **changes})


def spot(*patches, **changes):
    facts = {"region": 0, "box": Box(16, 32, 20, 24), "distance": 2.5, "usual": 1.0}
    return OddSpot(**{**facts, **changes}, patches=patches)


def explanation(*spots, **changes):
    facts = {
        "image": "new/1.png",
        "is_anomalous": True,
        "score": 3.0,
        "threshold": 2.0,
        "usual_score": 1.5,
        "n_regions": 1,
    }
    return Explanation(**{**facts, **changes}, spots=spots)


def test_a_box_is_said_by_its_first_and_last_row_and_column():
    assert box_words(Box(0, 5, 1, 3)) == "rows 0 to 0, columns 5 to 7"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {},
            "nearest in a/7.png: rows 12 to 19, columns 30 to 39, distance 1.25 (bank 2, row 311); "
            "no learned patch is farther than 0.5 from it",
        ),
        ({"row": None, "usual": None}, "{where}, distance 1.25 (bank 2)"),
        (
            {"box": None, "usual": None},
            "nearest in a/7.png: where in it is not known, distance 1.25 (bank 2, row 311)",
        ),
        ({"distance": None}, "a/7.png: rows 12 to 19, columns 30 to 39 (bank 2)"),
    ],
)
def test_a_good_patch_is_said_with_what_is_known(changes, text):
    where = "nearest in a/7.png: rows 12 to 19, columns 30 to 39"
    assert good(**changes).text == text.format(where=where)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "region 1 (rows 16 to 35, columns 32 to 55): 2.5 times as far from anything good as"),
        ({"region": 4}, "region 5 (rows "),
        ({"region": None}, "patch (rows "),
        ({"usual": None}, "region 1 (rows 16 to 35, columns 32 to 55): a distance from anything"),
        ({"usual": 4.0}, "region 1 (rows 16 to 35, columns 32 to 55): no farther from anything"),
    ],
)
def test_a_spot_is_said_with_its_distance_against_the_usual_one(changes, text):
    one = spot(odd(good()), **changes)
    assert one.text.startswith(text)
    assert one.text.endswith("not known" if one.usual is None else f"(2.5 against {one.usual:g})")


def test_how_many_times_as_far_needs_a_usual_distance():
    assert spot(odd(good())).times == 2.5
    assert spot(odd(good()), usual=None).times is None
    assert spot(odd(good()), usual=0.0).times is None


def test_a_spot_that_one_member_has_no_good_patches_for_is_said_as_a_score():
    mixed = spot(odd(good()), odd(remark="keeps none", member=1))
    assert not mixed.is_distance
    assert "2.5 times the score that the oddest spot" in mixed.text
    assert spot(odd(good())).is_distance


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "anomalous, score 3, threshold 2; good photographs usually score 1.5"),
        (
            {"is_anomalous": False, "score": 1.0, "n_regions": 0},
            "good, score 1, threshold 2; good photographs usually score 1.5; no region is above "
            "the pixel threshold: its score is made of these patches",
        ),
        (
            {"n_regions": 9},
            "anomalous, score 3, threshold 2; good photographs usually score 1.5; 1 of 9 regions "
            "are explained",
        ),
    ],
)
def test_a_photograph_is_said_with_its_verdict(changes, text):
    assert explanation(spot(odd(good())), **changes).text == text


def test_a_photograph_without_any_spot_is_said_with_its_verdict_alone():
    alone = explanation(n_regions=0)
    assert alone.text == "anomalous, score 3, threshold 2; good photographs usually score 1.5"
    assert alone.lines == [f"new/1.png: {alone.text}"]


def test_all_lines_are_of_the_photograph_its_spots_and_their_good_patches_in_order():
    first, second = good(), good(photograph="b.png", distance=1.5)
    one = explanation(spot(odd(first, second)), spot(odd(remark="keeps none"), region=1))
    assert one.lines == [
        f"new/1.png: {one.text}",
        one.spots[0].text,
        f"  {first.text}",
        f"  {second.text}",
        one.spots[1].text,
        "  keeps none",
    ]


def test_json_has_all_numbers_and_no_more():
    similar = (SimilarPhotograph("c.png", 2, 0.75),)
    one = explanation(spot(odd(good(box=None, usual=None))), similar=similar)
    found = json.loads(json.dumps(one.to_json()))
    assert found == {
        "text": one.text,
        "usual_score": 1.5,
        "spots": [
            {
                "region": 0,
                "box": {"left": 32, "top": 16, "width": 24, "height": 20},
                "distance": 2.5,
                "usual_distance": 1.0,
                "text": one.spots[0].text,
                "patches": [
                    {
                        "member": 0,
                        "method": "patchcore",
                        "box": {"left": 36, "top": 20, "width": 8, "height": 8},
                        "score": 2.5,
                        "remark": "",
                        "nearest": [
                            {
                                "photograph": "a/7.png",
                                "box": None,
                                "part": "bank 2",
                                "row": 311,
                                "distance": 1.25,
                                "usual_distance": None,
                            }
                        ],
                    }
                ],
            }
        ],
        "similar": [{"photograph": "c.png", "distance": 0.75}],
    }


def test_explanations_are_frozen_and_print_without_their_pictures():
    one = explanation(spot(odd(good())))
    with pytest.raises(AttributeError):
        one.score = 0.0
    assert "pictures" not in repr(one)
    assert "around" not in repr(one.spots[0].patches[0])
