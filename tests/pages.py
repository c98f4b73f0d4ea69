"""Pages of the documentation, and what can be run in them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "benchmarks" / "README.md",
        *(ROOT / "docs").rglob("*.md"),
    ]
)

FENCE = re.compile(r"^ *(```|~~~)(.*)$")
# Comments on lines of their own: a sentence may quote them.
NOT_RUN = re.compile(r"^ *<!-- not run: (.+?) -->$", re.MULTILINE)
NEEDS = re.compile(r"^ *<!-- needs: (\w+) -->$", re.MULTILINE)
INLINE_COMMAND = re.compile(r"`(patchbank [^`]+)`")
INDENT = " " * 4


class Block(NamedTuple):
    """A block of code in a page."""

    line: int  # of its first line of code, from 1
    language: str  # "" where it is indented, or names none
    code: str
    not_run: str  # the reason that the page gives, "" where the block is run


def blocks_of(text: str) -> list[Block]:
    """Fenced and indented blocks in the order of the page.

    An HTML comment ``<!-- not run: REASON -->`` on the line before a block, empty lines aside,
    keeps it from being run.
    """
    lines, found, number = text.splitlines(), [], 0
    remark = ""  # the last line with text before the block
    while number < len(lines):
        line = lines[number]
        reason = match[1] if (match := NOT_RUN.search(remark)) else ""
        if fence := FENCE.match(line):
            end = number + 1
            while not (end < len(lines) and lines[end].strip() == fence[1]):
                end += 1
                if end >= len(lines):
                    raise ValueError(f"line {number + 1}: expected an end of the block, got none")
            code = "\n".join(lines[number + 1 : end])
            found.append(Block(number + 2, fence[2].strip(), code, reason))
            number, remark = end + 1, ""
        elif line.startswith(INDENT) and not (number and lines[number - 1].strip()):
            end = number
            while end < len(lines) and (lines[end].startswith(INDENT) or not lines[end].strip()):
                end += 1
            code = "\n".join(each[4:] for each in lines[number:end]).rstrip()
            found.append(Block(number + 1, "", code, reason))
            number, remark = end, ""
        else:
            remark = line if line.strip() else remark
            number += 1
    return found


def python_of(text: str) -> list[Block]:
    """Blocks of Python, those that are not run included."""
    return [block for block in blocks_of(text) if block.language == "python"]


def commands_of(text: str) -> list[tuple[int, list[str]]]:
    """Line and arguments of each ``patchbank`` command in blocks that are not Python."""
    found = []
    for block in blocks_of(text):
        if block.language in ("", "sh", "bash", "console"):
            line = block.line
            for command in re.split(r"(?<!\\)\n", block.code):
                words = command.removeprefix("$ ")
                if words.startswith("patchbank "):
                    joined = words.replace("\\\n", " ")
                    found.append((line, shlex.split(joined, comments=True)[1:]))
                line += command.count("\n") + 1
    return found


def inline_commands_of(text: str) -> list[list[str]]:
    """Arguments of the ``patchbank`` commands within sentences, which may leave out some."""
    return [shlex.split(command)[1:] for command in INLINE_COMMAND.findall(text)]
