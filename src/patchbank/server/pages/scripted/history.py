"""Messages that scripts of the history show, by the keys under which they find them."""

from __future__ import annotations

WORDS = {
    "no_more_spots": "No spot stands out.",
    "first_spot": "The spot that differs most, and the most similar spots of good parts",
    "first_alone": "The spot that differs most, enlarged",
    "spot_alone": "Odd spot {number}",
    "no_good": "There is no picture of a good part to compare with: the file of the "
    "detector has no small pictures of its photographs. A detector "
    "that is set up anew has them.",
    "spot": "Odd spot {number}, and the most similar spots of good parts",
    "no_pictures": "There are no pictures of odd spots: {reason}",
}
