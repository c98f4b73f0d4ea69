"""A real service: `patchbank serve` as a process of its own, and a detector for it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import httpx

from patchbank.server.records.data_folder import DataFolder
from patchbank.server.records.store import Records
from tests.photographs import part, save

RUN = "from patchbank.cli.app import main; main()"
READY = re.compile(r"ready: (https?://\S+),")
START_S = 60.0


def command(*arguments) -> list[str]:
    """The command line of `patchbank`."""
    return [sys.executable, "-c", RUN, *map(str, arguments)]


def run(*arguments, **options) -> subprocess.CompletedProcess:
    """Run `patchbank` in a process of its own."""
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=120,
        env=_environment(),
        **options,
    )


def _environment() -> dict[str, str]:
    """The variables of this process, but modules are compiled once and not in each process."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def png(seed=100, *, defect=0, size=None) -> bytes:
    """The bytes of a PNG file of a part."""
    import io

    from PIL import Image

    stream = io.BytesIO()
    options = {} if size is None else {"size": size}
    Image.fromarray(part(seed, defect=defect, **options)).save(stream, "PNG")
    return stream.getvalue()


def fit_detector(folder: Path) -> Path:
    """Fit a small detector on synthetic parts.  -> its file."""
    for seed in range(8):
        save(folder / "good" / f"{seed}.png", part(seed))
    file = folder / "parts.patchbank"
    done = run(
        "fit",
        folder / "good",
        "--out",
        file,
        "--preset",
        "fast",
        "--image-size",
        64,
        "--false-alarm-rate",
        0.1,
    )
    assert done.returncode == 0, done.stderr
    return file


class Running:
    """A service that runs, and how it is asked."""

    def __init__(
        self,
        data: Path,
        *arguments,
        port: int = 0,
        cwd: Path | None = None,
        start_s: float = START_S,
        **environment,
    ) -> None:
        self.data, self.lines = data, []
        self.url = ""
        self._has_started = threading.Event()
        self.process = subprocess.Popen(
            command("serve", *arguments, "--data", data, "--port", port),
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env=_environment() | environment,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        _declared()  # imported now, not in the middle of what a test times
        self._has_started.wait(start_s)
        assert self.url, self.log
        self.port = int(self.url.rpartition(":")[2])
        self.http = httpx.Client(
            base_url=self.url,
            timeout=60,
            verify=False,
            event_hooks={"response": [check_declared]},
        )

    def _read(self) -> None:
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))
            found = READY.search(line)
            if found:
                self.url = found[1]
                self._has_started.set()
        self._has_started.set()  # it has ended

    @property
    def log(self) -> str:
        """All lines so far."""
        return "\n".join(self.lines)

    def inspect(self, content: bytes, name: str = "part.png", **fields):
        """Send a photograph as a form.  -> the response."""
        headers = fields.pop("headers", {})
        return self.http.post(
            "/v1/inspections", files={"image": (name, content)}, data=fields, headers=headers
        )

    def on_record(self) -> list[dict]:
        """All inspections, oldest first."""
        found, cursor = [], None
        while True:
            query = {"limit": 1000, **({"cursor": cursor} if cursor else {})}
            page = self.http.get("/v1/inspections", params=query).json()
            found += page["inspections"]
            cursor = page["cursor"]
            if cursor is None:
                return found[::-1]

    def stop(self) -> int:
        """Stop it as a service manager does.  -> its exit status."""
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(60)
        self._reader.join(10)
        return status

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_) -> None:
        self.kill()

    def kill(self) -> None:
        """End it as a crash does, if it runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(60)
        self._reader.join(10)
        self.process.stderr.close()
        self.http.close()


@cache
def _declared() -> list[tuple[str, re.Pattern[str], set[int]]]:
    """Method, path and declared statuses of each route; none of a page, which is in no document."""
    from starlette.routing import compile_path

    from patchbank.server.pages.specs import SPECS
    from patchbank.server.service.document import responses

    found = []
    for spec in SPECS:
        path = f"{spec.path.removesuffix('}')}:path}}" if spec.has_slashes else spec.path
        statuses = {int(one) for one in responses(spec)} if spec.failed is None else set()
        found.append((spec.method, compile_path(path)[0], statuses))
    return found


def check_declared(response: httpx.Response) -> None:
    """Check that the document has the status of an answer, whatever a test asks for."""
    request = response.request
    for method, path, statuses in _declared():
        if method == request.method and path.match(request.url.path):
            where = f"{method} {request.url.path}"
            assert not statuses or response.status_code in statuses, where
            return


def make_token(data: Path, name: str, role: str, *options) -> str:
    """Make a token.  -> its secret."""
    with records_of(data) as records:
        return records.add_token(name, role, *options)


@contextmanager
def records_of(data: Path) -> Iterator[Records]:
    """The records of a data folder, while no service need run."""
    folder = DataFolder(data)
    folder.make()
    records = Records.open(folder.url, instance=folder.instance())
    try:
        yield records
    finally:
        records.close()


def bearer(secret: str) -> dict[str, str]:
    """The header of a token."""
    return {"Authorization": f"Bearer {secret}"}


def check_error(response: httpx.Response, status: int, code: str | None = None) -> dict:
    """Check the one shape of errors.  -> its content."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    content = json.loads(response.content)
    assert content.keys() == {"error"}
    error = content["error"]
    assert error["status"] == status
    assert isinstance(error["message"], str)
    assert "\n" not in error["message"]
    if code is not None:
        assert error["code"] == code, error
    return error
