"""Clients of the service in a process of their own, which reads what to do from its input.

    python benchmarks/speed/service_clients.py < job.json

A job has the address, files of photographs, the number of clients, seconds, and whether each
inspection has a key.  The answer is one JSON object: statuses, times, and the numbers and keys of
what was acknowledged.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

LONGEST_ANSWER_S = 120.0


class Client(threading.Thread):
    """Sends one photograph after the other over one connection."""

    def __init__(self, job: dict[str, Any], number: int, contents: list[bytes], end: float) -> None:
        super().__init__()
        self._job, self._number, self._contents, self._end = job, number, contents, end
        self.statuses: Counter[str] = Counter()
        self.times_s: list[float] = []
        self.acknowledged: list[tuple[int, str]] = []

    def run(self) -> None:
        """Send until the end."""
        connection = self._connected()
        at = self._number
        while time.monotonic() < self._end:
            content = self._contents[at % len(self._contents)]
            key = f"{self._job['label']}/{self._number}/{at}"
            begin = time.monotonic()
            try:
                headers = {"Idempotency-Key": key} if self._job["keys"] else {}
                connection.request("POST", "/v1/inspections", content, headers)
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException) as error:
                self.statuses[type(error).__name__] += 1
                connection.close()
                if not self._job["keeps_on"]:
                    return
                time.sleep(0.05)
                connection = self._connected()
                continue
            self.statuses[str(response.status)] += 1
            if response.status == 200:
                self.times_s.append(time.monotonic() - begin)
                self.acknowledged.append((json.loads(body)["id"], key))
                at += self._job["clients"]
            else:
                left = self._end - time.monotonic()
                wait_s = float(response.headers.get("Retry-After", 0))
                time.sleep(max(min(wait_s, left), 0))
        connection.close()

    def _connected(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._job["port"], timeout=LONGEST_ANSWER_S)


def main() -> None:
    """Do one job."""
    job = json.load(sys.stdin)
    contents = [Path(file).read_bytes() for file in job["files"]]
    begin = time.monotonic()
    end = begin + job["seconds"]
    threads = [Client(job, number, contents, end) for number in range(job["clients"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(job["seconds"] + LONGEST_ANSWER_S)
    span_s = time.monotonic() - begin
    statuses: Counter[str] = Counter()
    for thread in threads:
        statuses.update(thread.statuses)
    json.dump(
        {
            "statuses": statuses,
            "times_s": [one for thread in threads for one in thread.times_s],
            "acknowledged": [one for thread in threads for one in thread.acknowledged],
            "span_s": span_s,
            "hanging": sum(thread.is_alive() for thread in threads),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
