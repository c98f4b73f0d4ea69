"""A backup is whole or not there, whatever stops it."""

import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from patchbank.errors import DataError
from patchbank.server.records import backup
from patchbank.server.records.backup import back_up, copy_sqlite, read_facts, restore
from patchbank.server.records.data_folder import DataFolder
from patchbank.server.records.store import Records
from tests.server.samples import inspection


@pytest.fixture
def data(tmp_path):
    """A folder of a service with ten inspections, three of them with pictures."""
    folder = DataFolder(tmp_path / "data")
    folder.make()
    records = Records.open(folder.url, instance=folder.instance())
    names = [folder.pictures.keep(bytes([n]) * 100, ".png") for n in range(3)]
    records.add([inspection(n, photograph=names[n] if n < 3 else None) for n in range(10)])
    records.close()
    return folder


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))


def test_every_picture_that_a_backup_names_is_in_it(data, tmp_path):
    facts = back_up(data, data.url, tmp_path / "saved")
    assert read_facts(tmp_path / "saved") == facts
    saved = DataFolder(tmp_path / "saved")
    records = Records.open(saved.url, instance="reader", create=False)
    kept = [one.photograph for one in records.inspections().inspections if one.photograph]
    assert len(kept) == 3
    assert all(saved.pictures.read(name) is not None for name in kept)
    records.close()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_backup_that_is_stopped_leaves_nothing(data, tmp_path, monkeypatch, error):
    before = everything(tmp_path)
    copied = []

    def stop(source, target):
        copied.append(target)
        if len(copied) == 2:
            raise error
        return real(source, target)

    real = shutil.copy2
    monkeypatch.setattr(backup.shutil, "copy2", stop)
    expected = KeyboardInterrupt if error is KeyboardInterrupt else DataError
    with pytest.raises(expected) as raised:
        back_up(data, data.url, tmp_path / "saved")
    if expected is DataError:
        assert str(raised.value) == (
            f"{tmp_path}/saved: expected to write a backup, got: No space left on device"
        )
    assert everything(tmp_path) == before


def test_a_restore_that_is_stopped_leaves_nothing(data, tmp_path, monkeypatch):
    back_up(data, data.url, tmp_path / "saved")
    before = everything(tmp_path)
    monkeypatch.setattr(
        backup, "_check_restored", lambda *_: (_ for _ in ()).throw(OSError(5, "x"))
    )
    new = DataFolder(tmp_path / "new")
    with pytest.raises(DataError, match="new: expected to write restored records, got: x"):
        restore(tmp_path / "saved", new, new.url)
    assert everything(tmp_path) == before


def test_pictures_that_go_while_they_are_copied_are_left_out(data, tmp_path, monkeypatch):
    real, gone = shutil.copy2, []

    def tidy_first(source, target):
        if not gone:
            gone.append(Path(source).name)
            Path(source).unlink()
        return real(source, target)

    monkeypatch.setattr(backup.shutil, "copy2", tidy_first)
    back_up(data, data.url, tmp_path / "saved")
    saved = DataFolder(tmp_path / "saved")
    assert len(list(saved.pictures.paths())) == 2
    assert saved.pictures.read(gone[0]) is None


def test_a_copy_of_a_database_has_what_is_in_its_log(data, tmp_path):
    records = Records.open(data.url, instance="here")
    records.add([inspection(77)])  # in the log, and not in the file yet
    assert data.database.with_name("records.sqlite-wal").stat().st_size > 0
    copy_sqlite(data.database, tmp_path / "copy.sqlite")
    records.close()
    connection = sqlite3.connect(tmp_path / "copy.sqlite")
    assert connection.execute("SELECT count(*) FROM inspections").fetchone() == (11,)
    connection.close()


def test_a_damaged_database_is_not_copied(data, tmp_path):
    content = bytearray(data.database.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 8192] = os.urandom(8192)
    data.database.write_bytes(content)
    with pytest.raises(DataError, match=r"records.sqlite: expected (whole records|records that)"):
        back_up(data, data.url, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"schema_version": 1}',
        '{"schema_version": 2, "time": "", "database": "sqlite", "version": ""}',
    ],
)
def test_facts_that_are_none_are_refused_in_one_line(tmp_path, content):
    (tmp_path / "backup.json").write_text(content)
    with pytest.raises(DataError, match="expected a folder that `patchbank records backup`") as e:
        read_facts(tmp_path)
    assert "\n" not in str(e.value)


def test_a_backup_of_a_newer_version_is_not_restored(data, tmp_path):
    back_up(data, data.url, tmp_path / "saved")
    connection = sqlite3.connect(tmp_path / "saved" / "records.sqlite")
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    new = DataFolder(tmp_path / "new")
    with pytest.raises(DataError, match="expected records of revision .* or older, got 9999"):
        restore(tmp_path / "saved", new, new.url)
    assert not new.folder.exists()


def test_facts_name_version_and_time(data, tmp_path):
    facts = back_up(data, data.url, tmp_path / "saved")
    content = json.loads((tmp_path / "saved" / "backup.json").read_text())
    assert content == {"schema_version": 1, **{n: getattr(facts, n) for n in facts.__slots__}}
    assert content["database"] == "sqlite"
    assert content["time"].endswith("Z")
