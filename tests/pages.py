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
INSTEAD = re.compile(r"^ *<!-- instead of the block before -->$", re.MULTILINE)
STATUS = re.compile(r"^ *<!-- status: (\d+) -->$", re.MULTILINE)
INLINE_COMMAND = re.compile(r"`(patchbank [^`]+)`")
INDENT = " " * 4
SHELL = ("", "sh", "bash", "console")
# First words of the commands in blocks that name no language; all others are layouts, outputs and
# files of settings.
PROGRAMS = (
    "apt-get",
    "cd",
    "curl",
    "docker",
    "export",
    "fiftyone",
    "find",
    "make",
    "mlflow",
    "npm",
    "patchbank",
    "pip",
    "python",
    "sudo",
)


class Block(NamedTuple):
    """A block of code in a page."""

    line: int  # of its first line of code, from 1
    language: str  # "" where it is indented, or names none
    code: str
    not_run: str  # the reason that the page gives, "" where the block is run
    status: int = 0  # exit status of its last command
    is_instead: bool = False  # whether it is another way, and the block before was not run

    @property
    def is_shell(self) -> bool:
        """Whether it holds commands for a shell, and no synopsis of them."""
        if self.language not in SHELL or "[OPTIONS]" in self.code:
            return False
        first = self.code.removeprefix("$ ").split()[0]
        return self.language != "" or first in PROGRAMS or re.match("[A-Z]+=", first) is not None


class Command(NamedTuple):
    """A command in a block."""

    line: int  # of the page, from 1
    text: str  # as it stands there, continued lines included


def blocks_of(text: str) -> list[Block]:
    """Fenced and indented blocks in the order of the page.

    An HTML comment ``<!-- not run: REASON -->`` on the line before a block, empty lines aside,
    keeps it from being run; ``<!-- status: 3 -->`` gives the exit status of its last command, and
    ``<!-- instead of the block before -->`` says that it begins where that one did.
    """
    lines, found, number = text.splitlines(), [], 0
    remark = ""  # the last line with text before the block
    while number < len(lines):
        line = lines[number]
        reason = match[1] if (match := NOT_RUN.search(remark)) else ""
        status = int(match[1]) if (match := STATUS.search(remark)) else 0
        is_instead = INSTEAD.search(remark) is not None
        if fence := FENCE.match(line):
            end = number + 1
            while not (end < len(lines) and lines[end].strip() == fence[1]):
                end += 1
                if end >= len(lines):
                    raise ValueError(f"line {number + 1}: expected an end of the block, got none")
            code = "\n".join(lines[number + 1 : end])
            found.append(Block(number + 2, fence[2].strip(), code, reason, status, is_instead))
            number, remark = end + 1, ""
        elif line.startswith(INDENT) and not (number and lines[number - 1].strip()):
            end = number
            while end < len(lines) and (lines[end].startswith(INDENT) or not lines[end].strip()):
                end += 1
            code = "\n".join(each[4:] for each in lines[number:end]).rstrip()
            found.append(Block(number + 1, "", code, reason, status, is_instead))
            number, remark = end, ""
        else:
            remark = line if line.strip() else remark
            number += 1
    return found


def python_of(text: str) -> list[Block]:
    """Blocks of Python, those that are not run included."""
    return [block for block in blocks_of(text) if block.language == "python"]


def shell_commands(block: Block) -> list[Command]:
    """Commands of a block; where they have prompts, all other lines are outputs."""
    found, line = [], block.line
    for text in re.split(r"(?<!\\)\n", block.code):
        if text.strip() and ("$ " not in block.code[:2] or text.startswith("$ ")):
            found.append(Command(line, text.removeprefix("$ ")))
        line += text.count("\n") + 1
    return found


def words_of(text: str) -> list[str]:
    """Words of a command as a shell reads them, without remarks."""
    return shlex.split(text.replace("\\\n", " "), comments=True)


def commands_of(text: str) -> list[tuple[int, list[str]]]:
    """Line and arguments of each ``patchbank`` command in blocks that are not Python."""
    found = []
    for block in blocks_of(text):
        if block.language in SHELL:
            for line, command in shell_commands(block):
                if command.startswith("patchbank "):
                    found.append((line, words_of(command)[1:]))
    return found


def inline_commands_of(text: str) -> list[list[str]]:
    """Arguments of the ``patchbank`` commands within sentences, which may leave out some."""
    return [shlex.split(command)[1:] for command in INLINE_COMMAND.findall(text)]
