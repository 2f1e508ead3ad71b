"""`homing tap`: a running server records its datagrams in a file, and stops doing so."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from ...captures import comments
from .conftest import Shell


def ask(shell: Shell, data: bytes, times: int = 1) -> None:
    """Asks the echo server of the node, so many times in turn."""
    (row,) = json.loads(shell.run("sockets", "--json")[1])["sockets"]
    host, _, port = row["address"].rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        for _ in range(times):
            sock.sendto(data, (host, int(port)))
            assert sock.recv(100) == data


def test_a_server_records_from_one_command_to_the_other(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    ask(shell, b"before")
    code, out, err = shell.run("tap", "echo", str(path))
    assert (code, err) == (0, "")
    assert out.startswith("recording 127.0.0.1:")
    assert out.endswith(f" in {path}\n")
    ask(shell, b"during", 3)
    assert str(path) in shell.run("sockets", "--json")[1]
    code, out, _ = shell.run("tap", "echo", "--off")
    assert (code, out.startswith("recorded 6 datagrams of 127.0.0.1:")) == (0, True)
    assert comments(path) == {"in": 3, "out": 3}
    ask(shell, b"after")
    assert comments(path) == {"in": 3, "out": 3}


def test_options_reach_the_tap_and_the_answer_is_data(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    arguments = ("tap", "echo", str(path), "--most", "4096", "--rotate", "1", "--snap", "10", "--json")
    answer = json.loads(shell.run(*arguments)[1])
    assert (answer["tap"]["state"], answer["tap"]["path"]) == ("writing", str(path))
    ask(shell, b"x" * 50, 40)
    answer = json.loads(shell.run("tap", "echo", "--off", "--json")[1])
    assert answer["tap"]["recorded"] == 80
    assert (tmp_path / "x.1.pcapng").stat().st_size <= 4096


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("echo", "/missing/x.pcapng"), 1, "/missing/x.pcapng"),
        (("echo", "/dev/full"), 1, "is no regular file"),
        (("echo", "x.pcapng", "--most", "5"), 2, "most=5"),
        (("echo", "x.pcapng", "--sample", "2"), 2, "sample=2"),
        (("echo", "--off"), 1, "records nothing"),
        (("nobody", "x.pcapng"), 1, "no process has the name 'nobody'"),
        (("keeper", "x.pcapng"), 1, "no UDP server"),
    ],
)
def test_a_tap_that_cannot_be_says_why(
    arguments: tuple[str, ...], code: int, words: str, shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    found, out, err = shell.run("tap", *arguments)
    assert (found, out, words in err) == (code, "", True), err
    assert list(tmp_path.iterdir()) == []


def test_reconfigure_does_not_write_files(shell: Shell, tmp_path: Path) -> None:
    code, _, err = shell.run("reconfigure", "echo", f"tap=path={tmp_path}/x.pcapng")
    assert (code, "use the request tap" in err) == (2, True)
    assert list(tmp_path.iterdir()) == []
