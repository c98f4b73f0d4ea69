"""Channels by their names: the folder, channels of other packages, and what is asked wrongly."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from patchbank.errors import ParameterError
from patchbank.server.outbox.channels import (
    ChannelContext,
    ChannelSpec,
    KeptPhotograph,
    Refused,
    Undelivered,
    secret_of,
)
from patchbank.server.outbox.delivery import Outbox, Retry
from patchbank.server.outbox.opening import open_channels
from patchbank.server.records.entries import Message
from patchbank.server.records.store import Records
from tests.packages import write_package
from tests.server.real_servers import wait_until
from tests.server.samples import inspection

PNG = b"\x89PNG\r\n\x1a\nnot decoded here"


def context(kept=None):
    return ChannelContext(instance="line-1", photograph=(kept or {}).get)


def message(number, verdict="good", product="bolts", **others):
    payload = json.dumps({"verdict": verdict, "serial_number": str(number), **others})
    return Message(
        id=number,
        channel="folder",
        product=product,
        inspection_id=number,
        key=f"line-1/{number}/folder",
        payload=payload,
        attempts=0,
    )


@pytest.fixture
def results(tmp_path):
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


def folder(results, kept=None):
    spec = ChannelSpec("folder", "folder", str(results))
    return open_channels([spec], context(kept))["folder"]


def tree(results):
    return sorted(str(p.relative_to(results)) for p in results.rglob("*") if p.is_file())


def test_results_are_sorted_by_their_verdict_with_the_photograph_where_it_is_kept(results):
    channel = folder(results, {2: KeptPhotograph(".png", PNG)})
    for one in (message(1), message(2, "anomalous"), message(3, "unread", "m3.5 nuts/x")):
        channel.send(one)
    channel.close()
    assert tree(results) == [
        "NG/bolts-line-1-000000002.json",
        "NG/bolts-line-1-000000002.png",
        "OK/bolts-line-1-000000001.json",
        "UNREAD/m3.5_nuts_x-line-1-000000003.json",
    ]
    assert (results / "NG" / "bolts-line-1-000000002.png").read_bytes() == PNG
    text = (results / "OK" / "bolts-line-1-000000001.json").read_text()
    assert text == message(1).payload


def test_what_is_there_already_is_the_same_delivery(results):
    channel = folder(results, {2: KeptPhotograph(".jpg", b"jpeg")})
    channel.send(message(2, "anomalous"))
    (results / "NG" / "bolts-line-1-000000002.jpg").unlink()  # a crash between the two
    before = (results / "NG" / "bolts-line-1-000000002.json").stat().st_mtime_ns
    channel.send(message(2, "anomalous"))
    assert tree(results) == ["NG/bolts-line-1-000000002.jpg", "NG/bolts-line-1-000000002.json"]
    assert (results / "NG" / "bolts-line-1-000000002.json").stat().st_mtime_ns == before


def test_a_file_of_another_inspection_of_this_number_stays(results):
    channel = folder(results)
    channel.send(message(2, lot="before the restore"))
    channel.send(message(2, lot="after it"))
    channel.send(message(2, lot="after it"))
    assert tree(results) == ["OK/bolts-line-1-000000002-2.json", "OK/bolts-line-1-000000002.json"]
    assert "before" in (results / "OK" / "bolts-line-1-000000002.json").read_text()


def test_a_folder_that_is_gone_is_waited_for_and_not_made(results):
    channel = folder(results)
    results.rmdir()
    with pytest.raises(Undelivered, match="expected the folder, got none"):
        channel.send(message(1))
    assert not results.exists()
    results.mkdir()
    channel.send(message(1))
    assert tree(results) == ["OK/bolts-line-1-000000001.json"]


def test_a_folder_that_cannot_be_written_to_says_so_in_one_line(results):
    channel = folder(results)
    (results / "OK").write_text("a file")
    with pytest.raises(Undelivered, match="expected to write a file, got") as caught:
        channel.send(message(1))
    assert "\n" not in str(caught.value)


def test_a_verdict_that_is_none_is_refused_and_never_ok(results):
    with pytest.raises(Refused, match="expected a verdict of good, anomalous, unread"):
        folder(results).send(message(1, "perfect"))
    assert tree(results) == []


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ParameterError, match="channel folder: expected a folder, got the file"):
        folder(tmp_path / "file")


def test_a_folder_that_comes_later_is_waited_for(tmp_path, caplog):
    channel = folder(tmp_path / "late")
    line = f"channel folder: {tmp_path / 'late'} is not there; results wait until it is"
    assert [record.getMessage() for record in caplog.records] == [line]
    with pytest.raises(Undelivered, match="expected the folder, got none"):
        channel.send(message(1))
    (tmp_path / "late").mkdir()
    channel.send(message(1))
    assert tree(tmp_path / "late") == ["OK/bolts-line-1-000000001.json"]


def test_the_folder_gets_what_the_outbox_has(results, tmp_path):
    records = Records.open(f"sqlite:///{tmp_path / 'records.sqlite'}", instance="line-1")
    outbox = Outbox(records, {"folder": folder(results)}, retry=Retry(first_s=0.05))
    answers = records.add([inspection(n, verdict="anomalous") for n in range(40)], ["folder"])
    outbox.start()
    wait_until(lambda: records.outbox_size("folder") == 0, "an empty table")
    outbox.close()
    found = sorted((results / "NG").iterdir())
    assert [json.loads(path.read_text()) for path in found] == [
        answer.inspection.to_json() for answer in answers
    ]
    records.close()


PLC = """
from patchbank.server.outbox.channels import Refused

class Plc:
    def __init__(self, name, target, context):
        self.name, self.context = name, context
        self.lines = open(target, "a", encoding="utf-8")
    def send(self, message):
        if message.product == "nuts":
            raise Refused("plc: expected bolts")
        self.lines.write(f"{self.name} {self.context.instance} {message.key}\\n")
        self.lines.flush()
    def close(self):
        self.lines.write("closed\\n")
        self.lines.close()
"""
USE = """
import sys, time
from pathlib import Path
from patchbank.server.outbox.channels import ChannelContext, ChannelSpec
from patchbank.server.outbox.opening import CHANNELS, open_channels
from patchbank.server.outbox.delivery import Outbox, Retry
from patchbank.server.records.store import Records
from tests.server.samples import inspection
print(*CHANNELS.declared_names())
context = ChannelContext(instance="line-1", photograph=lambda _: None)
channels = open_channels([ChannelSpec.parse("press=plc:" + sys.argv[2])], context)
records = Records.open("sqlite:///" + sys.argv[1], instance="line-1")
records.add([inspection(1), inspection(2, product="nuts"), inspection(3)], list(channels))
outbox = Outbox(records, channels, retry=Retry(first_s=0.01, longest_s=0.01))
outbox.start()
while records.outbox_size("press"):
    time.sleep(0.01)
outbox.close()
print(records.refused("press"))
records.close()
"""


@pytest.fixture
def with_packages(tmp_path):
    """-> runs Python with packages that an installer would have left."""
    site = tmp_path / "site"
    site.mkdir()
    points = {"plc": "our_plc:Plc", "folder": "our_plc:Plc"}
    write_package(site, "our-plc", "patchbank.channels", points, PLC)
    write_package(site, "broken-plc", "patchbank.channels", {"bad": "broken_plc:X"}, "import nope")

    def run(code, *arguments):
        root = Path(__file__).parents[2]
        paths = [site, root / "src", root]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
        return subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
        )

    return run


def test_a_channel_of_another_package_is_used_by_its_entry_point(with_packages, tmp_path):
    done = with_packages(USE, tmp_path / "records.sqlite", tmp_path / "lines")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["mqtt webhook folder bad plc", "1"]
    assert (tmp_path / "lines").read_text().splitlines() == [
        "press line-1 line-1/1/press",
        "press line-1 line-1/3/press",
        "closed",
    ]


def test_a_package_that_is_broken_is_named_with_the_reason(with_packages):
    code = """
from patchbank.server.outbox.channels import ChannelContext, ChannelSpec
from patchbank.server.outbox.opening import open_channels
context = ChannelContext(instance="line-1", photograph=lambda _: None)
open_channels([ChannelSpec.parse("bad:x")], context)
"""
    done = with_packages(code)
    assert done.stderr.splitlines()[-1].endswith(
        "broken-plc 1.0: its channel 'bad' cannot be used: ModuleNotFoundError: No module named "
        "'nope'"
    )


@pytest.mark.parametrize(
    "text", ["", "mqtt", "mqtt:", ":x", "=folder:/x", "a b=folder:/x", "Mes=folder:/x", "a=:x"]
)
def test_a_channel_that_is_asked_for_wrongly_is_one_line(text):
    with pytest.raises(ParameterError, match=r"--channel: expected \[NAME=\]KIND:TARGET"):
        ChannelSpec.parse(text)


def test_a_windows_path_is_a_target():
    assert ChannelSpec.parse(r"folder:C:\results") == ChannelSpec("folder", "folder", r"C:\results")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mqtts://line@broker/plant", ("mqtt", "mqtt", "mqtts://line@broker/plant")),
        ("http://10.0.0.9:80/in", ("webhook", "webhook", "http://10.0.0.9:80/in")),
        ("mes=https://mes/in", ("mes", "webhook", "https://mes/in")),
        ("mes=webhook:https://mes/in", ("mes", "webhook", "https://mes/in")),
        ("mqtt:mqtt://broker", ("mqtt", "mqtt", "mqtt://broker")),
        ("plc://10.0.0.9", ("plc", "plc", "//10.0.0.9")),
        ("folder:/srv/a=b", ("folder", "folder", "/srv/a=b")),
    ],
)
def test_an_address_says_its_kind_itself(text, expected):
    assert ChannelSpec.parse(text) == ChannelSpec(*expected)


def test_an_unknown_kind_and_a_name_given_twice_are_refused(results):
    with pytest.raises(ParameterError, match="expected a kind of mqtt, webhook, folder"):
        open_channels([ChannelSpec("a", "fax", "x")], context())
    twice = [ChannelSpec("a", "folder", str(results))] * 2
    with pytest.raises(ParameterError, match="expected each name once, got it twice"):
        open_channels(twice, context())


def test_a_secret_may_be_in_a_file_that_only_the_service_reads(tmp_path, monkeypatch):
    assert secret_of("mes", "secret") is None
    monkeypatch.setenv("PATCHBANK_MES_SECRET", "from the environment")
    assert secret_of("mes", "secret") == "from the environment"
    (tmp_path / "secret").write_text("from the file\n")
    monkeypatch.setenv("PATCHBANK_MES_SECRET_FILE", str(tmp_path / "secret"))
    assert secret_of("mes", "secret") == "from the file"
    monkeypatch.setenv("PATCHBANK_MES_SECRET_FILE", str(tmp_path / "none"))
    with pytest.raises(ParameterError, match="PATCHBANK_MES_SECRET_FILE: expected a file"):
        secret_of("mes", "secret")


def test_a_password_in_an_address_is_refused_with_the_variable_of_its_own_channel():
    spec = ChannelSpec.parse("press-2=mqtt://line:secret@broker")
    with pytest.raises(ParameterError, match="set .* PATCHBANK_PRESS_2_PASSWORD$") as caught:
        open_channels([spec], context())
    assert "line:secret" not in str(caught.value)
