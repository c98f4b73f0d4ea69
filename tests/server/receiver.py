"""A receiver of webhooks: a process of its own, which a test starts, kills, and tells what to do.

    python receiver.py PORT FOLDER SECRET

It checks signatures by the code in docs/guides/results.md.  ``FOLDER/mode`` says how it answers:
``ok``, ``slow`` (after it has noted the message it waits), a status, or ``422:TEXT`` for messages
with this text.  ``FOLDER/received`` has a line of JSON for each message that it has accepted.
"""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "results.md"
SLOW_S = 1.0


def documented():
    """The function `is_authentic` of the page."""
    from tests.pages import python_of

    code = next(b.code for b in python_of(GUIDE.read_text()) if "def is_authentic" in b.code)
    names = {}
    exec(code, names)
    return names["is_authentic"]


def main(port: int, folder: Path, secret: str) -> None:
    is_authentic = documented()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one packet for head and body

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(self.status(body))
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def status(self, body):
            mode = (folder / "mode").read_text()
            if not is_authentic(secret, self.headers, body):
                with (folder / "foreign").open("a") as file:
                    file.write("x")
                return 401
            if mode.isdigit():
                return int(mode)
            status, colon, text = mode.partition(":")
            if colon and text.encode() in body:
                return int(status)
            line = {"key": self.headers["Idempotency-Key"], "body": json.loads(body)}
            with (folder / "received").open("a") as file:
                file.write(json.dumps(line) + "\n")
            if mode == "slow":
                time.sleep(SLOW_S)
            return 200

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.serve_forever()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
