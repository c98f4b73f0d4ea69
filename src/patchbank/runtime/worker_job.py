"""The job of a worker process that a `worker_pool.Pool` has started.

Nothing heavy is imported here: this runs before the libraries that count the cores.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from patchbank.errors import PatchbankError
from patchbank.runtime.child import end_with_parent, first_line
from patchbank.runtime.process import end_beyond, hold_to


def answer_job(do: Callable[[dict[str, Any]], Any]) -> None:
    """Do the job on standard input, and write its row, or an error in one line, as JSON.

    Standard input stays open: when it closes, the parent is gone, and so is this process.

    Args:
        do: (job) -> row; it imports what is heavy, as the cores are chosen by then.
    """
    job = json.loads(first_line())
    end_with_parent()
    if job.get("memory_bytes") is not None:
        end_beyond(job["memory_bytes"])
    hold_to(job["cores"])
    answers = os.dup(1)
    os.dup2(2, 1)  # libraries may print; the answer must stay alone on its stream
    with os.fdopen(answers, "w", encoding="utf-8") as out:
        json.dump(_answer(do, job), out)


def _answer(do: Callable[[dict[str, Any]], Any], job: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"row": do(job)}
    except PatchbankError as error:
        return {"error": str(error)}
    except MemoryError as error:
        return {"error": f"expected enough memory, got: {error or 'none left'}"}
