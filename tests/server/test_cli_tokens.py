"""The commands below `patchbank serve token`, and files that `serve` refuses at once."""

import os

import pytest

from tests.command_line import run


def test_a_mistyped_data_folder_has_no_tokens_and_is_not_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for arguments in (["list"], ["revoke", "press"]):
        status, out, err = run(capsys, "serve", "token", *arguments, "--data", "dta")
        assert (status, out) == (2, "")
        assert err == "error: --data: expected the folder of a service with records, got dta\n"
    assert os.listdir() == []


def test_the_first_token_says_which_folder_was_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    add = ["serve", "token", "add", "--role", "operator", "--data", "data"]
    status, out, err = run(capsys, *add, "press")
    assert (status, out[:3], out.count("\n")) == (0, "pb_", 1)
    made = tmp_path / "data"
    assert err == f"note: {made}: made, as there was no data folder of a service\n"
    assert run(capsys, *add, "saw")[2] == ""
    status, out, _ = run(capsys, "serve", "token", "list", "--data", "data")
    assert (status, [line.partition(":")[0] for line in out.splitlines()]) == (0, ["press", "saw"])
    assert run(capsys, "serve", "token", "revoke", "saw", "--data", "data")[:2] == (
        0,
        "saw: revoked\n",
    )


@pytest.mark.parametrize("content", [b"", b"no PEM\n", b"\xff\x00"])
def test_a_certificate_that_is_none_is_one_line_that_names_its_option(tmp_path, capsys, content):
    (tmp_path / "a.pem").write_bytes(content)
    tls = ["--tls-cert", tmp_path / "a.pem", "--tls-key", tmp_path / "a.pem"]
    status, out, err = run(capsys, "serve", tmp_path, "--data", tmp_path / "data", *tls)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: --tls-cert, --tls-key: expected a certificate in PEM and its key")
    assert not (tmp_path / "data").exists()
