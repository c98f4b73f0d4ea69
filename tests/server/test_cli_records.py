"""The commands below `patchbank records`: tables, counts, faults, backups."""

import csv
import json
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest

from patchbank.server.records.backup import JUMP
from patchbank.server.records.data_folder import DataFolder
from patchbank.server.records.entries import Fields
from patchbank.server.records.store import Records
from tests.command_line import run
from tests.server.samples import MOMENT, inspection

ROOT = Path(__file__).parents[2]
FACTS = ("version", "time", "database", "schema_version")


@pytest.fixture
def service(tmp_path, monkeypatch):
    """A folder as a service leaves it, in the folder that is the current one."""
    monkeypatch.chdir(tmp_path)
    data = DataFolder(Path("patchbank-data"))
    data.make()
    records = Records.open(data.url, instance=data.instance())
    fill(records, data)
    records.close()
    return data


def fill(records, data):
    verdicts = ["good", "good", "anomalous", "unread"]
    new = [
        replace(
            inspection(n, verdict=verdicts[n % 4]),
            time=MOMENT + timedelta(hours=12 * n),
            fields=Fields(lot=f"L{n // 4}", shift="early"),
        )
        for n in range(8)
    ]
    records.add(new, ["mqtt"])
    records.add_review(3, "false_alarm", "anna")
    records.append_audit("anna", "tuned", "bolts", {"to": 0.01})
    for content in (b"one", b"two"):
        data.pictures.keep(content, ".png")
    data.detectors.mkdir()
    (data.detectors / "bolts.patchbank").write_bytes(b"detector")


def opened(data):
    return Records.open(data.url, instance="reader", create=False)


def snapshot(folder):
    """Paths and contents of all files of a folder, without the database."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and not path.name.startswith(("records.", "backup.json"))
    }


def test_a_table_is_written_by_the_suffix_of_its_name(service, capsys):
    status, out, err = run(capsys, "records", "export", "all.csv")
    assert (status, out, err) == (0, "", "all.csv: 8 inspections\n")
    with open("all.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["verdict"] for row in rows] == ["good", "good", "anomalous", "unread"] * 2
    status, _, err = run(capsys, "records", "export", "all.jsonl", "--verdict", "anomalous")
    assert (status, err) == (0, "all.jsonl: 2 inspections\n")
    lines = [json.loads(line) for line in Path("all.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [3, 7]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--lot", "L1"], [5, 6, 7, 8]),
        (["--review", "none", "--verdict", "anomalous"], [7]),
        (["--review", "false_alarm"], [3]),
        (["--since", "2026-03-04"], [7, 8]),
        (["--since", "2026-03-04T08:30:00Z", "--until", "2026-03-04T21:30:00+01:00"], [7]),
        (["--product", "nuts"], []),
        (["--station", "s"], []),
    ],
)
def test_options_choose_what_is_written(service, capsys, options, expected):
    assert run(capsys, "records", "export", "some.jsonl", *options)[0] == 0
    lines = Path("some.jsonl").read_text().splitlines()
    assert [json.loads(line)["id"] for line in lines] == expected


def test_numbers_with_commas(service, capsys):
    assert run(capsys, "records", "export", "all.csv", "--decimal", "comma")[0] == 0
    first = Path("all.csv").read_text(encoding="utf-8-sig").splitlines()[1]
    assert ";7,5;11,84;0,4;" in first


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_commas_are_for_tables_of_csv(service, capsys, suffix):
    assert run(capsys, "records", "export", f"all.{suffix}", "--decimal", "comma") == (
        2,
        "",
        f"error: --decimal: expected with a table in CSV, got all.{suffix}\n",
    )
    assert not Path(f"all.{suffix}").exists()


def test_wrong_names_times_and_folders_are_refused(service, capsys):
    for arguments, message in (
        (["export", "a.xlsx"], "FILE: expected a name that ends with .csv, .jsonl, .parquet"),
        (["export", "absent/a.csv"], "FILE: expected a file in a folder that exists"),
        (["export", "a.csv", "--since", "monday"], "--since: expected 2026-03-01 or"),
        (["export", "a.csv", "--data", "absent"], "--data: expected the folder of a service"),
        (["export", "a.csv", "--database", "mysql://x/y"], "database: expected sqlite:///FILE"),
        (["statistics", "--zone", "Mars/Olympus"], "--zone: expected such as Europe/Berlin"),
        (["verify", "--data", "absent"], "--data: expected the folder of a service"),
        (["backup", "b", "--data", "absent"], "expected records of the service, got none"),
        (["restore", "absent", "--data", "new"], "expected a folder that `patchbank records"),
        (["resend", "mqtt", "--data", "absent"], "--data: expected the folder of a service"),
    ):
        status, out, err = run(capsys, "records", *arguments)
        assert (status, out) == (2, ""), arguments
        assert message in err
        assert err.count("\n") == 1
    assert sorted(os.listdir()) == ["patchbank-data"]


def test_statistics_count_by_day_and_say_what_reviews_say(service, capsys):
    status, out, err = run(capsys, "records", "statistics", "--by", "lot")
    assert status == 0
    rows = [line.split() for line in out.splitlines()]
    assert rows[1] == ["L0", "2", "1", "1", "0", "1", "0", "0", "33.3", "%", "to", "33.3", "%"]
    assert rows[2] == ["L1", "2", "1", "1", "0", "0", "1", "0", "0", "%", "to", "33.3", "%"]
    assert err.startswith("note: defects and false alarms are flagged ones")
    schema = json.loads((ROOT / "docs/schemas/statistics.schema.json").read_text())
    status, out, _ = run(capsys, "records", "statistics", "--json", "-", "--since", "2026-03-03")
    found = json.loads(out)
    jsonschema.validate(found, schema)
    assert [group["group"] for group in found["groups"]] == ["2026-03-03", "2026-03-04"]
    _, out, _ = run(
        capsys, "records", "statistics", "--json", "-", "--zone", "Pacific/Auckland", "--by", "day"
    )
    assert json.loads(out)["groups"][0] == {
        **json.loads(out)["groups"][0],
        "group": "2026-03-01",
        "good": 1,
    }


def test_whole_records_are_verified(service, capsys):
    status, out, err = run(capsys, "records", "verify", "--pictures")
    records = opened(service)
    assert (status, out) == (
        0,
        f"audit: 1 entries, a whole chain; the last is {records.audit(1)[0].hash}\n"
        "no fault found\n",
    )
    assert err == ("note: keep that hash elsewhere: it shows later that no entry was cut off\n")
    status, out, err = run(capsys, "records", "verify")
    assert (status, out.splitlines()[-1]) == (0, "no fault found")
    assert "note: the content of pictures was not read; --pictures does that\n" in err
    records.close()


def test_faults_are_listed(service, capsys):
    with sqlite3.connect(service.database) as connection:
        connection.execute("DROP TRIGGER audit_no_update")
        connection.execute("UPDATE audit SET details = '{}'")
        connection.execute("UPDATE tallies SET number = 9 WHERE kind = 'all' AND verdict = 'good'")
    connection.close()
    next(service.pictures.paths()).write_bytes(b"other")
    status, out, err = run(capsys, "records", "verify", "--pictures")
    assert (status, out) == (1, "")
    lines = err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("error: counts of bolts, good: expected 4, as there are")
    assert lines[1].startswith("error: audit: expected a whole chain, got a break at entry 1")
    assert lines[2].endswith("expected the picture of its name, got another content")
    status, _, err = run(capsys, "records", "verify")
    assert (status, len(err.splitlines())) == (1, 3)
    assert err.splitlines()[2].startswith("note: the content of pictures was not read")


def test_a_damaged_database_is_one_line(service, capsys):
    content = bytearray(service.database.read_bytes())
    content[4096 * 2 : 4096 * 30] = b"\xff" * 4096 * 28
    service.database.write_bytes(content)
    status, _, err = run(capsys, "records", "verify")
    assert status in (1, 2)
    assert "Traceback" not in err
    assert err.startswith("error: ")


def test_a_backup_comes_back_as_it_was(service, capsys, tmp_path):
    assert run(capsys, "records", "backup", "saved")[0] == 0
    facts = json.loads(Path("saved/backup.json").read_text())
    assert set(facts) == set(FACTS)
    jsonschema.validate(facts, json.loads((ROOT / "docs/schemas/backup.schema.json").read_text()))
    before = opened(service).inspections().inspections
    files = snapshot(service.folder)
    assert set(files) == {"instance", "detectors/bolts.patchbank", *picture_names(service)}
    shutil.rmtree(service.folder)
    assert run(capsys, "records", "restore", "saved")[0] == 0
    assert snapshot(service.folder) == files
    records = opened(service)
    assert records.inspections().inspections == before
    assert records.verify_audit() is None
    assert records.damage() == []
    (restored, tuned) = records.audit()
    assert (restored.action, restored.details) == ("records restored", {"backup": facts["time"]})
    assert tuned.action == "tuned"
    (answer,) = records.add([inspection(1)])
    assert answer.inspection.id == 8 + JUMP + 1  # numbers since the backup are given to nobody
    records.close()
    assert sorted(os.listdir()) == ["patchbank-data", "saved"]


def picture_names(service):
    return {str(path.relative_to(service.folder)) for path in service.pictures.paths()}


def test_a_backup_while_the_service_writes_is_whole(service, capsys):
    records = Records.open(service.url, instance="here")
    stop = threading.Event()

    def write():
        number = 100
        while not stop.is_set():
            records.add([inspection(number), inspection(-number)], ["mqtt"])
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert run(capsys, "records", "backup", "saved")[0] == 0
    finally:
        stop.set()
        writer.join()
    count = len(records.inspections(limit=1000).inspections)
    records.close()
    assert run(capsys, "records", "restore", "saved", "--data", "again")[0] == 0
    restored = opened(DataFolder(Path("again")))
    page = restored.inspections(limit=1000).inspections
    assert restored.damage() == []
    assert 8 <= len(page) <= count
    assert len(page) % 2 == 0  # no transaction by half
    restored.close()


def test_a_backup_or_folder_that_is_there_is_never_replaced(service, capsys):
    assert run(capsys, "records", "backup", "saved")[0] == 0
    files = snapshot(Path("saved"))
    status, _, err = run(capsys, "records", "backup", "saved")
    assert status == 2
    assert "saved: expected a folder that is not there, or is empty, got files" in err
    assert snapshot(Path("saved")) == files
    status, _, err = run(capsys, "records", "restore", "saved")
    assert status == 2
    assert "patchbank-data: expected a folder that is not there, or is empty, got files" in err
    Path("empty").mkdir()
    assert run(capsys, "records", "restore", "saved", "--data", "empty")[0] == 0
    assert sorted(os.listdir()) == ["empty", "patchbank-data", "saved"]


def test_a_damaged_backup_is_not_restored(service, capsys):
    assert run(capsys, "records", "backup", "saved")[0] == 0
    with sqlite3.connect("saved/records.sqlite") as connection:
        connection.execute("DROP TRIGGER audit_no_update")
        connection.execute("UPDATE audit SET \"by\" = 'bert'")
    connection.close()
    status, _, err = run(capsys, "records", "restore", "saved", "--data", "new")
    assert status == 2
    assert "audit: expected a whole chain in the backup, got a break at 1" in err
    Path("saved/records.sqlite").write_bytes(b"not a database" * 500)
    status, _, err = run(capsys, "records", "restore", "saved", "--data", "new")
    assert status == 2
    assert "saved/records.sqlite: expected records that can be copied" in err
    Path("saved/records.sqlite").unlink()
    assert run(capsys, "records", "restore", "saved", "--data", "new")[0] == 2
    Path("saved/backup.json").write_text('{"schema_version": 2}')
    assert run(capsys, "records", "restore", "saved", "--data", "new")[0] == 2
    assert sorted(os.listdir()) == ["patchbank-data", "saved"]


def test_a_restored_folder_is_for_its_owner_alone(service, capsys):
    assert run(capsys, "records", "backup", "saved")[0] == 0
    for name in ("saved",):
        assert stat.S_IMODE(os.stat(name).st_mode) == 0o700


@pytest.mark.postgres
def test_a_backup_of_postgresql_comes_back(
    tmp_path, monkeypatch, capsys, postgres_server, postgres_url
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{postgres_server.programs}:{os.environ['PATH']}")
    data = DataFolder(Path("patchbank-data"))
    data.make()
    records = Records.open(postgres_url, instance=data.instance())
    fill(records, data)
    before = records.inspections().inspections
    records.close()
    files = snapshot(data.folder)
    assert run(capsys, "records", "backup", "saved", "--database", postgres_url)[0] == 0
    assert Path("saved/records.dump").stat().st_size > 0
    status, _, err = run(capsys, "records", "restore", "saved", "--data", "new")
    assert status == 2
    assert "saved: expected a backup of sqlite, got one of postgresql" in err
    other = ["--data", "new", "--database", postgres_url]
    status, _, err = run(capsys, "records", "restore", "saved", *other)
    assert status == 2
    assert "expected an empty database, got one with records; restore into another one" in err
    fresh = postgres_server.new_database()
    other = ["--data", "new", "--database", fresh]
    assert run(capsys, "records", "restore", "saved", *other)[0] == 0
    assert snapshot(Path("new")) == files
    restored = Records.open(fresh, instance="here", create=False)
    assert restored.inspections().inspections == before
    assert restored.verify_audit() is None
    assert restored.damage() == []
    (answer,) = restored.add([inspection(1)])
    assert answer.inspection.id > 8 + JUMP
    restored.close()


@pytest.mark.postgres
def test_without_the_programs_of_postgresql_a_backup_says_what_to_do(
    tmp_path, monkeypatch, capsys, postgres_url
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    status, _, err = run(capsys, "records", "backup", "saved", "--database", postgres_url)
    assert status == 2
    assert "pg_dump: expected this program of PostgreSQL, got none; install postgresql-c" in err
    assert os.listdir() == []


def test_refused_messages_are_sent_again(service, capsys):
    records = Records.open(service.url, instance=service.instance())
    first = records.messages("mqtt", 1)[0]
    records.set_aside(first.id, "too large")
    assert run(capsys, "records", "resend", "mqtt") == (
        0,
        "",
        "mqtt: 1 messages are sent again\n",
    )
    assert records.messages("mqtt", 1)[0].id == first.id
    records.close()
    assert run(capsys, "records", "resend", "mqtt") == (0, "", "mqtt: 0 messages are sent again\n")
    assert run(capsys, "records", "resend", "mqqt") == (
        0,
        "",
        "mqqt: expected a channel with messages; only mqtt have any\n"
        "mqqt: 0 messages are sent again\n",
    )


def test_without_the_extra_it_is_said_what_to_install(service):
    code = """
import sys
sys.modules["sqlalchemy"] = None
from patchbank.cli.app import run
from patchbank.errors import DataError
for words in ("export a.csv", "statistics", "verify", "backup b", "restore b", "resend mqtt"):
    try:
        run(["records", *words.split()])
    except DataError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    said = done.stdout.splitlines()
    assert len(said) == 6
    assert set(said) == {
        "records: expected the packages of the service, got none; pip install 'patchbank[serve]'"
    }
    assert os.listdir() == ["patchbank-data"]


def test_a_reader_of_the_table_needs_no_detector_code(service):
    code = (
        "import sys; sys.argv = ['patchbank', 'records', 'export', 'a.csv']; "
        "from patchbank.cli.app import run; run(sys.argv[1:]); "
        "assert not {'alembic', 'onnxruntime', 'pyarrow'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("options", [[], ["--pictures"]])
def test_pictures_that_are_on_record_and_not_there_are_named(service, capsys, options):
    records = Records.open(service.url, instance=service.instance())
    kept = service.pictures.keep(b"kept", ".png")
    lost = service.pictures.keep(b"lost", ".jpg")
    new = [
        replace(inspection(100), photograph=kept),
        replace(inspection(101), photograph=kept, overlay=lost),
    ]
    _, missing = records.add(new)
    records.close()
    assert "are not there" not in run(capsys, "records", "verify", *options)[2]
    (path,) = [path for path in service.pictures.paths() if path.name == lost]
    path.unlink()
    status, _, err = run(capsys, "records", "verify", *options)
    assert status == 0
    number = missing.inspection.id
    (line,) = [line for line in err.splitlines() if "are not there" in line]
    assert f"pictures of 1 inspections are not there, the last of them {number}:" in line
