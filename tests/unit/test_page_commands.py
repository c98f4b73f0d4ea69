"""The shell commands of the documentation are run, one after the other for each page."""

import pytest

from tests.page_photographs import prepare, write_photographs
from tests.page_shell import Shell
from tests.pages import PAGES, ROOT, blocks_of, shell_commands

NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def run_blocks(name):
    return [block for block in blocks_of(read(name)) if block.is_shell and not block.not_run]


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return tmp_path_factory.mktemp("made")


@pytest.fixture
def shell(tmp_path):
    folder = tmp_path / "reader"
    folder.mkdir()
    write_photographs(folder)
    shell = Shell(folder)
    yield shell
    shell.stop()


@pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")
@pytest.mark.parametrize("name", [name for name in NAMES if run_blocks(name)])
def test_the_commands_of_a_page_run_one_after_the_other(name, shell, made):
    prepare(name, shell.folder, made)
    import time

    for block in run_blocks(name):
        if block.is_instead:
            shell.go_back()
        if "instead of" in read(name):
            shell.remember()
        *others, last = shell_commands(block)
        for command in (*others, last):
            expected = block.status if command is last else 0
            t = time.time()
            print(f"\n>>>>> {name}:{command.line}: {command.text}", flush=True)
            try:
                status = shell.run(command)
            except BaseException as e:
                status = repr(e)[:2000]
            print(f"<<<<< {status} {time.time() - t:.1f} s", "" if status == expected else "XXXXXX")
