"""The blocks of a page with commands for a shell, run one after the other."""

from __future__ import annotations

from pathlib import Path

from tests.page_photographs import prepare
from tests.page_shell import Shell
from tests.pages import ROOT, Block, blocks_of, shell_commands, words_of

SLOW = {
    "README.md": ("patchbank benchmark ",),
    "docs/benchmark.md": ("--seeds 5",),
    "docs/engines.md": ("--precision int8",),
}
"""Page -> texts in those of its commands that take half a minute or more."""
LEFT = {
    "README.md": ("overlays/*17*", "report/index.html"),
    "docs/guides/explanations.md": ("why/index.html",),
    "docs/guides/export.md": ("verified/index.html", "overlays/*17*"),
    "docs/guides/false-alarm.md": ("monday/*17*",),
    "docs/guides/inspection-line.md": ("sorted/NG/17.png", "sorted/OK/16.png", "today.csv"),
    "docs/guides/labelling-tools.md": ("tasks.json", "srv/photos/tasks.label_config.xml"),
    "docs/guides/many-products.md": ("detectors/index.html", "today.jsonl"),
    "docs/index.md": ("overlays/*17*",),
    "docs/service.md": ("overlay.jpg", "inspections.csv"),
    "docs/start.md": ("overlays/*17*", "report/index.html"),
}
"""Page -> files that are there after its last command."""


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks_to_run(name: str) -> list[Block]:
    """Blocks of a page with commands, in its order, those that give a reason not to left out."""
    return [block for block in blocks_of(read(name)) if block.is_shell and not block.not_run]


def needs_of(name: str) -> set[str]:
    """Requirements of the commands of a page."""
    found = {"shell_tools"}
    for block in blocks_to_run(name):
        for command in shell_commands(block):
            words = words_of(command.text)
            if words[0] == "curl" or words[1:2] in (["serve"], ["send"], ["records"]):
                found.add("serve")
            if "parquet" in command.text:
                found.add("parquet")
    return found


def run_page(name: str, folder: Path, made: Path, *, slow: bool = False) -> None:
    """Run the commands of a page, each of which has to end with the status that the page says.

    Args:
        name: of the page.
        folder: of its reader, where the photographs of bolts are.
        made: folder that keeps what several pages take for granted.
        slow: whether slow commands are run, too.
    """
    prepare(name, folder, made)
    blocks = blocks_to_run(name)
    shell = Shell(folder)
    try:
        for block in blocks:
            if block.is_instead:
                shell.go_back()
            if any(other.is_instead for other in blocks):
                shell.remember()
            _run_block(block, name, shell, slow)
    finally:
        shell.stop()
    for pattern in LEFT.get(name, ()):
        assert list(folder.glob(pattern)), f"{name}: expected {pattern} afterwards, got none"


def _run_block(block: Block, name: str, shell: Shell, slow: bool) -> None:
    commands = shell_commands(block)
    for command in commands:
        if not slow and any(text in command.text for text in SLOW.get(name, ())):
            continue
        expected = block.status if command == commands[-1] else 0
        status = shell.run(command)
        assert status == expected, f"{name}:{command.line}: {command.text}: status {status}"
