"""A shell in which the commands of a page are run, one after the other.

Plain `patchbank` commands run in this process, which is quick. What needs a shell (pipes,
variables, patterns, other programs) runs in bash with the installed command, in the folder and with
the variables that the commands before have left. `patchbank serve` runs in the background, on a
free port, until the page starts the next service or ends.

Two kinds of commands are checked and not run: what `pip install` names is compared with
pyproject.toml, and `make` prints what it would do.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.command_line import status_of
from tests.pages import ROOT, Command, words_of
from tests.project import PROJECT
from tests.server.real_servers import free_port

LONGEST_S = 300.0
PORT_OF_THE_PAGES = ":8760"
FOLDERS = re.compile(r"(?<![\w./])/(?=(?:srv|backup)/)")
SLOW_MACHINE = ("--latency-budget 20 ", "--latency-budget 20000 ")
CURLRC = "fail-with-body\nsilent\nshow-error\nmax-time = 60\n"
# Variables that a page speaks of, and the answers that have them.
NAMED_IN_ANSWERS = {"ID": r'^{"id": "(\w+)", "product"', "JOB": r'^{"id": "(\w+)", "kind"'}
UNDER_WAY = ("waiting", "running")


class Shell:
    """Folder and variables of a page, and its service.

    Args:
        folder: working directory at the beginning, which stands for ``/srv`` and ``/backup`` too.
    """

    def __init__(self, folder: Path) -> None:
        self.root = self.folder = folder
        self.before = folder.parent / "before"
        home = folder.parent / "home"
        home.mkdir(exist_ok=True)
        (home / ".curlrc").write_text(CURLRC)
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.variables = {**os.environ, "PATH": programs, "CURL_HOME": str(home)}
        self.variables["PYTHONPATH"] = str(ROOT / "src")
        self.service: Service | None = None
        self.port = free_port()
        self.output = ""

    def remember(self) -> None:
        """Keep the folder as it is."""
        shutil.rmtree(self.before, ignore_errors=True)
        shutil.copytree(self.root, self.before)

    def go_back(self) -> None:
        """Put back the folder as it was remembered."""
        shutil.rmtree(self.root)
        shutil.copytree(self.before, self.root)

    def here(self, text: str) -> str:
        """A command with the port of the service and the folders of this test."""
        text = text.replace(PORT_OF_THE_PAGES, f":{self.port}").replace(*SLOW_MACHINE)
        return FOLDERS.sub(f"{self.root}/", text)

    def run(self, command: Command) -> int:
        """Run a command.  -> its exit status."""
        text = self.here(command.text)
        words = words_of(text)
        if words[0] == "pip":
            check_install(words)
            return 0
        if words[0] == "make":
            return self.in_bash(f"make --directory {shlex.quote(str(ROOT))} --dry-run {words[1]}")
        if words[:2] == ["patchbank", "serve"] and words[2] != "token":
            self.serve(text, words)
            return 0
        if words[0] == "patchbank" and is_plain(text):
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(self.folder)
                return status_of(*words[1:])
        return self.in_bash(text)

    def in_bash(self, text: str) -> int:
        """Run a command in bash; an answer about a job is asked for until the job has ended."""
        end = time.monotonic() + LONGEST_S
        while True:
            status = self._once(text)
            if status != 0 or "/v1/jobs/" not in text:
                return status
            if (state := json.loads(self.output)["state"]) not in UNDER_WAY:
                assert state == "done", self.output
                return status
            assert time.monotonic() < end, f"{text}: {self.output}"
            time.sleep(0.1)

    def _once(self, text: str) -> int:
        state = self.root.parent / "state"
        # Variables of the shell are those of the next commands, too.
        script = f'set -ao pipefail\n{text}\nstatus=$?; {{ pwd; env -0; }} > "$STATE"; exit $status'
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env={**self.variables, "STATE": str(state)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=LONGEST_S,
        )
        self.output = done.stdout.decode()
        sys.stdout.write(self.output)  # which a failed test shows
        if state.exists():
            folder, _, variables = state.read_text().partition("\n")
            state.unlink()
            self.folder = Path(folder)
            self.variables = dict(v.split("=", 1) for v in variables.split("\0") if v)
        for name, pattern in NAMED_IN_ANSWERS.items():
            if match := re.search(pattern, self.output):
                self.variables[name] = match[1]
        return done.returncode

    def serve(self, text: str, words: list[str]) -> None:
        """Start a service in the background, and wait until it is ready."""
        self.stop()
        line = f"{text.partition(' #')[0]} --port {self.port}"
        self.service = Service(line, self.folder, self.variables)
        scheme = "https" if "--tls-cert" in words else "http"
        self.service.wait(f"{scheme}://127.0.0.1:{self.port}/ready")

    def stop(self) -> None:
        """Stop the service, if there is one."""
        if self.service is not None:
            self.service.stop()
            self.service = None


class Service:
    """`patchbank serve` in bash, as it is written in a page."""

    def __init__(self, line: str, folder: Path, variables: Mapping[str, str]) -> None:
        self.log = folder / "service.log"
        self.line = line
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                ["bash", "-c", f"exec {line}"],
                cwd=folder,
                env=dict(variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self, url: str) -> None:
        """Wait until it says that it is ready."""
        unverified = ssl.create_default_context()
        unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE
        end = time.monotonic() + LONGEST_S
        while True:
            assert self.process.poll() is None, f"{self.line}: {self.log.read_text()}"
            assert time.monotonic() < end, f"{self.line}: not ready: {self.log.read_text()}"
            try:
                urllib.request.urlopen(url, context=unverified, timeout=5).close()
                return
            except OSError:
                time.sleep(0.05)

    def stop(self) -> None:
        """End it as a service manager does."""
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(LONGEST_S)
        finally:
            self.process.kill()
        log = self.log.read_text()
        assert status == 0, f"{self.line}: status {status}: {log}"
        assert "Traceback" not in log, f"{self.line}: {log}"


def is_plain(text: str) -> bool:
    """Whether a command is made of words alone: nothing in it is for the shell."""
    if re.search(r"[$*`]", text):
        return False
    lexer = shlex.shlex(text.replace("\\\n", " "), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return not any(set(word) <= set("();<>|&") for word in lexer if word)


def check_install(words: list[str]) -> None:
    """Compare what an installation names with pyproject.toml; nothing is installed."""
    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *(line for group in extras.values() for line in group)]
    known = {"patchbank", *(Requirement(line).name for line in lines)}
    names = [word for word in words[2:] if not word.startswith("-")]
    assert words[1] == "install", words
    assert names, words
    for name in names:
        requirement = Requirement(re.sub(r"^\.", "patchbank", name))
        assert requirement.name in known, f"{name}: not in pyproject.toml"
        assert requirement.extras <= set(extras), f"{name}: no such extra"
