"""The fit of one product in a process of its own, as `runtime.worker_pool` runs it.

    python -m patchbank.products.fitting.worker

Standard input stays open: when it closes, the parent is gone, and so is this process.
"""

from __future__ import annotations

import json
import os
from typing import Any

from patchbank.errors import PatchbankError
from patchbank.runtime.child import end_with_parent, first_line
from patchbank.runtime.process import hold_to


def main() -> None:
    """Do the work; errors of photographs or settings are answered in one line."""
    job = json.loads(first_line())
    end_with_parent()
    hold_to(job["cores"])
    answers = os.dup(1)
    os.dup2(2, 1)  # libraries may print; the answer must stay alone on its stream
    with os.fdopen(answers, "w", encoding="utf-8") as out:
        json.dump(_answer(job), out)


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    # heavy imports, only after the cores are chosen
    from patchbank.products.fitting.work import Work, done  # noqa: PLC0415
    from patchbank.runtime.memory import hold_to_memory  # noqa: PLC0415

    hold_to_memory(job["share_bytes"])
    try:
        return {"row": done(Work.from_json(job["work"]))}
    except PatchbankError as error:
        return {"error": str(error)}
    except MemoryError as error:
        return {"error": f"expected enough memory, got: {error or 'none left'}"}


if __name__ == "__main__":
    main()
