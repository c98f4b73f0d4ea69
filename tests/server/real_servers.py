"""Real servers for tests, on free ports: PostgreSQL and Mosquitto from Debian, and a receiver.

Fixtures: `postgres_server` (one for a session), `postgres_url` (a new, empty database in it),
`mosquitto` (a broker of its own for each test, not encrypted), `mosquitto_tls`, and `receiver` (of
webhooks).  A test that
uses one is marked by ``postgres`` or ``mosquitto``; it is skipped where the program is absent.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

LONGEST_START_S = 30.0
SECRET = "correct-horse-battery"
"""Secret of webhooks."""


def newest_postgres() -> Path | None:
    """Folder with the programs of PostgreSQL's server, which Debian keeps out of the PATH."""
    found = shutil.which("initdb")
    folders = [Path(found).parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda f: int(f.parent.name))
    return next((f for f in reversed(folders) if (f / "initdb").exists()), None)


def mosquitto_program() -> str | None:
    """Path of the broker; Debian puts it where only root looks for programs."""
    return shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """A port on loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(is_true: Callable[[], object], what: str, longest_s: float = 30.0) -> None:
    """Wait for something that other processes or threads do; fails the test if it never comes."""
    end = time.monotonic() + longest_s
    while not is_true():
        assert time.monotonic() < end, f"{what}: expected within {longest_s} s, it never came"
        time.sleep(0.02)


def is_listening(port: int) -> bool:
    """Whether somebody takes connections at a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class PostgresServer:
    """PostgreSQL with data in a temporary folder; without a password, on loopback only."""

    def __init__(self, folder: Path) -> None:
        programs = newest_postgres()
        assert programs is not None
        self.programs, self.folder, self.port = programs, folder, free_port()
        self._numbers = count(1)
        self._run("initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--no-sync", "-D", ".")
        settings = (
            f"port = {self.port}\nlisten_addresses = '127.0.0.1'\n"
            "unix_socket_directories = ''\nfsync = off\nfull_page_writes = off\n"
        )
        with (folder / "postgresql.conf").open("a") as file:
            file.write(settings)

    def _run(self, program: str, *arguments: str) -> None:
        """Run a program of PostgreSQL, as another user for root, whom it refuses."""
        command = [str(self.programs / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        log = self.folder.parent / f"{self.folder.name}.log"
        with log.open("a") as output:
            done = subprocess.run(command, cwd=self.folder, stdout=output, stderr=output)
        assert done.returncode == 0, log.read_text()

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        self._run("pg_ctl", "-D", ".", "-w", "-t", "60", "-l", "server.log", "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: ``fast`` ends the connections, ``immediate`` is a crash."""
        self._run("pg_ctl", "-D", ".", "-w", "-m", mode, "stop")

    @property
    def is_running(self) -> bool:
        """Whether it takes connections."""
        return is_listening(self.port)

    def new_database(self, template: str = "template1") -> str:
        """URL of a new database, empty or a copy of another one, as SQLAlchemy takes it."""
        import psycopg

        if not self.is_running:  # a test before has stopped it
            self.start()
        name = f"test_{next(self._numbers)}"
        address = f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{name}"


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A server that runs, with its data in a temporary folder; both are gone afterwards."""
    parent = Path(tempfile.mkdtemp(prefix="patchbank-postgres-"))
    parent.chmod(0o755)
    folder = parent / "data"
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    server = PostgresServer(folder)
    server.start()
    try:
        yield server
    finally:
        if server.is_running:
            server.stop("immediate")
        shutil.rmtree(parent)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for all tests of a process."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """URL of a new database."""
    return postgres_server.new_database()


class Mosquitto:
    """A broker whose port and messages survive when it is stopped and started again."""

    def __init__(self, folder: Path, *, certificates: Certificates | None = None) -> None:
        self.folder, self.port = folder, free_port()
        self.certificates = certificates
        self._process: subprocess.Popen[bytes] | None = None
        lines = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            "persistence true",
            f"persistence_location {folder}/",
            "autosave_interval 1",
            "autosave_on_changes true",
            "max_queued_messages 0",
            *(["user root"] if os.geteuid() == 0 else []),
        ]
        if certificates is not None:
            lines += [
                f"cafile {certificates.authority}",
                f"certfile {certificates.certificate}",
                f"keyfile {certificates.key}",
            ]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    @property
    def url(self) -> str:
        """Address as `patchbank serve --mqtt` takes it."""
        scheme = "mqtt" if self.certificates is None else "mqtts"
        return f"{scheme}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        program = mosquitto_program()
        assert program is not None
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-c", str(self.folder / "mosquitto.conf")], stdout=log, stderr=log
            )
        wait_until(lambda: is_listening(self.port), "mosquitto", LONGEST_START_S)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Stop it as an operator does, or with `signal.SIGKILL` as a crash does."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait()
        self._process = None

    def close(self) -> None:
        """Stop it if it runs."""
        if self._process is not None:
            self.stop(signal.SIGKILL)


class Receiver:
    """A receiver of webhooks: the process of `receiver.py`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.say("ok")

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}/hook?plant=3"

    def say(self, mode: str) -> None:
        """Set how it answers."""
        (self.folder / "mode").write_text(mode)

    def start(self, secret: str = SECRET) -> None:
        """Start it, and wait until it takes connections."""
        script = Path(__file__).with_name("receiver.py")
        command = [sys.executable, str(script), str(self.port), str(self.folder), secret]
        self._process = subprocess.Popen(command)
        wait_until(lambda: is_listening(self.port), "the receiver")

    def kill(self) -> None:
        """Kill it if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def received(self) -> list[dict[str, Any]]:
        """Key and body of each message that it has accepted, in the order of their arrival."""
        path = self.folder / "received"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    def numbers(self) -> list[int]:
        """Serial numbers in the order of arrival, each key once."""
        by_key = {one["key"]: int(one["body"]["serial_number"]) for one in self.received()}
        return list(by_key.values())


@pytest.fixture
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """A running receiver of webhooks."""
    made = Receiver(tmp_path_factory.mktemp("receiver"))
    made.start()
    yield made
    made.kill()


class Certificates:
    """An authority of our own, and a certificate for 127.0.0.1 and localhost that it has signed."""

    def __init__(self, folder: Path) -> None:
        self.authority, self.certificate = folder / "ca.pem", folder / "server.pem"
        self.key = folder / "server.key"
        own_key, request, names = folder / "ca.key", folder / "server.csr", folder / "names"
        names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        for command in (
            f"req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=authority "
            f"-keyout {own_key} -out {self.authority}",
            f"req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout {self.key} -out {request}",
            f"x509 -req -in {request} -CA {self.authority} -CAkey {own_key} -CAcreateserial "
            f"-days 30 -extfile {names} -out {self.certificate}",
        ):
            subprocess.run(["openssl", *command.split()], check=True, capture_output=True)


@pytest.fixture
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """A running broker."""
    broker = Mosquitto(tmp_path_factory.mktemp("mosquitto"))
    broker.start()
    yield broker
    broker.close()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Files for TLS, made by openssl."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def mosquitto_tls(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Mosquitto]:
    """A running broker that takes encrypted connections only."""
    broker = Mosquitto(tmp_path_factory.mktemp("mosquitto"), certificates=certificates)
    broker.start()
    yield broker
    broker.close()
