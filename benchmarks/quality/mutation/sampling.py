"""Draw mutants with a seed, from each room in proportion to its candidates."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from .mutators import Mutant, candidates, is_sound


def sources(src: Path, room: str) -> dict[str, bytes]:
    """Read the files of a room: a folder or a file below the package."""
    top = src / "patchbank" / room
    files = sorted(top.rglob("*.py")) if top.is_dir() else [top]
    if not top.exists() or not files:
        raise SystemExit(f"rooms: expected folders or files below {src / 'patchbank'}, got {room}")
    return {path.relative_to(src).as_posix(): path.read_bytes() for path in files}


def sample(rooms: Mapping[str, Mapping[str, bytes]], n: int, seed: int) -> list[tuple[str, Mutant]]:
    """Draw `n` mutants, from each room in proportion to its candidates, at most one a line.

    The order is that of a hash of seed and key: a change of one line keeps the mutants of others.
    """
    drawn: list[tuple[str, Mutant]] = []
    every = {
        room: [m for path, source in files.items() for m in candidates(source, path)]
        for room, files in rooms.items()
    }
    for room, share in _shares({room: len(found) for room, found in every.items()}, n).items():
        lines: set[tuple[str, int]] = set()
        for mutant in sorted(every[room], key=lambda m: _drawn_at(m, seed)):
            if len(lines) == share:
                break
            place = (mutant.path, mutant.line)
            if place not in lines and is_sound(mutant, rooms[room][mutant.path]):
                lines.add(place)
                drawn.append((room, mutant))
    return drawn


def _drawn_at(mutant: Mutant, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {mutant.key}".encode()).digest()


def _shares(sizes: Mapping[str, int], n: int) -> dict[str, int]:
    """Split `n` in proportion: the largest remainders are rounded up."""
    total = sum(sizes.values())
    exact = {name: n * size / total for name, size in sizes.items()}
    shares = {name: int(part) for name, part in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (shares[name] - exact[name], name))
    for name in by_remainder[: n - sum(shares.values())]:
        shares[name] += 1
    return shares
