"""Outages of what a service needs, while photographs come in: what is lost, and what is said.

    python benchmarks/quality/service_outages.py bolts.patchbank bolts/new --minutes 10

Clients send photographs all the time, several a second, each under a key of its own, and note every
inspection that is acknowledged.  Meanwhile

* ``receivers``: the MQTT broker and the receiver of webhooks are down (for --minutes);
* ``sqlite``: another program holds the database locked for 30 s;
* ``postgres``: PostgreSQL is stopped for 30 s;
* ``disk``: the disk of the data folder (a small tmpfs; needs root) is full for 30 s;
* ``clock``: the clock is set back by an hour, and forward again (libfaketime).

Afterwards every acknowledged inspection has to be on record with its photograph, no key may be
there twice, and each receiver has to have every inspection, in the order of each product.  Needs
Debian's packages postgresql, mosquitto and libfaketime.  Writes service_outages.json and .md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import PacketTypes, Properties

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parents[1])]
from tests.server.real_servers import SECRET, Mosquitto, Receiver, free_port, running_postgres
from tests.server.services import Running

from environment import write_results
from patchbank.images.folders import list_images

HERE = Path(__file__).parent
TRIALS = ("receivers", "sqlite", "postgres", "disk", "clock")
OUTAGE_S, BEFORE_S, AFTER_S = 30.0, 10.0, 30.0
N_CLIENTS, PAUSE_S = 3, 0.4
DISK_MB = 96
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1"
Result = dict[str, Any]


@dataclass
class Served:
    """A service in a process of its own."""

    file: Path
    data: Path
    options: Sequence[str] = ()
    variables: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        """Address of the service."""
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def running(self) -> Iterator[Running]:
        """Start it, and stop it as an operator does."""
        options = (*self.options, "--keep-good", "1")
        variables = {"PATCHBANK_WEBHOOK_SECRET": SECRET, **self.variables}
        with Running(self.data, self.file, *options, port=self.port, **variables) as service:
            yield service
            service.stop()

    def ready(self) -> tuple[bool, str]:
        """Whether it is ready, and what it says."""
        try:
            answer = httpx.get(f"{self.url}/ready", timeout=10)
        except httpx.HTTPError as error:
            return False, type(error).__name__
        return answer.status_code == 200, answer.text


class Load:
    """Clients that send photographs until they are stopped."""

    def __init__(self, served: Served, photographs: Sequence[bytes]) -> None:
        self.served, self.photographs = served, photographs
        self.acknowledged: dict[str, int] = {}
        self.statuses: dict[str, int] = {}
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(N_CLIENTS)]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Send all the time."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()

    def _run(self, number: int) -> None:
        with httpx.Client(timeout=60) as client:
            key = str(uuid.uuid4())
            while not self._stop.wait(PAUSE_S):
                content = self.photographs[number % len(self.photographs)]
                status, inspection = self._send(client, key, content)
                with self._lock:
                    self.statuses[status] = self.statuses.get(status, 0) + 1
                    if inspection is not None:
                        self.acknowledged[key] = inspection
                if inspection is not None:  # otherwise the same is sent again
                    key, number = str(uuid.uuid4()), number + 1

    def _send(self, client: httpx.Client, key: str, content: bytes) -> tuple[str, int | None]:
        try:
            answer = client.post(
                f"{self.served.url}/v1/inspections",
                content=content,
                headers={"Idempotency-Key": key, "Content-Type": "application/octet-stream"},
            )
        except httpx.HTTPError as error:
            return type(error).__name__, None
        if answer.is_success:
            return str(answer.status_code), int(answer.json()["id"])
        return str(answer.status_code), None


def on_record(service: Running, load: Load) -> Result:
    """What the records have of the acknowledged inspections."""
    found = {one["id"]: one["idempotency_key"] for one in service.on_record()}
    photographs = sum(
        service.http.get(f"/v1/inspections/{number}/photograph").status_code == 200
        for number in load.acknowledged.values()
    )
    keys = list(found.values())
    return {
        "acknowledged": len(load.acknowledged),
        "on_record": sum(found.get(n) == key for key, n in load.acknowledged.items()),
        "with_photograph": photographs,
        "keys_twice": len(keys) - len(set(keys)),
        "statuses": dict(sorted(load.statuses.items())),
        "ids": sorted(found),
    }


class Subscriber:
    """Receives from a broker, also what came while it was away."""

    def __init__(self, port: int) -> None:
        self.received: list[Result] = []
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id="outage", protocol=mqtt.MQTTv5
        )
        self._client.on_message = self._on_message
        self._client.on_connect = lambda client, *_: client.subscribe("patchbank/+/inspections", 1)
        lasting = Properties(PacketTypes.CONNECT)
        lasting.SessionExpiryInterval = 3600
        self._client.reconnect_delay_set(1, 2)
        self._client.connect("127.0.0.1", port, clean_start=False, properties=lasting)
        self._client.loop_start()

    def _on_message(self, client: Any, data: Any, message: mqtt.MQTTMessage) -> None:
        self.received.append(json.loads(message.payload))

    def close(self) -> None:
        """Stop."""
        self._client.loop_stop()


def delivered(ids: Sequence[int], received: Sequence[Result]) -> Result:
    """What a receiver has: all, in order, and how many twice."""
    wanted, first = set(ids), dict.fromkeys(one["id"] for one in received)
    order = [number for number in first if number in wanted]
    return {
        "missing": len(wanted - first.keys()),
        "twice": len(received) - len(first),
        "out_of_order": sum(b < a for a, b in pairwise(order)),
    }


def wait_until(is_true: Callable[[], object], longest_s: float) -> bool:
    """Wait for something; whether it came."""
    end = time.monotonic() + longest_s
    while not is_true():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


class Trials:
    """Each trial in a folder of its own."""

    def __init__(self, file: Path, photographs: Sequence[bytes], minutes: float) -> None:
        self.file, self.photographs, self.minutes = file, photographs, minutes
        self.folder = Path(tempfile.mkdtemp(prefix="patchbank-outages-"))
        self.folder.chmod(0o755)

    def during(
        self, served: Served, begin: Callable[[], None], end: Callable[[], None], outage_s: float
    ) -> Result:
        """Load before, during and after an outage, and what came of it."""
        load, said = Load(served, self.photographs), set[str]()
        with served.running() as service:
            with load.running():
                time.sleep(BEFORE_S)
                before = len(load.acknowledged)
                begin()
                stop = time.monotonic() + outage_s
                while time.monotonic() < stop:
                    said.add(served.ready()[1][:300])
                    time.sleep(2)
                meanwhile = len(load.acknowledged) - before
                end()
                back = time.monotonic()
                came_back = wait_until(lambda: served.ready()[0], 60)
                back_s = time.monotonic() - back
                at_once = len(load.acknowledged)
                time.sleep(AFTER_S)
                again = len(load.acknowledged) - at_once
            result = on_record(service, load)
        return {
            "outage_s": outage_s,
            "acknowledged_meanwhile": meanwhile,
            "acknowledged_afterwards": again,
            "ready_again_s": round(back_s, 1) if came_back else None,
            "ready_said": sorted(said),
            **result,
        }

    def receivers(self) -> Result:
        """Broker and webhook down."""
        folder = self.folder / "receivers"
        folder.mkdir()
        broker, receiver = Mosquitto(folder), Receiver(folder)
        broker.start()
        receiver.start()
        subscriber = Subscriber(broker.port)
        channels = ["--channel", f"mqtt:mqtt://127.0.0.1:{broker.port}"]
        channels += ["--channel", f"webhook:{receiver.url}"]

        def down() -> None:
            broker.stop()
            receiver.kill()

        def up() -> None:
            broker.start()
            receiver.start()

        served = Served(self.file, folder / "data", channels)
        result = self.during(served, down, up, 60 * self.minutes)

        def posted() -> list[Result]:
            return [one["body"] for one in receiver.received()]

        with served.running():  # what is left goes out now
            wait_until(lambda: len({o["id"] for o in posted()}) >= len(result["ids"]), 120)
            wait_until(
                lambda: len({o["id"] for o in subscriber.received}) >= len(result["ids"]), 60
            )
        result["mqtt"] = delivered(result["ids"], subscriber.received)
        result["webhook"] = delivered(result["ids"], posted())
        subscriber.close()
        receiver.kill()
        broker.close()
        return result

    def sqlite(self) -> Result:
        """The database is locked by another program."""
        served = Served(self.file, self.folder / "sqlite")
        held: list[sqlite3.Connection] = []

        def lock() -> None:
            path = next(served.data.glob("*.sqlite"))
            connection = sqlite3.connect(path, timeout=30, isolation_level=None)
            connection.execute("BEGIN IMMEDIATE")
            held.append(connection)

        def unlock() -> None:
            held[0].execute("ROLLBACK")
            held[0].close()

        # SQLite lets a connection be closed by the thread that made it alone: it is this one.
        return self.during(served, lock, unlock, OUTAGE_S)

    def postgres(self) -> Result:
        """PostgreSQL is stopped."""
        with running_postgres() as server:
            options = ["--database", server.new_database()]
            served = Served(self.file, self.folder / "postgres", options)
            return self.during(served, lambda: server.stop("immediate"), server.start, OUTAGE_S)

    def disk(self) -> Result:
        """The disk of the data folder is full."""
        data = self.folder / "disk"
        data.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(data)]
        subprocess.run(mount, check=True)
        ballast = data / "ballast"

        def fill() -> None:
            with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(b"\0" * 65536)

        try:
            served = Served(self.file, data / "data")
            return self.during(served, fill, ballast.unlink, OUTAGE_S)
        finally:
            subprocess.run(["umount", "-l", str(data)], check=False)

    def clock(self) -> Result:
        """The clock is set back by an hour, and forward again."""
        offset = self.folder / "offset"
        offset.write_text("+0")
        variables = {
            "LD_PRELOAD": FAKETIME,
            "FAKETIME_TIMESTAMP_FILE": str(offset),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        served = Served(self.file, self.folder / "clock", variables=variables)
        return self.during(
            served,
            lambda: offset.write_text("-3600") and None,
            lambda: offset.write_text("+0") and None,
            OUTAGE_S,
        )


def main() -> None:
    """Run the trials that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("detector", type=Path)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--minutes", type=float, default=10, help="receivers are down")
    parser.add_argument("--trials", nargs="+", choices=TRIALS, default=list(TRIALS))
    options = parser.parse_args()
    photographs = [Path(path).read_bytes() for path in list_images(options.photographs)[:40]]
    trials = Trials(options.detector.resolve(), photographs, options.minutes)
    path = HERE / "service_outages.json"
    results: Result = json.loads(path.read_text())["results"] if path.exists() else {}
    for name in options.trials:
        found = getattr(trials, name)()
        found["n_on_record"] = len(found.pop("ids"))
        results[name] = found
        print(name, found, flush=True)
        question = "What is lost, and what is said, while something that it needs is away?"
        settings = {"minutes": options.minutes, "clients": N_CLIENTS, "pause_s": PAUSE_S}
        write_results(path, question, settings, results, page)
    shutil.rmtree(trials.folder, ignore_errors=True)


def page(written: Result) -> str:
    """The results as a table, and what the service said."""
    names = ["outage_s", "acknowledged", "on_record", "with_photograph", "keys_twice"]
    names += ["acknowledged_meanwhile", "acknowledged_afterwards", "ready_again_s"]
    titles = " | ".join(["", *(name.replace("_", " ") for name in names), "mqtt", "webhook"])
    lines = ["# Outages around a service", "", f"`{written['command']}`", "", f"|{titles} |"]
    lines.append("|---|" + "--:|" * len(names) + "---|---|")
    for trial, found in written["results"].items():
        cells = [trial, *(str(found[name]) for name in names)]
        cells += [_words(found.get(each)) for each in ("mqtt", "webhook")]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "What `/ready` said meanwhile, and the answers of all requests:", ""]
    for trial, found in written["results"].items():
        counts = ", ".join(f"{n} x {status}" for status, n in found["statuses"].items())
        lines += [f"* {trial} ({counts}):", *(f"  `{text}`" for text in found["ready_said"])]
    machine = written["environment"]
    lines += ["", f"{machine['processor']}, {machine['cores']} cores"]
    return "\n".join(lines) + "\n"


def _words(found: Result | None) -> str:
    if found is None:
        return ""
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in found.items())


if __name__ == "__main__":
    main()
