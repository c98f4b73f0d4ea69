"""The command line, run in this process."""

import pytest

from patchbank.cli.app import main


def status_of(*arguments):
    """Run `patchbank` with these arguments.  -> exit status."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["patchbank", *map(str, arguments)])
        try:
            main()
        except SystemExit as stop:
            return int(stop.code or 0)
        return 0


def run(capsys, *arguments):
    """Run `patchbank`.  -> exit status, standard output, standard error."""
    status = status_of(*arguments)
    captured = capsys.readouterr()
    return status, captured.out, captured.err
