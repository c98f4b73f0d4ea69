"""Watched folders are separate from each other, and from those that the service writes to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from patchbank.errors import ParameterError
from patchbank.server.sources.watch import WatchSettings


def check_separate(watches: Sequence[WatchSettings], written: Iterable[tuple[str, Path]]) -> None:
    """Check that no photograph is found by two watches, or by one after the service wrote it.

    Photographs in the folder of another product would be recorded under the wrong one, and results
    in a watched folder would be inspected as parts, without an end.

    Args:
        watches: the watched folders.
        written: folders that the service writes photographs to, with the option of each.

    Raises:
        ParameterError: folders lie in each other.
    """
    others = [(option, path.resolve()) for option, path in written]
    done = {each.done.resolve() for each in watches if each.done is not None}
    for at, watch in enumerate(watches):
        own = watch.folder.resolve()
        if own in watch.leave_out or any(own.is_relative_to(each) for each in done):
            raise ParameterError(
                f"--watch-done: expected a folder without watched ones, got {watch.folder} in it"
            )
        for other in watches[:at]:
            if _is_in_other(own, other.folder.resolve()):
                raise ParameterError(
                    f"--watch: expected folders that do not lie in each other, got {other.folder} "
                    f"and {watch.folder}"
                )
        for option, path in others:
            if _is_in_other(own, path):
                raise ParameterError(
                    f"--watch: expected another folder than that of {option}, got {watch.folder} "
                    f"and {path}; what is written there would be inspected"
                )


def _is_in_other(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)
