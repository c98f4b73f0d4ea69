"""Exit statuses: each means one thing, whatever the command."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit statuses of all commands."""

    DONE = 0
    INCOMPLETE = 1
    WRONG = 2
    ANOMALY = 3
    DEFECT_LOST = 4
    UNFORESEEN = 70
    INTERRUPTED = 130
    CLOSED_PIPE = 141
    TERMINATED = 143


MEANINGS = {
    Exit.DONE: "done: everything was read, and with --fail-on-anomaly everything is good; or serve "
    "was stopped, and all that it had accepted is on record",
    Exit.INCOMPLETE: "done, but some photographs were not read or not sorted, some runs of a "
    "benchmark failed, check had findings, records verify found a fault, or drift found a change "
    "or lines that it could not use; or serve was stopped, and not all that it had accepted is on "
    "record",
    Exit.WRONG: "wrong use, data or file; one line says what was expected. Also where verify finds "
    "that an export gives something else",
    Exit.ANOMALY: "an anomaly was found and --fail-on-anomaly given, or a verdict differs and "
    "--fail-on-change given, whether or not all was read",
    Exit.DEFECT_LOST: "an update was refused, as it would lose defects that were found before",
    Exit.UNFORESEEN: "a fault of the program; one line names the log file to report",
    Exit.INTERRUPTED: "stopped by Ctrl-C; serve, once it was ready, ends with 0 or 1",
    Exit.CLOSED_PIPE: "the reader of the output closed it early, as `head` does: no error",
    Exit.TERMINATED: "stopped by SIGTERM; serve, once it was ready, ends with 0 or 1",
}
EPILOG = "Exit status: " + "; ".join(f"{int(s)} {text}" for s, text in MEANINGS.items()) + "."


def status_of(*, anomalous: int, unread: int, fail_on_anomaly: bool) -> Exit:
    """Status of an inspection: an anomaly that was asked about stands above an unread photograph.

    >>> status_of(anomalous=1, unread=1, fail_on_anomaly=True)
    <Exit.ANOMALY: 3>
    >>> status_of(anomalous=1, unread=1, fail_on_anomaly=False)
    <Exit.INCOMPLETE: 1>
    """
    if fail_on_anomaly and anomalous:
        return Exit.ANOMALY
    return Exit.INCOMPLETE if unread else Exit.DONE
