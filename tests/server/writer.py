"""A process that records inspections until it is killed, and says which were acknowledged.

    python -m tests.server.writer URL SEED GROUP [GROUPS]

Each acknowledged group is a line on standard output: number and key of each inspection.
"""

from __future__ import annotations

import sys
from itertools import count

from patchbank.server.records.store import Records
from tests.server.samples import inspection


def main(url: str, seed: str, group: str, groups: str | None = None) -> None:
    """Record groups of inspections, without an end if none is given; some keys come twice."""
    records = Records.open(url, instance=f"writer-{seed}")
    numbers = count()
    for _ in count() if groups is None else range(int(groups)):
        new = []
        for number in (next(numbers) for _ in range(int(group))):
            key = f"{seed}-{number - number % 3 % 2}"
            at = int(key.partition("-")[2])
            new.append(inspection(at, verdict="anomalous", idempotency_key=key))
        answers = records.add(new, ["c"])
        pairs = (f"{a.inspection.id}={a.inspection.idempotency_key}" for a in answers)
        sys.stdout.write(" ".join(pairs) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
