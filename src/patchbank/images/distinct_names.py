"""Short names of photographs of which no two are the same."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """The shortest end of each path that is the end of no other one, with ``/`` between folders.

    It is the name of the file where that is enough.  A path that is given twice has one name.

    >>> distinct_names([Path("left/01.png"), Path("right/01.png"), Path("right/02.png")])
    ['left/01.png', 'right/01.png', '02.png']
    """
    parts = [Path(os.path.abspath(path)).parts for path in paths]
    lengths = dict.fromkeys(parts, 1)
    while True:
        seen = Counter(path[-length:] for path, length in lengths.items())
        longer = [path for path, length in lengths.items() if seen[path[-length:]] > 1]
        if not longer:
            return [Path(*path[-lengths[path] :]).as_posix() for path in parts]
        for path in longer:
            lengths[path] += 1
