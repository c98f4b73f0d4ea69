"""Messages that scripts of the history show, by the keys under which they find them."""

from __future__ import annotations

WORDS = {
    "no_more_spots": "No spot stands out.",
    "spot": "Odd spot {number}, and the most similar spots of good parts",
    "no_pictures": "There are no pictures of odd spots: {reason}",
}
