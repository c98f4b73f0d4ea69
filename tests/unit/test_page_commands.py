"""The shell commands of the documentation are run, one after the other for each page."""

import sys

import pytest

from tests.page_commands import SLOW, blocks_to_run, needs_of, read, run_page
from tests.page_photographs import BEFORE, write_photographs
from tests.page_shell import Shell, check_install, is_plain
from tests.pages import PAGES, ROOT, SHELL, Block, Command, blocks_of, shell_commands, words_of

NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
# Blocks that name no language and hold no commands: layouts, outputs, formulas, settings.
NO_COMMANDS = {
    "docs/datasets.md": 10,
    "docs/engines.md": 2,
    "docs/guides/cluster.md": 3,
    "docs/guides/export.md": 3,
    "docs/guides/line.md": 1,
    "docs/guides/many-products.md": 1,
    "docs/guides/photographs.md": 3,
    "docs/guides/results.md": 1,
    "docs/methods/patchcore.md": 1,
    "docs/methods/threshold.md": 4,
    "docs/plugins.md": 1,
    "docs/service.md": 2,
    "docs/start.md": 1,
}


def with_commands():
    """Pages that have commands to run, marked with what they need."""
    for name in NAMES:
        if blocks_to_run(name):
            marks = [getattr(pytest.mark, need) for need in sorted(needs_of(name))]
            yield pytest.param(name, marks=marks)


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return tmp_path_factory.mktemp("made")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "reader").mkdir()
    write_photographs(tmp_path / "reader")
    return tmp_path / "reader"


# Six photographs resolve no rate of false alarms below 1/7; a reader has more.
@pytest.mark.skipif(sys.platform == "win32", reason="the pages are for a POSIX shell")
@pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")
@pytest.mark.parametrize("name", list(with_commands()))
def test_the_commands_of_a_page_run_one_after_the_other(name, folder, made):
    run_page(name, folder, made)


@pytest.mark.parametrize("name", NAMES)
def test_each_block_without_a_language_is_run_or_known_to_hold_no_command(name):
    blocks = [b for b in blocks_of(read(name)) if b.language in SHELL and not b.is_shell]
    no_commands = [block for block in blocks if "[OPTIONS]" not in block.code]  # a synopsis
    assert len(no_commands) == NO_COMMANDS.get(name, 0), [b.code for b in no_commands]


@pytest.mark.parametrize("name", NAMES)
def test_an_installation_names_extras_and_packages_of_the_project(name):
    for block in blocks_of(read(name)):
        for command in shell_commands(block) if block.is_shell else []:
            words = words_of(command.text)
            if words[:2] == ["pip", "install"]:
                check_install(words)


def test_what_is_prepared_and_slow_is_of_pages_that_are_there():
    assert {*BEFORE, *SLOW} <= set(NAMES)
    for name, texts in SLOW.items():
        commands = [c.text for block in blocks_to_run(name) for c in shell_commands(block)]
        assert all(any(text in command for command in commands) for text in texts)


def test_comments_give_a_block_its_status_and_its_beginning():
    page = """
<!-- status: 3 -->

    patchbank predict a b --fail-on-anomaly

<!-- instead of the block before -->
```sh
$ patchbank predict a b
2 good
```
"""
    first, second = blocks_of(page)
    assert first == Block(4, "", "patchbank predict a b --fail-on-anomaly", "", 3)
    assert second.is_instead
    assert not first.is_instead
    assert shell_commands(second) == [Command(8, "patchbank predict a b")]


@pytest.mark.parametrize(
    ("code", "is_shell"),
    [
        ("patchbank info a", True),
        ("TOKEN=$(patchbank serve token add a)", True),
        ("$ curl a", True),
        ("patchbank info [OPTIONS] FILE", False),
        ("bolts/good/1.jpg", False),
        ("path,label", False),
    ],
)
def test_blocks_of_commands_begin_with_a_program(code, is_shell):
    assert Block(1, "", code, "").is_shell == is_shell
    assert not Block(1, "json", code, "").is_shell


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("patchbank fit a --roi '1,2 3,4 5,6'  # as (x, y); more", True),
        ("patchbank fit a \\\n    --out b", True),
        ("patchbank predict a --methods 'a(b=1)'", True),
        ("find a | patchbank predict b -", False),
        ("patchbank predict a > b", False),
        ("patchbank predict a b/*.png", False),
        ('patchbank predict a "$PHOTO"', False),
        ("cd a && patchbank predict b", False),
    ],
)
def test_plain_commands_need_no_shell(text, plain):
    assert is_plain(text) == plain


@pytest.mark.parametrize("name", ["'patchbank[server]'", "'.[serve,tiff]'", "patchbnak"])
def test_an_installation_of_what_is_not_there_is_found(name):
    with pytest.raises(AssertionError):
        check_install(words_of(f"pip install {name}"))


@pytest.mark.shell_tools
@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("patchbank check bolts --sumary", 2),
        ("patchbank check bolts/absent", 2),
        ("patchbank check bolts --skip-scores", 0),
        ("cat absent.txt | sort", 1),
        ("make no-such-target", 2),
        ("ls bolts/new/*.png", 0),
    ],
)
def test_a_command_that_fails_has_its_status(text, status, folder):
    assert Shell(folder).run(Command(1, text)) == status


@pytest.mark.shell_tools
def test_a_block_goes_on_where_the_one_before_ended(folder):
    shell = Shell(folder)
    for text in ("cd bolts/new", "A=1 B=$(cat <<< two)", 'test "$A$B" = 1two', "test -f 17.png"):
        assert shell.run(Command(1, text)) == 0, text


@pytest.mark.shell_tools
def test_a_block_that_is_another_way_begins_where_the_one_before_did(folder):
    shell = Shell(folder)
    shell.remember()
    shell.run(Command(1, "rm -r bolts/new"))
    shell.go_back()
    assert shell.run(Command(1, "test -f bolts/new/17.png")) == 0


@pytest.mark.serve
@pytest.mark.shell_tools
def test_a_service_that_does_not_start_and_a_refused_request_are_found(folder):
    shell = Shell(folder)
    with pytest.raises(AssertionError, match="no-such-option"):
        shell.run(Command(1, "patchbank serve bolts.patchbank --no-such-option"))
    shell.service = None
    assert shell.run(Command(1, "curl http://127.0.0.1:8760/ready")) == 7  # nobody listens


def test_addresses_and_folders_of_a_page_are_those_of_the_test(folder):
    shell = Shell(folder)
    text = "patchbank send http://127.0.0.1:8760 --watch a=/srv/cam --channel folder:/srv/b x/srv/y"
    expected = f"http://127.0.0.1:{shell.port} --watch a={folder}/srv/cam --channel "
    assert shell.here(text) == f"patchbank send {expected}folder:{folder}/srv/b x/srv/y"
