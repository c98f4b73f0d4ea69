"""Exit statuses: each means one thing, and no error is a traceback."""

import logging
import os
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
import typer

from patchbank.cli.app import run
from patchbank.cli.guard import Terminated, expanded, guarded
from patchbank.cli.path_lists import Given
from patchbank.cli.predict import Outputs, inspect_paths
from patchbank.cli.statuses import MEANINGS, Exit, status_of
from patchbank.errors import ParameterError
from tests.painted import detector, photograph, write

PROGRAM = [sys.executable, "-c", "from patchbank.cli import main; main()"]


def raising(error):
    """A command that ends with an error."""

    def command():
        raise error

    return command


def program(*arguments, **options):
    """Run the program in a process of its own."""
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ParameterError("a\nb: expected x"), 2, "error: a\\nb: expected x\n"),
        (OSError(28, "No space left"), 2, "got: [Errno 28] No space left\n"),
        (MemoryError(), 2, "expected enough memory, got: none left"),
        (typer.Exit(3), 3, ""),
        (BrokenPipeError(32, "Broken pipe"), 141, ""),
        (KeyboardInterrupt(), 130, ""),
        (typer.Abort(), 130, ""),
        (Terminated(), 143, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_end_has_its_status(capsys, error, status, line):
    assert guarded(raising(error)) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert line in err
    assert err.count("\n") == bool(line)


def test_a_command_that_ends_well_has_its_own_status(capsys):
    assert guarded(lambda: 0) == 0
    assert guarded(lambda: 1) == 1
    assert capsys.readouterr() == ("", "")


def endless(n):
    return endless(n + 1)


@pytest.mark.parametrize(
    "command",
    [raising(ZeroDivisionError("one\nby zero")), lambda: endless(0)],
    ids=["zero", "deep"],
)
def test_the_unforeseen_is_one_line_and_a_log(capsys, command, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert guarded(command) == 70
    _, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert "this is a fault of patchbank, please report it with" in err
    log = Path(err.split("report it with ")[1].strip())
    assert log.parent == tmp_path
    content = log.read_text()
    assert "Traceback" in content
    assert "test_cli_statuses.py" in content
    assert repr(sys.argv) in content
    assert "onnxruntime" in content


def test_no_place_for_a_log_is_said(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "no"))
    assert guarded(raising(ZeroDivisionError("x"))) == 70
    assert "no log file can be written: No such file" in capsys.readouterr().err


def test_an_error_in_another_thread_is_told_too(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def command():
        thread = threading.Thread(target=raising(ZeroDivisionError("in a thread")))
        thread.start()
        thread.join()
        return 0

    assert guarded(command) == 70
    _, err = capsys.readouterr()
    assert err.startswith("error: ZeroDivisionError: in a thread; ")
    assert err.count("\n") == 1


def test_warnings_are_one_line_each(capsys):
    def command():
        warnings.simplefilter("always")
        warnings.warn("a\n  b", RuntimeWarning, stacklevel=1)
        logging.getLogger("patchbank").warning("%s: skipped", "c\n.gif")
        logging.getLogger("patchbank").info("nothing")
        return 0

    assert guarded(command) == 0
    assert capsys.readouterr() == ("", "warning: a b\nwarning: c\\n.gif: skipped\n")


@pytest.mark.parametrize(
    ("anomalous", "unread", "asked", "status"),
    [
        (0, 0, False, 0),
        (2, 0, False, 0),
        (0, 1, False, 1),
        (2, 1, False, 1),
        (0, 0, True, 0),
        (2, 0, True, 3),
        (0, 1, True, 1),
        (2, 1, True, 3),
    ],
)
def test_an_anomaly_that_is_asked_about_stands_above_an_unread_photograph(
    anomalous, unread, asked, status
):
    found = status_of(anomalous=anomalous, unread=unread, fail_on_anomaly=asked)
    assert found == status


def test_help_and_docs_list_every_status():
    done = program("predict", "--help")
    assert done.returncode == 0
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
    assert set(MEANINGS) == set(Exit)
    text = " ".join(done.stdout.split())
    for status, meaning in MEANINGS.items():
        assert f"{int(status)} {meaning}" in text
        assert f"| {int(status)} | {meaning} |" in page


@pytest.mark.parametrize(
    "arguments",
    [["predict"], ["nothing"], ["fit", "--bogus"], ["info", "a", "b"], ["predict", "--out"]],
    ids=" ".join,
)
def test_wrong_use_is_one_line_that_names_the_help(arguments):
    done = program(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    assert "--help" in done.stderr


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """More photographs than lines fit into a pipe."""
    folder = tmp_path_factory.mktemp("many") / ("long" * 50)
    first = write(folder / "0.png", photograph(20))
    for number in range(1, 400):
        os.link(first, folder / f"{number}.png")
    return folder


INSPECT = """
import sys
from pathlib import Path
from patchbank.cli.guard import guarded, open_standard_streams
from patchbank.cli.path_lists import Given
from patchbank.cli.predict import Outputs, inspect_paths
from tests.painted import detector
open_standard_streams()
def command():
    inspect_paths(detector(), [Given(Path(sys.argv[1]), False)], Outputs(to_json=sys.argv[2]))
    return 0
sys.exit(guarded(command))
"""


@pytest.mark.parametrize("target", ["-", "lines.json"])
def test_a_closed_pipe_ends_silently(many, tmp_path, target):
    target = target if target == "-" else str(tmp_path / target)
    command = [sys.executable, "-c", INSPECT, str(many), target]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.mark.parametrize("arguments", [["--version"], ["predict", "--help"], ["backbones"]])
def test_a_pipe_that_nobody_reads_ends_silently(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*PROGRAM, *arguments], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert done.stderr == b""
    assert done.returncode == 141


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_without_a_traceback(tmp_path, number, status):
    code = (
        "import sys, time\n"
        "from patchbank.cli.guard import guarded\n"
        "def command():\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
        "sys.exit(guarded(command))\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        out, err = process.communicate()
    assert (out, err) == (b"", b"")
    assert process.returncode == status


def test_streams_that_the_parent_closed_do_no_harm(tmp_path):
    """A file that is opened later must not become standard output."""
    target = tmp_path / "backbones.json"
    command = " ".join(f"'{part}'" for part in [*PROGRAM, "backbones", "--json", str(target)])
    done = subprocess.run(["sh", "-c", f"{command} <&- >&- 2>&-"], check=False)
    assert done.returncode == 0
    assert target.read_text().startswith("[\n")
    done = subprocess.run(
        ["sh", "-c", f"{' '.join(map(repr, PROGRAM))} info no >&- 2>&-"], check=False
    )
    assert done.returncode == 2


def test_patterns_are_expanded_only_where_shells_do_not(tmp_path, monkeypatch):
    for name in ("b.png", "a.png", "[c].png"):
        (tmp_path / name).write_bytes(b"")
    given = ["predict", f"{tmp_path}/*.png", "--out", "x", f"{tmp_path}/?.bmp"]
    assert expanded(given) == given
    monkeypatch.setattr("patchbank.cli.guard.os.name", "nt")
    names = [f"{tmp_path}/{name}" for name in ("[c].png", "a.png", "b.png")]
    assert expanded(given) == ["predict", *names, "--out", "x", f"{tmp_path}/?.bmp"]


def test_a_photograph_that_cannot_be_read_is_one_line(tmp_path, capsys):
    """It is logged too, which is not printed again."""
    (tmp_path / "a.png").write_bytes(b"no image")

    def command():
        inspect_paths(detector(), [Given(tmp_path / "a.png", False)], Outputs())
        return 1

    assert guarded(command) == 1
    out, err = capsys.readouterr()
    assert out == "0 good, 0 anomalous, 1 not readable\n"
    assert err.startswith(f"error: {tmp_path / 'a.png'}: expected a PNG, ")
    assert err.count("\n") == 1


def test_without_a_command_the_help_is_shown_and_the_use_is_wrong(capsys):
    assert guarded(lambda: run([])) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("Usage: patchbank [OPTIONS] COMMAND")
    assert "\n  predict " in err
    assert "error:" not in err


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        (["predict", "a.patchbank", ""], "the argument after a.patchbank"),
        (["predict", "a.patchbank", "b.png", "--out", ""], "the argument after --out"),
        (["predict", "a.patchbank", "b.png", "--sort-into="], "--sort-into"),
        (["fit", "", "--out", "a.patchbank"], "the argument after fit"),
        ([""], "the argument after patchbank"),
    ],
)
def test_an_empty_argument_is_not_the_working_directory(
    arguments, where, tmp_path, monkeypatch, capsys
):
    write(tmp_path / "b.png", photograph(20))
    monkeypatch.chdir(tmp_path)
    assert guarded(lambda: run(arguments)) == 2
    assert capsys.readouterr() == ("", f"error: {where}: expected a value, got an empty text\n")
    assert [path.name for path in tmp_path.iterdir()] == ["b.png"]
