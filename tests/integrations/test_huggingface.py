"""Detectors on the hub: the real client asks a stand-in server over HTTP, in processes of its own.

The client reads `HF_ENDPOINT` when it is imported.  The real hub is never asked.
"""

import json
import os
import subprocess
import sys

import huggingface_hub
import pytest

from patchbank import PatchCore, load
from patchbank.detector.bundle import file_digest
from tests.integrations.hub import TOKEN, Hub
from tests.photographs import parts

pytestmark = [
    pytest.mark.huggingface,
    pytest.mark.filterwarnings("ignore::patchbank.CalibrationWarning"),
]
HEAD = """
import json
from patchbank import PatchbankError, load
from patchbank.integrations.huggingface import from_hub, push_to_hub
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """-> a detector file."""
    path = tmp_path_factory.mktemp("detector") / "plates.patchbank"
    detector = PatchCore(image_size=64, bank_rows=40, false_alarm_rate=0.2).fit(parts(6))
    detector.with_card(title="Plates", license="internal use only").save(path)
    return path


@pytest.fixture
def hub():
    with Hub() as server:
        yield server


@pytest.fixture
def client(tmp_path):
    """Run code with the client in a process -> the JSON that its last line prints."""

    def run(code, url, **variables):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        own = {"HF_ENDPOINT": url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
        done = subprocess.run(
            [sys.executable, "-c", f"{HEAD}{code}"],
            env={**kept, **own, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def pushed(client, hub, file, repo="acme/plates", **options):
    code = f"print(json.dumps(push_to_hub({str(file)!r}, {repo!r}, **{options})._asdict()))"
    return client(code, hub.url, HF_TOKEN=TOKEN)


def refused(client, url, call, **variables):
    """-> class and message of the error that a call raises."""
    code = f"""
try:
    {call}
except PatchbankError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""
    return client(code, url, **variables)


def test_a_detector_goes_to_the_hub_with_its_card_and_comes_back(client, hub, file):
    found = pushed(client, hub, file)
    ((oid, files),) = hub.repositories["acme/plates"]["commits"]
    assert hub.repositories["acme/plates"]["private"]
    assert found["revision"] == oid
    assert found["sha256"] == file_digest(file)
    assert found["url"].endswith(f"/acme/plates/commit/{oid}")
    assert set(files) == {"detector.patchbank", "README.md"}
    assert files["detector.patchbank"] == file.read_bytes()
    card = huggingface_hub.ModelCard(files["README.md"].decode())
    assert card.data.library_name == "patchbank"
    assert card.data.license == "other"
    assert card.data.license_name == "internal-use-only"
    assert "# Plates" in card.text
    assert f"--sha256 {found['sha256']}" in card.text
    code = f"""
one = from_hub("acme/plates", device="cpu")
pinned = from_hub("acme/plates", revision={oid!r}, sha256={found["sha256"]!r}, device="cpu")
print(json.dumps([one.sha256, pinned.sha256, pinned.card.title]))
"""
    digest = load(file).sha256
    assert client(code, hub.url, HF_TOKEN=TOKEN) == [digest, digest, "Plates"]
    assert ("PUT", f"/large/{found['sha256']}") in hub.asked


def test_a_second_commit_leaves_the_first_where_it_is(client, hub, file, tmp_path):
    first = pushed(client, hub, file, private=False)
    changed = load(file).with_threshold(99.0)
    changed.save(tmp_path / "changed.patchbank")
    second = pushed(client, hub, tmp_path / "changed.patchbank", message="By hand")
    assert not hub.repositories["acme/plates"]["private"]
    code = f"""
print(json.dumps([
    from_hub("acme/plates").calibration.threshold,
    from_hub("acme/plates", revision={first["revision"]!r}).calibration.threshold,
]))
"""
    assert client(code, hub.url) == [99.0, load(file).calibration.threshold]
    call = f"from_hub('acme/plates', sha256={first['sha256']!r})"
    kind, message = refused(client, hub.url, call)
    assert kind == "DetectorFileError"
    assert "expected the file with the sha256" in message
    assert second["revision"] != first["revision"]


def test_a_detector_that_was_fetched_needs_no_network(client, hub, file):
    pushed(client, hub, file, private=False)
    code = "print(json.dumps(from_hub('acme/plates').sha256))"
    digest = client(code, hub.url)
    gone = "http://127.0.0.1:9"
    assert client(code, gone, HF_HUB_OFFLINE="1") == digest


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("from_hub('acme/none')", "acme/none: expected detector.patchbank of the hub, got: "),
        ("from_hub('acme/plates', file='a.patchbank')", "acme/plates: expected a.patchbank of"),
        ("from_hub('acme/plates', revision='v9')", "acme/plates: expected detector.patchbank of"),
        ("from_hub('a/b/c')", "a/b/c: expected detector.patchbank of the hub, got: "),
        ("push_to_hub(FILE, 'acme/plates', token='hf_other')", "expected the hub to take the"),
        ("push_to_hub('none.patchbank', 'acme/plates')", "none.patchbank: expected a readable"),
    ],
)
def test_what_the_hub_refuses_is_one_line(client, hub, file, call, expected):
    hub.repositories["acme/plates"] = {"private": False, "commits": [("a" * 40, {"b": b"c"})]}
    kind, message = refused(client, hub.url, call.replace("FILE", repr(str(file))))
    assert kind in ("DataError", "DetectorFileError")
    assert expected in message
    assert "\n" not in message
    assert len(hub.repositories["acme/plates"]["commits"]) == 1


@pytest.mark.parametrize("variables", [{"HF_HUB_OFFLINE": "1"}, {}])
def test_without_a_network_an_error_is_one_line(client, file, variables):
    kind, message = refused(client, "http://127.0.0.1:9", "from_hub('acme/plates')", **variables)
    assert kind == "DataError"
    assert message.startswith("acme/plates: expected detector.patchbank of the hub, got: ")
    assert "\n" not in message


def test_a_file_that_is_no_detector_is_refused_and_never_unpickled(client, hub, tmp_path):
    import pickle

    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    content = pickle.dumps(Trap())
    files = {"detector.patchbank": content}
    hub.repositories["acme/trap"] = {"private": False, "commits": [("b" * 40, files)]}
    kind, message = refused(client, hub.url, "from_hub('acme/trap')")
    assert kind == "DetectorFileError"
    assert "expected a detector file, got a pickle of Python" in message
    assert not (tmp_path / "sprung").exists()
