"""A stand-in for the Hugging Face hub: a server of HTTP that answers what its client asks.

It has repositories in memory: commits of whole files, large ones by the protocol of Git LFS.
"""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

TOKEN = "hf_of_this_test"


class Hub(ThreadingHTTPServer):
    """The server; `repositories` is what it has, `asked` what it was asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories = {}
        """Name -> {"private": bool, "commits": [(hash, {path: bytes})]}, the newest last."""
        self.large = {}
        """SHA-256 -> content."""
        self.asked = []
        """(method, path) of each request."""

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.resolve(with_body=False)

    def do_GET(self):
        self.resolve(with_body=True)

    def do_PUT(self):
        self.note()
        content, oid = self.body(), self.path.removeprefix("/large/")
        assert hashlib.sha256(content).hexdigest() == oid
        self.server.large[oid] = content
        self.answer(200, {})

    def do_POST(self):
        self.note()
        body = self.body()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, {"error": "Invalid credentials"})
        elif self.path == "/api/repos/create":
            self.create(json.loads(body))
        elif self.path == "/api/validate-yaml":
            self.validate(json.loads(body))
        elif found := re.fullmatch(r"/api/models/(.+)/preupload/(.+)", self.path):
            self.preupload(json.loads(body))
        elif found := re.fullmatch(r"/(.+)\.git/info/lfs/objects/batch", self.path):
            self.batch(json.loads(body))
        elif found := re.fullmatch(r"/api/models/(.+)/commit/main", self.path):
            self.commit(found[1], [json.loads(line) for line in body.splitlines()])
        else:
            self.answer(404, {"error": f"no such route: {self.path}"})

    def create(self, asked):
        name = f"{asked['organization']}/{asked['name']}"
        address = {"url": f"{self.server.url}/{name}", "name": name}
        if name in self.server.repositories:
            self.answer(409, address)
            return
        is_private = asked.get("visibility") == "private" or asked.get("private", False)
        self.server.repositories[name] = {"private": is_private, "commits": []}
        self.answer(200, address)

    def validate(self, asked):
        """The hub refuses a card whose metadata are no YAML, or lack what it wants."""
        try:
            metadata = yaml.safe_load(asked["content"].split("---\n")[1])
            errors = [] if isinstance(metadata.get("license"), str) else ["no license"]
        except (yaml.YAMLError, IndexError, AttributeError) as error:
            errors = [str(error)]
        found = [{"message": message} for message in errors]
        self.answer(400 if found else 200, {"errors": found, "warnings": []})

    def preupload(self, asked):
        modes = [
            {
                "path": file["path"],
                "uploadMode": "regular" if file["path"].endswith(".md") else "lfs",
                "shouldIgnore": False,
            }
            for file in asked["files"]
        ]
        self.answer(200, {"files": modes})

    def batch(self, asked):
        objects = []
        for one in asked["objects"]:
            upload = {"href": f"{self.server.url}/large/{one['oid']}", "header": {}}
            is_known = one["oid"] in self.server.large
            objects.append({**one, **({} if is_known else {"actions": {"upload": upload}})})
        self.answer(200, {"transfer": "basic", "objects": objects})

    def commit(self, name, lines):
        commits = self.server.repositories[name]["commits"]
        files = dict(commits[-1][1]) if commits else {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.large[value["oid"]]
        oid = hashlib.sha1(json.dumps(lines).encode() + bytes([len(commits)])).hexdigest()
        commits.append((oid, files))
        address = f"{self.server.url}/{name}/commit/{oid}"
        self.answer(200, {"success": True, "commitOid": oid, "commitUrl": address})

    def resolve(self, *, with_body):
        self.note()
        found = re.fullmatch(r"/(.+)/resolve/([^/]+)/(.+)", self.path)
        repository = self.server.repositories.get(found[1]) if found else None
        may_read = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repository is None or (repository["private"] and not may_read):
            self.answer(401, {}, {"X-Error-Message": "Invalid username or password."})
            return
        commits = repository["commits"]
        one = [c for c in commits if found[2] == c[0] or (found[2] == "main" and c is commits[-1])]
        if not one:
            self.answer(404, {}, {"X-Error-Code": "RevisionNotFound"})
            return
        ((oid, files),) = one
        if found[3] not in files:
            self.answer(404, {}, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": oid})
            return
        content = files[found[3]]
        self.send_response(200)
        self.send_header("X-Repo-Commit", oid)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def note(self):
        self.server.asked.append((self.command, self.path))

    def body(self):
        """Content of the request, which may come in chunks."""
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def answer(self, status, content, headers=None):
        body = b"" if self.command == "HEAD" else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
