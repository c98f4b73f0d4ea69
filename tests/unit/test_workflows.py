"""Workflows name machines alone: what they run is a target of the Makefile, or a file."""

import re

import pytest
import yaml

from tests.project import PROJECT, ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([\w-]+):(?!=)", MAKEFILE, re.MULTILINE))


def jobs_of(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]


def steps_of(path):
    return [step for job in jobs_of(path).values() for step in job.get("steps", ())]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_a_workflow_runs_exists(path):
    commands = [step["run"] for step in steps_of(path) if "run" in step]
    for command in commands:
        program, *words = command.split()
        if program == "make":
            assert words[0] in TARGETS, command
        elif "/" in program:
            assert (ROOT / program).is_file(), command
        elif program == "python3":
            assert (ROOT / words[0]).is_file(), command
        else:
            assert program in ("python", "patchbank"), command
    used = [job["uses"] for job in jobs_of(path).values() if "uses" in job]
    assert all((ROOT / one).is_file() for one in used)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_an_action_is_one_commit_and_a_job_has_the_rights_it_names_alone(path):
    text = path.read_text(encoding="utf-8")
    for action in re.findall(r"uses: (?!\./)(.+)$", text, re.MULTILINE):
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", action), action
    assert yaml.safe_load(text)["permissions"] == {}
    for name, job in jobs_of(path).items():
        rights = job["permissions"]
        assert rights == ({"id-token": "write"} if name == "publish" else {"contents": "read"})
        assert "timeout-minutes" in job or "uses" in job
    assert "secrets." not in text


def test_the_tests_run_on_every_python_from_the_oldest():
    matrix = jobs_of(ROOT / ".github" / "workflows" / "tests.yml")["pythons"]["strategy"]["matrix"]
    oldest = PROJECT["requires-python"].removeprefix(">=")
    minors = [int(version.partition(".")[2]) for version in matrix["python"]]
    assert matrix["python"][0] == oldest
    assert minors == list(range(minors[0], minors[-1] + 1))


def test_a_release_is_checked_before_it_is_built_and_built_before_it_is_published():
    jobs = jobs_of(ROOT / ".github" / "workflows" / "publish.yml")
    assert jobs["wheels"]["needs"] == "check"
    assert jobs["publish"]["needs"] == "wheels"
    assert jobs["publish"]["environment"] == {"name": "pypi"}
    publishes = [step for step in jobs["publish"]["steps"] if "pypi-publish" in step["uses"]]
    assert len(publishes) == 1
    assert "with" not in publishes[0]  # no password, no other index


def test_what_ci_runs_are_targets():
    lines = re.findall(r"^make ([^>\n]+)", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    named = {word for line in lines for word in line.split()}
    files = set(re.findall(r"^(\.venv[\w-]*/ready):", MAKEFILE, re.MULTILINE))
    assert named <= TARGETS | files
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (must_pass,) = re.findall(r"^(.*) must pass on a clean clone", page, re.MULTILINE)
    assert named - files == set(re.findall(r"`make ([\w-]+)`", must_pass))
