"""One run in a process of its own: a JSON job on standard input, a JSON row on standard output.

python -m patchbank.benchmark.worker
"""

from __future__ import annotations

from typing import Any

from patchbank.runtime.worker_job import answer_job


def _row(job: dict[str, Any]) -> dict[str, Any]:
    from patchbank.benchmark.measure import measure  # noqa: PLC0415

    return measure(job)


def main() -> None:
    """Execute the job; errors of data or settings are answered in one line."""
    answer_job(_row)


if __name__ == "__main__":
    main()
