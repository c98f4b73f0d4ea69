"""A process that records inspections until it is killed, and says which were acknowledged.

    python -m tests.server.writer URL SEED GROUP

Each acknowledged group is a line on standard output: number and key of each inspection.
"""

from __future__ import annotations

import sys
from itertools import count

from patchbank.server.records.store import Records
from tests.server.samples import inspection


def main(url: str, seed: str, group: str) -> None:
    """Record groups of inspections; every third key comes a second time."""
    records = Records.open(url, instance=f"writer-{seed}")
    numbers = count()
    while True:
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
