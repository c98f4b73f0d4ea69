"""What the tests do without a mutant: how long each takes, and which lines it executes.

A run under coverage records the lines (commands that tests start included), another one without
records times and that each test passes.  Lines that fixtures of a module execute count for every
test that uses them; lines that a file of tests executes when it is imported, for all its tests.
Caches of the package are emptied before each test: only the first would be seen to fill them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

from .plugins import Test
from .runs import Run

A_TEST_MAY_TAKE_S = 20  # and five times what it took, or the longest of its file


@dataclass
class Baseline:
    """The tests without a mutant, and which of them execute which line."""

    tests: dict[str, Test]
    not_passed: list[str]  # skipped or failed: they cannot kill a mutant
    lines: dict[str, dict[int, list[str]]]  # file below src -> line -> contexts that execute it

    @classmethod
    def measured(cls, traced: Run, plain: Run, options: tuple[str, ...]) -> Baseline:
        """Run the tests in two processes, with options of pytest."""
        traced.start(traced=True, writes_bytecode=True, options=options)
        plain.start(writes_bytecode=True, options=options)
        for run in (plain, traced):
            code = run.wait()
            if code not in (0, 1):  # all passed, or some failed
                errors = [line["error"] for line in run.log() if "error" in line]
                output = "\n".join([(run.folder / "output.txt").read_text()[-2000:], *errors])
                raise SystemExit(
                    f"the tests were not run to their end (exit code {code})\n{output}"
                )
        plain_log = plain.log()
        shared = {line["test"]: tuple(line["shared"]) for line in traced.log() if "shared" in line}
        ended = {line["ended"]: line for line in plain_log if "ended" in line}
        failed = {line["failed"] for line in plain_log if "failed" in line}
        good = [name for name, line in ended.items() if "passed" in line and name not in failed]
        tests = {}
        for name in good:
            line = ended[name]
            took = [line[when] for when in ("setup", "call", "teardown")]
            tests[name] = Test(name, sum(took), line["cpu"], took[0], shared.get(name, ()))
        lines = _executed(traced.folder / "coverage", traced.tree / "src")
        return cls(tests, sorted({*ended, *failed} - set(good)), lines)

    def save(self, path: Path) -> None:
        """Write it for the next start."""
        tests = {name: asdict(test) for name, test in self.tests.items()}
        record = {"tests": tests, "not_passed": self.not_passed, "lines": self.lines}
        path.write_text(json.dumps(record))

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """Read what `save` wrote."""
        record = json.loads(path.read_text())
        tests = {
            name: Test(**test | {"fixtures": tuple(test["fixtures"])})
            for name, test in record["tests"].items()
        }
        lines = {
            path: {int(line): contexts for line, contexts in by_line.items()}
            for path, by_line in record["lines"].items()
        }
        return cls(tests, record["not_passed"], lines)

    def limits(self) -> dict[str, float]:
        """Seconds after which each test hangs, the set-up of its fixtures included."""
        longest: dict[str, float] = defaultdict(float)
        for test in self.tests.values():
            longest[test.file] = max(longest[test.file], test.seconds)
        names = [*self.tests, *self.not_passed]
        return {name: A_TEST_MAY_TAKE_S + 5 * longest[name.partition("::")[0]] for name in names}


def _executed(data: Path, src: Path) -> dict[str, dict[int, list[str]]]:
    """Combine the measurements of all processes."""
    from coverage import CoverageData

    lines: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for part in data.parent.glob(f"{data.name}.*"):
        measured = CoverageData(str(part))
        measured.read()
        for name in measured.measured_files():
            path = Path(name).relative_to(src).as_posix()
            for line, contexts in measured.contexts_by_lineno(name).items():
                lines[path][line] |= {context for context in contexts if context}
    return {
        path: {line: sorted(contexts) for line, contexts in by_line.items()}
        for path, by_line in lines.items()
    }
