"""Send damaged and hostile requests: each is answered in one shape, and nothing else happens.

    python benchmarks/quality/fuzz_requests.py --detector FILE [--requests 10000]

Seeded requests over a real service with tokens: truncated and altered photographs (of
`tests/image_mutations.py`), decompression bombs, huge and lying lengths, wrong types, broken forms
and JSON, paths that try to leave, unknown routes and methods, missing, wrong, expired and
foreign-role tokens, and bytes that are no HTTP.  Checked after each: the status is one that the
kind of request may have, an error has the shape of all errors, and at the end: the service is
ready, and no file was written outside --data.  Writes fuzz_requests.json and .md next to this
file; exit status 1 if something is not as it should be.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import socket
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]


from tests.image_mutations import mutated
from tests.server.services import Running, records_of

from environment import environment
from patchbank.server.service.app import SPECS

HERE = Path(__file__).parent
ROLES = ("operator", "engineer", "admin")
TRICKS = (
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "/etc/passwd",
    "....//....//etc/passwd",
    "..\\..\\windows\\win.ini",
    "a%00.png",
    "\0",
    "file:///etc/passwd",
    "~root/.ssh/id_rsa",
    "con",
    "*" * 5000,
)
HALF = ("no HTTP", "length")
"""Kinds that may be half a request, for whose rest the service would wait."""
LONGEST_ANSWER_S = 60.0
ANY = frozenset({400, 401, 403, 404, 405, 409, 410, 411, 413, 415, 422, 429, 501, 503})


class Sent(NamedTuple):
    """A request as bytes, and the statuses that it may have."""

    kind: str
    content: bytes
    allowed: frozenset[int]


class Maker:
    """Makes requests of all kinds."""

    def __init__(self, tokens: dict[str, str], port: int) -> None:
        self._tokens, self._port = tokens, port
        self._kinds: tuple[Callable[[random.Random], Sent], ...] = (
            self.photograph,
            self.form,
            self.json_paths,
            self.bomb,
            self.lengths,
            self.tricks,
            self.tokens,
            self.routes,
            self.queries,
            self.bodies,
            self.garbage,
        )

    def make(self, seed: int) -> Sent:
        """The request of a seed."""
        rng = random.Random(seed)
        return rng.choice(self._kinds)(rng)

    def _http(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        role: str | None = "admin",
    ) -> bytes:
        own = {"Host": f"127.0.0.1:{self._port}", "Connection": "close"}
        if role is not None:
            own["Authorization"] = f"Bearer {self._tokens[role]}"
        own |= {"Content-Length": str(len(body))} if body or method != "GET" else {}
        own |= headers or {}
        head = "".join(f"{name}: {value}\r\n" for name, value in own.items())
        start = f"{method} {path} HTTP/1.1\r\n{head}\r\n"
        return start.encode("latin-1", "replace") + body

    def photograph(self, rng: random.Random) -> Sent:
        """A damaged photograph as a body: read, or recorded as unread."""
        kind, content = mutated(rng.randrange(2**31))
        headers = {"Content-Type": f"image/{kind.lower()}"}
        return Sent(
            "photograph",
            self._http("POST", "/v1/inspections", content, headers),
            frozenset({200, 422, 429}),
        )

    def form(self, rng: random.Random) -> Sent:
        """A form that is cut, has other names, or another boundary."""
        _, content = mutated(rng.randrange(2**31))
        name = rng.choice(("image", "image", "picture", "", "lot", 'image"; x="'))
        file = rng.choice(('; filename="a.png"', '; filename="../../x.png"', "", '; filename=""'))
        lot = "L" * rng.choice((1, 200, 201, 9000))
        extra = f'--b\r\nContent-Disposition: form-data; name="lot"\r\n\r\n{lot}\r\n'
        body = (
            f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
            + content
            + b"\r\n"
            + extra.encode() * rng.randrange(3)
            + b"--b--\r\n"
        )
        if rng.random() < 0.5:
            body = body[: rng.randrange(len(body))]
        boundary = rng.choice(("b", "b", "b", "other", "", "b" * 5000))
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return Sent("form", self._http("POST", "/v1/inspections", body, headers), ANY | {200})

    def json_paths(self, rng: random.Random) -> Sent:
        """Paths, or JSON that is none of the expected."""
        content = rng.choice(
            (
                {"paths": [rng.choice(TRICKS)]},
                {"paths": rng.choice((7, None, {}, [[]], ""))},
                {"paths": ["a.png"] * 5000},
                [],
                None,
                {"paths": [], "x": 1},
            )
        )
        body = json.dumps(content).encode()
        if rng.random() < 0.3:
            body = b"[" * rng.choice((1, 100, 100_000)) + body
        headers = {"Content-Type": "application/json"}
        return Sent("json", self._http("POST", "/v1/inspections", body, headers), ANY)

    def bomb(self, rng: random.Random) -> Sent:
        """A PNG file of a few bytes that states or unpacks to very many pixels."""
        side = rng.choice((20_000, 65_535, 2**31 - 1, 0))
        rows = zlib.compress(b"\0" * 5_000_000)

        def chunk(kind: bytes, data: bytes) -> bytes:
            check = zlib.crc32(kind + data).to_bytes(4, "big")
            return len(data).to_bytes(4, "big") + kind + data + check

        header = side.to_bytes(4, "big") * 2 + bytes([8, rng.choice((0, 2, 6)), 0, 0, 0])
        content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows)
        content += chunk(b"IEND", b"")
        return Sent("bomb", self._http("POST", "/v1/inspections", content), frozenset({422, 429}))

    def lengths(self, rng: random.Random) -> Sent:
        """A length that lies, is huge, or is no number."""
        length = rng.choice(("99999999999999999999", "-1", "x", "1e3", "70000000000", " 5 5", "3"))
        headers = {"Content-Length": length}
        if rng.random() < 0.3:
            headers["Transfer-Encoding"] = "chunked"
        path = rng.choice(("/v1/inspections", "/v1/products/parts/tune", "/v1/tokens"))
        return Sent("length", self._http("POST", path, b"abc", headers), ANY)

    def tricks(self, rng: random.Random) -> Sent:
        """Paths in the address."""
        trick = rng.choice(TRICKS).replace("\0", "%00").replace("\\", "%5c")
        base = rng.choice(
            (
                "/v1/inspections/{}",
                "/v1/inspections/{}/photograph",
                "/v1/inspections/1/crops/{}",
                "/v1/products/{}",
                "/v1/products/{}/detectors",
                "/v1/lots/{}?product=parts",
                "/{}",
            )
        )
        return Sent("trick", self._http("GET", base.format(trick)), ANY)

    def tokens(self, rng: random.Random) -> Sent:
        """A token that is missing, wrong, expired, revoked, or of a role that may not."""
        spec = rng.choice([one for one in SPECS if one.role != "public"])
        path = re.sub(r"\{\w+\}", lambda found: "1", spec.path)
        kind = rng.choice(("missing", "wrong", "expired", "revoked", "foreign"))
        if kind == "foreign" and spec.role != "operator":
            low = rng.choice(ROLES[: ROLES.index(spec.role)])
            return Sent("foreign role", self._http(spec.method, path, role=low), frozenset({403}))
        refused = frozenset({401, 429})
        if kind in ("expired", "revoked"):
            return Sent(f"{kind} token", self._http(spec.method, path, role=kind), refused)
        if kind == "wrong":
            wrong = rng.choice(("pb_x", "x" * 5000, "é", "", "Bearer", self._tokens["admin"][:-1]))
            headers = {"Authorization": f"{rng.choice(('Bearer', 'Basic', ''))} {wrong}"}
            content = self._http(spec.method, path, headers=headers, role=None)
            return Sent("wrong token", content, refused)
        return Sent("no token", self._http(spec.method, path, role=None), refused)

    def routes(self, rng: random.Random) -> Sent:
        """Another method, or a path that there is not."""
        method = rng.choice(("DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "PUT", "POST"))
        path = rng.choice(
            ("/", "/v2/inspections", "/v1", "/v1/", "//", "/docs", "/admin", "/health")
        )
        return Sent("route", self._http(method, path), frozenset({400, 404, 405}))

    def queries(self, rng: random.Random) -> Sent:
        """Parameters that are unknown, doubled, or no such values."""
        query = rng.choice(
            (
                "limit=-1",
                "limit=99999999999999999999",
                "cursor=%FF%FE",
                "since=yesterday",
                "a=b",
                "lot=a&lot=b",
                "min_score=nan",
                "min_score=inf",
                "verdict=OK",
                "until=9999-99-99T00:00:00Z",
                "lot=" + "x" * 9000,
                "product=%00",
            )
        )
        path = rng.choice(("/v1/inspections", "/v1/statistics", "/v1/records/export"))
        return Sent("query", self._http("GET", f"{path}?{query}"), ANY | {200})

    def bodies(self, rng: random.Random) -> Sent:
        """JSON of other types and sizes for the routes that change something."""
        path = rng.choice(
            (
                "/v1/products/parts/tune",
                "/v1/products/parts/undo",
                "/v1/products/parts/activate",
                "/v1/products/parts/update",
                "/v1/tokens",
                "/v1/inspections/1/review",
                "/v1/products/none/tune",
                "/v1/inspections/999999/review",
            )
        )
        value = rng.choice((None, [], {}, -1, 1e308, "x" * 5000, True, "\ud800", [[]] * 50))
        names = ("reason", "false_alarm_rate", "threshold", "to", "sha256", "name", "role", "good")
        content = dict.fromkeys(rng.sample(names, rng.randrange(4)), value)
        body = json.dumps(content).encode()
        if rng.random() < 0.3:
            body = bytes(rng.randrange(256) for _ in range(rng.randrange(60)))
        headers = {"Content-Type": rng.choice(("application/json", "text/plain", "x", ""))}
        return Sent("body", self._http("POST", path, body, headers), ANY)

    def garbage(self, rng: random.Random) -> Sent:
        """Bytes that are no HTTP."""
        content = rng.choice(
            (
                bytes(rng.randrange(256) for _ in range(rng.randrange(1, 300))) + b"\r\n\r\n",
                b"GET / HTTP/9.9\r\n\r\n",
                b"GET\r\n\r\n",
                b"\x16\x03\x01\x02\x00\x01" + b"\r\n\r\n",
                b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 20_000 + b"\r\n",
                b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            )
        )
        return Sent("no HTTP", content, ANY | {200, -1})


def answer_to(port: int, sent: Sent) -> tuple[int, bytes]:
    """Send bytes, and read until the service closes.  -> status (-1 for none), body."""
    with socket.create_connection(("127.0.0.1", port), timeout=LONGEST_ANSWER_S) as connection:
        received = b""
        try:
            connection.sendall(sent.content)
            if sent.kind in HALF:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it was refused before it was sent
        try:
            while chunk := connection.recv(1 << 16):
                received += chunk
        except OSError:
            pass
    head, _, body = received.partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", head)
    return (int(found[1]) if found else -1), body


def fault(sent: Sent, status: int, body: bytes) -> str | None:
    """What is wrong with an answer; None if nothing is."""
    if status == -1 and sent.kind in HALF:
        return None  # a connection that ended before its request was whole has no answer
    if status not in sent.allowed:
        return f"status {status}: {body[:200]!r}"
    if status >= 400:
        try:
            error = json.loads(body)["error"]
            is_whole = error["status"] == status and error["code"] and "\n" not in error["message"]
        except (ValueError, KeyError, TypeError):
            is_whole = False
        if not is_whole:
            return f"shape: {status} {body[:200]!r}"
    return None


def make_tokens(data: Path) -> dict[str, str]:
    """A token of each role, one that is revoked, and one that expires at once."""
    with records_of(data) as records:
        tokens = {role: records.add_token(role, role) for role in ROLES}  # type: ignore[arg-type]
        tokens["revoked"] = records.add_token("revoked", "admin")
        records.revoke_token("revoked")
        soon = datetime.now(timezone.utc) + timedelta(seconds=1)
        tokens["expired"] = records.add_token("expired", "admin", soon)
    time.sleep(1.1)
    return tokens


def files_of(folder: Path) -> set[str]:
    """Paths of all files."""
    return {str(path) for path in folder.rglob("*") if not path.is_dir()}


def main() -> None:
    """Send the requests, and write what became of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--detector", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        content = run(Path(name), given.detector, given.requests, given.seed)
    (HERE / "fuzz_requests.json").write_text(json.dumps(content, indent=2) + "\n")
    (HERE / "fuzz_requests.md").write_text(page(content))
    print(page(content))
    sys.exit(bool(content["faults"] or content["written_outside"] or not content["ready_at_end"]))


def run(home: Path, detector: Path, n: int, seed: int) -> dict[str, Any]:
    """Send all requests to one service, whose working directory and temporary folder are empty."""
    data, work, temporary = home / "data", home / "work", home / "temporary"
    work.mkdir()
    temporary.mkdir()
    product = Path(shutil.copy(detector, home / "parts.patchbank"))
    tokens = make_tokens(data)
    variables = {"TMPDIR": str(temporary), "HOME": str(work)}
    service = Running(data, product, "--keep-good", "0", cwd=work, **variables)
    port = service.port
    kinds: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    faults = []
    maker = Maker(tokens, port)
    for number in range(n):
        sent = maker.make(seed * n + number)
        status, body = answer_to(port, sent)
        kinds[sent.kind] += 1
        statuses[status] += 1
        wrong = fault(sent, status, body)
        if wrong is not None:
            faults.append(f"seed {seed * n + number}, {sent.kind}: {wrong}")
        if service.process.poll() is not None:
            faults.append(f"seed {seed * n + number}: the service ended")
            break
    ready, _ = answer_to(
        port, Sent("", b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", ANY)
    )
    exit_status = service.stop()
    return {
        "environment": environment(),
        "requests": sum(kinds.values()),
        "kinds": dict(kinds),
        "statuses": {str(status): count for status, count in sorted(statuses.items())},
        "faults": faults,
        "tracebacks": service.log.count("Traceback"),
        "ready_at_end": ready == 200,
        "exit_status": exit_status,
        "written_outside": sorted(files_of(work) | files_of(temporary)),
    }


def page(content: dict[str, Any]) -> str:
    """The results as Markdown."""
    kinds = "\n".join(f"| {kind} | {count:,} |" for kind, count in sorted(content["kinds"].items()))
    statuses = ", ".join(f"{status}: {n:,}" for status, n in content["statuses"].items())
    faults = "\n".join(f"- {one}" for one in content["faults"][:50]) or "none"
    return (
        f"# Fuzzed requests\n\n{content['requests']:,} requests over HTTP; -1 is a connection "
        f"that ended without an answer.\n\n| kind | requests |\n|---|---|\n{kinds}\n\n"
        f"Statuses: {statuses}\n\nFaults: {faults}\n\nTracebacks in the log: "
        f"{content['tracebacks']}; files written outside --data: "
        f"{len(content['written_outside'])}; ready at the end: {content['ready_at_end']}; exit "
        f"status when stopped: {content['exit_status']}\n"
    )


if __name__ == "__main__":
    main()
