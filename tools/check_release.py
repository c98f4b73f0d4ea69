"""Say whether the source is ready to be released under a tag; the publishing workflow asks first.

    python tools/check_release.py v0.2.0

The tag is the version of pyproject.toml, CITATION.cff and the recipe for conda; the changelog has
a section of that version with a date; the project has an address.  One line for each that fails.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSION_IN = {  # file -> the line that has the version
    "pyproject.toml": r'^version = "(.+)"$',
    "CITATION.cff": r"^version: (.+)$",
    "deploy/conda/recipe.yaml": r'^  version: "(.+)"$',
}
PLACEHOLDER = "example.org"


def main() -> int:
    """Print what is missing; 1 if something is."""
    if len(sys.argv) != 2:
        print("check_release.py: expected one tag, such as v0.2.0", file=sys.stderr)
        return 2
    problems = list(problems_of(ROOT, sys.argv[1]))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


def problems_of(root: Path, tag: str) -> Iterator[str]:
    """One line for each thing that keeps the source from being released under the tag."""
    for name, pattern in VERSION_IN.items():
        version = _first(pattern, (root / name).read_text(encoding="utf-8"))
        if f"v{version}" != tag:
            yield f"{name}: expected the version of {tag}, got {version}; change one of them"
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    date = _first(rf"^## \[{re.escape(tag.removeprefix('v'))}\] - (.+)$", changelog)
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", date):
        yield f"CHANGELOG.md: expected a section of {tag} with a date, got {date}; date it"
    if PLACEHOLDER in _first(r'^Repository = "(.+)"$', (root / "pyproject.toml").read_text()):
        yield (
            f"pyproject.toml: expected the project's address, got {PLACEHOLDER}; "
            "put it where `grep -r example.org/patchbank` finds the placeholder"
        )


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text, re.MULTILINE)
    return found[1].strip("\"'") if found else "none"


if __name__ == "__main__":
    sys.exit(main())
