"""The documentation runs: its Python is executed, and its commands are parsed."""

import doctest
import re

import pytest
import typer

from patchbank.cli.app import app
from patchbank.cli.setting_options import fit_options, members_of, setting_options
from patchbank.errors import ParameterError
from tests.page_photographs import prepare, write_photographs
from tests.pages import (
    NEEDS,
    PAGES,
    ROOT,
    Block,
    blocks_of,
    commands_of,
    inline_commands_of,
    python_of,
)
from tests.requirements import requirements_of

NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
# page -> how many blocks give a reason in the page why they are not run
NOT_RUN: dict[str, int] = {
    "benchmarks/README.md": 1,
    "docs/coming-from.md": 1,
    "docs/engines.md": 1,
    "docs/guides/backbones.md": 1,
    "docs/guides/cluster-predict.md": 1,
    "docs/guides/cluster-serve.md": 1,
    "docs/guides/cluster.md": 3,
    "docs/guides/export.md": 3,
    "docs/guides/labelling-tools.md": 1,
    "docs/guides/line.md": 9,
    "docs/guides/mlflow-and-hub.md": 3,
    "docs/guides/offline.md": 3,
    "docs/guides/results.md": 2,
    "docs/json.md": 1,
    "docs/plugins.md": 1,
    "docs/results.md": 1,
}
OPENS_A_DETECTOR = ("docs/file-format.md",)  # which a reader has
COMMANDS = typer.main.get_command(app)
UsageError = typer.BadParameter.__base__  # of click, or of the copy in newer versions of typer


def read(name):
    return (ROOT / name).read_text(encoding="utf-8")


def statements(block):
    """Code of a block without prompts and outputs."""
    if ">>>" not in block.code:
        return block.code
    return "".join(example.source for example in doctest.DocTestParser().get_examples(block.code))


def with_python():
    """Pages that hold Python, marked with what they need."""
    for name in NAMES:
        text = read(name)
        if blocks := python_of(text):
            needs = {need for block in blocks for need in requirements_of(statements(block))}
            needs |= set(NEEDS.findall(text))
            yield pytest.param(name, marks=[getattr(pytest.mark, need) for need in sorted(needs)])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Folder with photographs under the names that the pages use."""
    write_photographs(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def execute(block, name, namespace):
    """Run a block in the namespace of its page; a failure names the page and the line."""
    if ">>>" not in block.code:
        # Empty lines before the code, so that a traceback shows the lines of the page.
        exec(compile("\n" * (block.line - 1) + block.code, str(ROOT / name), "exec"), namespace)
        return
    test = doctest.DocTestParser().get_doctest(
        block.code, namespace, name, str(ROOT / name), block.line - 1
    )
    told = []
    outcome = doctest.DocTestRunner().run(test, out=told.append, clear_globs=False)
    namespace.update(test.globs)  # the test had a copy
    assert outcome.failed == 0, "".join(told)


# Six photographs resolve no rate of false alarms below 1/7; a reader has more.
@pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")
@pytest.mark.parametrize("name", list(with_python()))
def test_the_python_of_a_page_runs_and_prints_what_is_written_there(name, folder, tmp_path_factory):
    if name in OPENS_A_DETECTOR:
        prepare(name, folder, tmp_path_factory.mktemp("made"))
    namespace = {"__name__": "__main__"}
    for block in python_of(read(name)):
        if not block.not_run:
            execute(block, name, namespace)


@pytest.mark.filterwarnings("ignore::patchbank.errors.CalibrationWarning")
def test_the_example_of_the_readme_leaves_a_detector_and_an_overlay(folder):
    namespace = {"__name__": "__main__"}
    for block in python_of(read("README.md")):
        execute(block, "README.md", namespace)
    assert (folder / "bolts.patchbank").stat().st_size > 1e6  # the backbone is in it
    assert (folder / "17.png").is_file()
    assert namespace["seen"].anomaly_map.shape == (72, 104)


@pytest.mark.parametrize("name", NAMES)
def test_each_block_that_is_not_run_is_counted(name):
    text = read(name)
    reasons = [block.not_run for block in blocks_of(text) if block.not_run]
    comments = re.findall("^ *<!-- not run", text, re.MULTILINE)  # misspelt ones, too
    assert len(reasons) == len(comments) == NOT_RUN.get(name, 0)


@pytest.mark.parametrize("name", NAMES)
def test_prompts_stand_in_blocks_of_python(name):
    text = read(name)
    executed = sum(len(re.findall("^ *>>> ", b.code, re.MULTILINE)) for b in python_of(text))
    assert len(re.findall("^ *>>> ", text, re.MULTILINE)) == executed


def parse(arguments, *, complete=True):
    """Parse a command without running it; one that is not complete may lack what is required."""
    command, context, name = COMMANDS, None, "patchbank"
    while True:
        try:
            context = command.make_context(name, list(arguments), parent=context)
        except typer.Exit:  # --help, --version
            return
        except UsageError as error:
            if complete or type(error).__name__ not in ("MissingParameter", "NoArgsIsHelpError"):
                raise
            return
        rest = [*context._protected_args, *context.args]
        if not hasattr(command, "commands"):
            break
        if not rest and (command.invoke_without_command or not complete):
            return
        name, command, arguments = command.resolve_command(context, rest)
    if name == "fit":  # its options are texts, which the declared rules read
        given = {option: context.params[option] for option in setting_options()}
        members_of(fit_options(given), given)


def words_of(error):
    return error.format_message() if isinstance(error, UsageError) else str(error)


@pytest.mark.parametrize("name", NAMES)
def test_commands_in_a_page_have_sub_commands_and_options_that_exist(name):
    text = read(name)
    for line, arguments in commands_of(text):
        if "[OPTIONS]" in arguments:  # a synopsis
            if names := [word for word in arguments if word.islower()]:
                parse(names, complete=False)
            continue
        try:
            parse(arguments)
        except (UsageError, ParameterError) as error:
            pytest.fail(f"{name}:{line}: patchbank {' '.join(arguments)}: {words_of(error)}")
    for arguments in inline_commands_of(text):
        parse(arguments, complete=False)


def test_the_pages_are_those_on_the_disk():
    assert {"README.md", "docs/benchmark.md", "docs/methods/patchcore.md"} <= set(NAMES)
    assert sum(len(commands_of(read(name))) for name in NAMES) > 12
    assert sum(len(inline_commands_of(read(name))) for name in NAMES) > 4


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["fitt", "bolts", "--out", "a"], "No such command 'fitt'"),
        (["fit", "bolts", "--out", "a", "--no-such-option", "1"], "No such option"),
        (["demo", "--preset", "fastest"], "'fastest' is not one of"),
        (["fit", "bolts", "--out", "a", "--method", "patchcoreX"], "method: expected one of"),
        (["fit", "bolts", "--out", "a", "--n-images", "3"], "got a setting of spade"),
        (["fit", "bolts", "--out", "a", "--scales"], "requires an argument"),
        (["backbones", "shows", "resnet18"], "No such command 'shows'"),
        (["info"], "Missing argument"),
    ],
)
def test_a_command_that_does_not_exist_is_found(command, message):
    with pytest.raises((UsageError, ParameterError)) as caught:
        parse(command)
    assert message in words_of(caught.value)


def test_what_is_required_may_be_missing_in_a_sentence_only():
    parse(["fit", "GOOD", "--method", "padim"], complete=False)
    with pytest.raises(UsageError):
        parse(["fit", "GOOD", "--method", "padim"])
    with pytest.raises(UsageError):
        parse(["fit", "GOOD", "--no-such-option"], complete=False)


PAGE = """
Text `patchbank info FILE` here.

    patchbank fit a --out b \\
        --seed 1   # remark
    $ patchbank info b
    make test

<!-- not run: needs a camera -->

```python
x = 1
```

- item
    continued

```python
>>> x
2
```
```json
{"patchbank": 1}
```
"""


def test_blocks_of_a_page_are_found_with_their_lines_and_reasons():
    indented, *fenced = blocks_of(PAGE)
    assert indented.code.splitlines()[0] == "patchbank fit a --out b \\"
    assert fenced == [
        Block(12, "python", "x = 1", "needs a camera"),
        Block(19, "python", ">>> x\n2", ""),
        Block(23, "json", '{"patchbank": 1}', ""),
    ]
    assert python_of(PAGE) == fenced[:2]
    assert commands_of(PAGE) == [
        (4, ["fit", "a", "--out", "b", "--seed", "1"]),
        (6, ["info", "b"]),
    ]
    assert inline_commands_of(PAGE) == [["info", "FILE"]]


def test_an_output_that_is_not_what_is_written_fails_with_the_line():
    with pytest.raises(AssertionError, match=r'File ".*README.md", line 7(.|\n)*Got:\s+1'):
        execute(Block(7, "python", ">>> x\n2", ""), "README.md", {"x": 1})
    with pytest.raises(ZeroDivisionError) as caught:
        execute(Block(7, "python", "x = 1\nx / 0", ""), "README.md", {})
    assert caught.traceback[-1].lineno == 7  # from 0
