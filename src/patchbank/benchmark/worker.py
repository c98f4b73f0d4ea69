"""One run in a process of its own: a JSON job on standard input, a JSON row on standard output.

    python -m patchbank.benchmark.worker

Standard input stays open: when it closes, the parent is gone, and so is this process.
"""

from __future__ import annotations

import json
import os
from typing import Any

from patchbank.errors import PatchbankError
from patchbank.runtime.child import end_with_parent, first_line
from patchbank.runtime.process import end_beyond, hold_to


def main() -> None:
    """Execute the job; errors of data or settings are answered in one line."""
    job = json.loads(first_line())
    end_with_parent()
    if job["memory_bytes"] is not None:
        end_beyond(job["memory_bytes"])
    hold_to(job["cores"])
    answers = os.dup(1)
    os.dup2(2, 1)  # libraries may print; the row must stay alone on its stream
    with os.fdopen(answers, "w", encoding="utf-8") as out:
        json.dump(_answer(job), out)


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    # heavy imports, only after the cores are chosen
    from patchbank.benchmark.measure import measure  # noqa: PLC0415

    try:
        return {"row": measure(job)}
    except PatchbankError as error:
        return {"error": str(error)}
    except MemoryError as error:
        return {"error": f"expected enough memory, got: {error or 'none left'}"}


if __name__ == "__main__":
    main()
