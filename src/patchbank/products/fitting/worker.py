"""The fit of one product in a process of its own, as `runtime.worker_pool` runs it.

python -m patchbank.products.fitting.worker
"""

from __future__ import annotations

from typing import Any

from patchbank.runtime.worker_job import answer_job


def _row(job: dict[str, Any]) -> dict[str, Any]:
    from patchbank.products.fitting.work import Work, done  # noqa: PLC0415
    from patchbank.runtime.memory import hold_to_memory  # noqa: PLC0415

    hold_to_memory(job["share_bytes"])
    return done(Work.from_json(job["work"]))


def main() -> None:
    """Fit the product; errors of photographs or settings are answered in one line."""
    answer_job(_row)


if __name__ == "__main__":
    main()
