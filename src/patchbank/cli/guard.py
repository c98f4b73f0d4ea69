"""Surroundings of a command: whatever happens ends in one line and a status, never in a traceback.

run a command ──> status        done, or a status that the command chose
    ├── PatchbankError, OSError, MemoryError, wrong use   one line, status 2
    ├── GuardError                                        one line, status 4
    ├── closed pipe, Ctrl-C, SIGTERM                      silence, status 141, 130, 143
    └── anything else, in any thread                      one line, a log file, status 70
"""

from __future__ import annotations

import io
import os
import platform
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

import typer

from patchbank.cli import output
from patchbank.cli.statuses import Exit
from patchbank.errors import GuardError, ParameterError, PatchbankError
from patchbank.runtime.printable import one_line

WrongUse: type[Exception] = typer.BadParameter.__mro__[1]
"""Base of what typer raises for arguments that it cannot parse; it has no public name."""


class Terminated(BaseException):
    """SIGTERM came."""


def guarded(command: Callable[[], int]) -> int:
    """Call a command, print what stopped it in one line, and return the exit status."""
    thread_errors: list[BaseException] = []

    def keep(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            thread_errors.append(args.exc_value)

    before, threading.excepthook = threading.excepthook, keep
    try:
        with _sigterm_as_exception(), output.warnings_as_notes():
            status = command()
            sys.stdout.flush()
    except SystemExit:
        raise
    except BaseException as error:
        status = _end(error)
    finally:
        threading.excepthook = before
    for thread_error in thread_errors:
        status = status or _end(thread_error)
    _empty_streams()
    return status


def _end(error: BaseException) -> int:
    status, line = _status_and_line(error)
    if line is not None:
        with suppress(OSError):  # standard error may be closed or full too
            output.error(line)
    return status


def _status_and_line(error: BaseException) -> tuple[int, str | None]:
    """Exit status after an error, and the line that is printed, if one is."""
    if isinstance(error, typer.Exit):
        return error.exit_code, None
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return Exit.INTERRUPTED, None
    if isinstance(error, Terminated):
        return Exit.TERMINATED, None
    if isinstance(error, BrokenPipeError):
        return Exit.CLOSED_PIPE, None
    if isinstance(error, WrongUse):
        return Exit.WRONG, _wrong_use(error)
    if isinstance(error, GuardError):
        return Exit.DEFECT_LOST, str(error)
    if isinstance(error, PatchbankError):
        return Exit.WRONG, str(error)
    if isinstance(error, OSError):
        text = f"expected a disk and files that can be read and written, got: {error}"
        return Exit.WRONG, text
    if isinstance(error, MemoryError):
        left = one_line(str(error)) or "none left"
        return Exit.WRONG, f"expected enough memory, got: {left}; use a smaller image_size"
    return Exit.UNFORESEEN, (
        f"{type(error).__name__}: {one_line(str(error))}; this is a fault of patchbank, "
        f"please report it with {_write_log(error)}"
    )


def _wrong_use(error: Exception) -> str:
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "patchbank"
    return f"{one_line(text).rstrip('.')}; see {command} --help"


def _write_log(error: BaseException) -> str:
    """Write all that a report needs to a file, and return its path."""
    try:
        from patchbank.runtime.machine import versions

        known = versions()
    except Exception:  # the fault may be in what this imports
        known = {}
    facts = [
        f"arguments: {sys.argv!r}",
        f"versions: {known}, Python {platform.python_version()}, {platform.platform()}",
        "".join(traceback.format_exception(error)),
    ]
    try:
        handle, path = tempfile.mkstemp(prefix="patchbank-", suffix=".log")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write("\n".join(facts))
    except OSError as cause:
        return f"this line, as no log file can be written: {cause.strerror}"
    return path


@contextmanager
def _sigterm_as_exception() -> Iterator[None]:
    """Let SIGTERM leave through the contexts that remove unfinished files and end workers."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    is_ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )
    if is_ours:
        signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if is_ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def open_standard_streams() -> None:
    """Give the process the three standard streams, also where its parent closed some.

    Without that, the next file that is opened would get the number of a standard stream, and what a
    library prints would be written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the smallest free number, which is this one
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            stream = io.FileIO(number, "w", closefd=False)
            setattr(sys, name, io.TextIOWrapper(io.BufferedWriter(stream), encoding="utf-8"))
    for text in (sys.stdout, sys.stderr):
        if isinstance(text, io.TextIOWrapper):
            text.reconfigure(errors="backslashreplace")  # not every stream can write every name


def expanded(arguments: Sequence[str]) -> list[str]:
    """Replace patterns by the names that match them on Windows, whose shells do not."""
    if os.name != "nt":
        return list(arguments)
    from glob import glob

    found: list[str] = []
    for argument in arguments:
        is_pattern = any(letter in argument for letter in "*?")
        found += (sorted(glob(argument)) if is_pattern else []) or [argument]
    return found


def refuse_empty(arguments: Sequence[str]) -> None:
    """Refuse an argument without text, which as a path would be the working directory.

    Raises:
        ParameterError: there is one, such as ``"$PHOTO"`` in a script where it is not set.
    """
    for before, argument in zip(["patchbank", *arguments], arguments, strict=False):
        name, sign, value = argument.partition("=")
        if not argument or (name.startswith("--") and sign and not value):
            where = name if sign else f"the argument after {before}"
            raise ParameterError(f"{where}: expected a value, got an empty text")


def _empty_streams() -> None:
    """Flush the streams, or send what they hold to nowhere: Python would complain when it exits."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
