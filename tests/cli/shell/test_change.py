"""`homing send`, `exit`, `kill`, `reconfigure` and `drain`: changes, if the node allows them."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ...support import DEADLINE
from ..nodes import environment
from .conftest import ALONE, Shell


def kept(shell: Shell) -> object:
    return json.loads(shell.run("inspect", "keeper", "--json")[1])["facts"]["kept"]


def pid(shell: Shell, name: str, other_than: str = "") -> str:
    """The PID of a process: of its successor, once that runs."""
    give_up = time.monotonic() + DEADLINE
    while time.monotonic() < give_up:
        for row in shell.table("ps", "--filter", name):
            if row["name"] == name and row["pid"] != other_than:
                return row["pid"]
    raise AssertionError(f"{name} does not run")


def test_send_sends_a_text(shell: Shell) -> None:
    code, out, err = shell.run("send", "keeper", "[1, 2]")
    assert (code, out, err) == (0, "sent to keeper\n", "")
    assert kept(shell) == "[1, 2]"


def test_send_sends_a_value_of_json(shell: Shell) -> None:
    code, out, _ = shell.run("send", "keeper", "17", "--json-value", "--json")
    assert (code, json.loads(out)["target"]) == (0, f"<shown@localhost.{pid(shell, 'keeper')}>")
    assert kept(shell) == 17


def test_send_refuses_a_value_that_is_not_json(shell: Shell) -> None:
    code, _, err = shell.run("send", "keeper", "{a", "--json-value")
    assert code == 2
    assert "the message is not JSON" in err


@pytest.mark.parametrize("command", [("exit", "workers", "--reason", "worn out"), ("kill", "workers")])
def test_a_process_that_is_ended_is_started_again_by_its_supervisor(shell: Shell, command: tuple[str, ...]) -> None:
    before = pid(shell, "workers")
    code, out, _ = shell.run(*command)
    assert (code, "workers" in out) == (0, True)
    after = pid(shell, "workers", other_than=before)
    assert "last reason" in shell.run("inspect", after)[1]


def test_reconfigure_changes_options_of_a_server(shell: Shell) -> None:
    code, out, _ = shell.run("reconfigure", "echo", "receive_buffer=131072", "ttl=7")
    assert code == 0
    assert "reconfigured 127.0.0.1:" in out
    assert "receive buffer" in out
    _, out, _ = shell.run("reconfigure", "echo", "receive_buffer=65536", "--json")
    assert json.loads(out)["options"]["ttl"] == 7


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("reconfigure", "echo", "tll=7"), 2, "did you mean ttl?"),
        (("reconfigure", "echo", "ttl=many"), 2, "ttl="),
        (("reconfigure", "echo", "ttl"), 2, "'ttl' is not KEY=VALUE"),
        (("reconfigure", "echo"), 2, "KEY=VALUE"),
        (("kill", "nobody"), 1, "no process has the name 'nobody'"),
        (("send", "keeper"), 2, "MESSAGE"),
        (("drain", "--timeout", "-1"), 2, "timeout=-1.0: give a number from 0"),
    ],
)
def test_wrong_use_is_told_with_an_exit_code(shell: Shell, arguments: tuple[str, ...], code: int, words: str) -> None:
    found, out, err = shell.run(*arguments)
    assert (found, out) == (code, "")
    assert words in err


def test_a_node_that_allows_only_reading_says_how_to_allow_more_and_one_that_is_drained_stops(fresh: Shell) -> None:
    with fresh.node():
        changes = ["send keeper x", "kill keeper", "exit keeper", "drain", "reload", "log-level debug"]
        for command in (*map(str.split, changes), ["reconfigure", "echo", "ttl=1"], ["tap", "echo"]):
            code, _, err = fresh.run(*command)
            assert code == 1
            assert "start it with --allow" in err
    with fresh.node("--allow") as process:
        code, out, _ = fresh.run("drain", "shown", "--timeout", "2")
        assert (code, out) == (0, "draining; it stops within 2 s\n")
        process.wait(DEADLINE)


# --- at a terminal ----------------------------------------------------------------------------------------


def answer(runtime: Path, answer: bytes, *arguments: str) -> tuple[int, str]:
    """Runs a command whose input and outputs are a terminal, and answers its question. Returns the exit code, and what
    it printed there."""
    master, slave = pty.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, str(ALONE), *arguments],
            env=environment(runtime),
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        os.write(master, answer)
        code = process.wait(2 * DEADLINE)
        text = b""
        while select.select([master], [], [], 0)[0]:
            try:
                text += os.read(master, 4096)
            except OSError:
                break
    finally:
        os.close(master)
    return code, text.decode()


def test_at_a_terminal_a_kill_is_asked_about_first(shell: Shell) -> None:
    before = pid(shell, "routes")
    code, text = answer(shell.runtime, b"n\n", "kill", "routes")
    assert (code, "kill routes? [y/N]" in text) == (1, True)
    assert pid(shell, "routes") == before
    code, text = answer(shell.runtime, b"y\n", "kill", "routes")
    assert (code, "killed routes" in text) == (0, True)
    pid(shell, "routes", other_than=before)
    code, text = answer(shell.runtime, b"", "kill", "routes", "--yes")
    assert (code, "[y/N]" in text) == (0, False)
