"""Copies in a set of photographs, and what they do to labels and to the test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from patchbank.check.findings import Finding
from patchbank.check.reading import Photograph
from patchbank.images.copies import Fingerprint, exact_copies, near_copies


def find_copies(photographs: Sequence[Photograph]) -> tuple[list[Finding], list[list[int]]]:
    """Findings about copies, and the groups of copies among all photographs.

    Args:
        photographs: those that could be read, of both parts of the set.
    """
    fingerprints: list[Fingerprint] = [
        one.facts.fingerprint for one in photographs if one.facts is not None
    ]
    exact, near = exact_copies(fingerprints), near_copies(fingerprints)
    groups = [[photographs[number] for number in group] for group in near]
    exact_groups = [[photographs[number] for number in group] for group in exact]
    findings = [
        Finding.of_groups("exact_copies", _names(_only_good(exact_groups))),
        Finding.of_groups(
            "near_copies", _names(g for g in _only_good(groups) if not _are_exact(g))
        ),
        Finding.of_groups("shared_with_test", _names(g for g in groups if _is_shared(g))),
        Finding.of_groups("conflicting_labels", _names(g for g in groups if _is_conflict(g))),
    ]
    return [finding for finding in findings if finding.details], near


def _only_good(groups: list[list[Photograph]]) -> list[list[Photograph]]:
    """The photographs to learn from in each group, where these are several."""
    learned = [[one for one in group if not one.is_test] for group in groups]
    return [group for group in learned if len(group) > 1]


def _are_exact(group: list[Photograph]) -> bool:
    return len({one.facts.fingerprint.digest for one in group if one.facts is not None}) == 1


def _is_shared(group: list[Photograph]) -> bool:
    return len({one.is_test for one in group}) == 2


def _is_conflict(group: list[Photograph]) -> bool:
    labels = {one.label for one in group if one.label is not None}
    return "good" in labels and len(labels) > 1


def _names(groups: Iterable[Sequence[Photograph]]) -> list[tuple[str, ...]]:
    return [tuple(one.name for one in group) for group in groups]
