"""`homing ps`, `sockets`, `inspect` and the other tables, asked of a real node."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from homing.cli.shell.columns import SOCKETS
from homing.observe.control import client

from ..nodes import environment
from .conftest import ALONE, Shell


def test_ps_shows_what_waits_since_when_and_who_is_busy(shell: Shell) -> None:
    rows = {row["name"]: row for row in shell.table("ps", "--filter", "Stuck")}
    stuck = rows["stuck"]
    assert (stuck["behavior"], stuck["state"], stuck["waiting"]) == ("Stuck", "running", "3")
    assert stuck["oldest"] != "-"
    assert (stuck["parent"], stuck["application"], stuck["restarts"]) == ("1001", "shown", "0")


def test_ps_sorts_by_a_column_in_the_node(shell: Shell) -> None:
    first = shell.table("ps", "--sort", "waiting", "--limit", "1")
    assert [row["name"] for row in first] == ["stuck"]
    last = shell.table("ps", "--sort", "pid", "--reverse", "--last", "--limit", "1")
    assert [row["pid"] for row in last] == ["1001"]


def test_ps_filters_by_state_kind_and_application(shell: Shell) -> None:
    assert [row["name"] for row in shell.table("ps", "--kind", "pool")] == ["workers"]
    assert [row["name"] for row in shell.table("ps", "--state", "running")] == ["stuck"]
    assert shell.table("ps", "--state", "wait_response") == []
    assert shell.table("ps", "--application", "other") == []


def test_ps_tells_on_stderr_that_there_are_more(shell: Shell) -> None:
    code, out, err = shell.run("ps", "--limit", "2")
    assert (code, len(out.splitlines())) == (0, 3)
    assert "(2 of 11 processes; --limit shows more)" in err


def test_json_is_the_answer_as_it_comes(shell: Shell) -> None:
    code, out, err = shell.run("ps", "--json", "--limit", "1")
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert (answer["total"], answer["more"], len(answer["processes"])) == (11, 10, 1)
    assert answer["processes"][0]["pid"] == "<shown@localhost.1001>"


def test_sockets_shows_buffers_receiver_and_drops(shell: Shell) -> None:
    (row,) = shell.table("sockets")
    assert row["address"].startswith("127.0.0.1:")
    assert (row["receiver"], row["asked"], row["drops"], row["reading"]) == ("echo", "64KiB", "-", "yes")
    assert row["rcvbuf"].endswith("KiB")


def test_sockets_shows_the_sessions_of_dtls() -> None:
    cell = next(column.cell for column in SOCKETS if column.title == "dtls")
    assert cell({"dtls": None}) == cell({}) == "-"
    counted = {"sessions": 2, "handshakes_open": 0, "handshakes": 5, "handshakes_failed": {"psk": 3}}
    assert cell({"dtls": counted}) == "open=2 handshakes=5 failed:psk=3"


@pytest.mark.parametrize(
    ("command", "name", "expected"),
    [
        ("applications", "shown", {"version": "1.2", "state": "running", "mode": "permanent", "members": "1001"}),
        ("supervisors", "top", {"children": "6", "type": "one_for_one"}),
        ("pools", "workers", {"size": "3", "running": "3", "worker": "Actor"}),
        ("routers", "routes", {"routes": "1", "forwarded": "0"}),
        ("events", "prices", {"consumers": "0", "notify": "no"}),
    ],
)
def test_each_table_shows_its_things(shell: Shell, command: str, name: str, expected: dict[str, str]) -> None:
    (row,) = shell.table(command)
    assert row["name"] == name
    assert expected.items() <= row.items()


def test_inspect_shows_one_process_by_name_pid_or_number(shell: Shell) -> None:
    _, by_name, _ = shell.run("inspect", "echo")
    assert by_name.splitlines()[0] == "echo  <shown@localhost.1002>  Echo (actor)"
    for words in ("application   shown", "plain", "meta-processes", "UDPServer", "aliases", "prices", "links"):
        assert words in by_name
    for target in ("<shown@localhost.1002>", "1002"):
        code, out, _ = shell.run("inspect", target)
        assert (code, out.splitlines()[0]) == (0, by_name.splitlines()[0])


def test_inspect_shows_a_socket_by_the_alias_of_its_server(shell: Shell) -> None:
    code, out, _ = shell.run("inspect", "Alias<shown@localhost.1003>")
    assert code == 0
    assert "UDPServer (meta-process)" in out
    assert "(asked 64KiB)" in out


def test_inspect_shows_the_children_of_a_supervisor(shell: Shell) -> None:
    _, out, _ = shell.run("inspect", "top")
    assert "supervised children" in out
    assert "restart permanent" in out


def test_nothing_of_the_program_steers_the_terminal(shell: Shell) -> None:
    for arguments in (("ps",), ("inspect", "echo"), ("inspect", "top"), ("tree",), ("inspect", "nobody")):
        _, out, err = shell.run(*arguments)
        assert "\x1b" not in out + err
    assert "?[2J[red]evil[/red]?name" in shell.run("ps")[1]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("ps", "--sort", "size"), 2, "sort='size': give one of id, name,"),
        (("ps", "--limit", "-1"), 2, "limit=-1: give an integer from 0 to 10,000"),
        (("ps", "--kind", "pols"), 2, "kind='pols': give one of actor, pool, router, supervisor"),
        (("ps", "nobody"), 2, "no node nobody runs"),
        (("inspect", "ecko"), 1, "no process has the name 'ecko'"),
        (("inspect", "<other@host.1001>"), 2, "no node other@host runs"),
        (("inspect", "9999"), 1, "9999"),
        (("inspect",), 2, "TARGET"),
    ],
)
def test_wrong_use_is_told_with_an_exit_code(shell: Shell, arguments: tuple[str, ...], code: int, words: str) -> None:
    found, out, err = shell.run(*arguments)
    assert (found, out) == (code, "")
    assert words in err


def test_without_a_node_every_command_says_how_one_is_started(fresh: Shell) -> None:
    for command in (("ps",), ("sockets",), ("inspect", "x"), ("send", "x", "y"), ("drain",)):
        code, out, err = fresh.run(*command)
        assert (code, out) == (1, "")
        assert "`homing run module:App` starts a node" in err


LOOK = ["ps", "sockets", "events", "applications", "pools", "routers", "supervisors", "tree", "logs"]
CHANGE = ["send keeper 1", "log-level info", "log-level default keeper", "reconfigure echo ttl=9"]


@pytest.mark.parametrize("command", [*LOOK, "inspect echo", "trace --seconds 0.01", *CHANGE])
def test_node_is_an_option_of_every_command(shell: Shell, command: str) -> None:
    code, _, err = shell.run(*command.split(), "--node", "shown")
    assert (code, err) == (0, "")
    code, _, err = shell.run(*command.split(), "--node", "nobody")
    assert (code, err) == (2, f"homing {command.split()[0]}: no node nobody runs; there are shown@localhost\n")


@pytest.mark.parametrize("command", [*LOOK, "top", "drain", "reload"])
def test_a_node_that_is_named_twice_has_to_be_the_same(shell: Shell, command: str) -> None:
    code, out, err = shell.run(command, "shown", "--node", "other")
    assert (code, out) == (2, "")
    assert "give one of them" in err


def test_a_stream_of_a_node_that_does_not_answer_fails(fresh: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_TIMEOUT", 0.1)
    places = fresh.runtime / "homing"
    places.mkdir(0o700)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(places / "silent@h.sock"))
        silent.listen()
        for command in (("logs", "--follow"), ("trace",), ("top", "--json")):
            code, out, err = fresh.run(*command)
            assert (code, out) == (1, "")
            assert "node silent@h did not answer within 0.1 s; is its event loop blocked?" in err


def test_an_output_that_cannot_be_written_is_told(shell: Shell) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-W", "error", str(ALONE), "ps"]
        done = subprocess.run(
            command, env=environment(shell.runtime), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "homing: the output cannot be written: No space left on device\n")


def test_the_node_itself_is_told_from_processes(shell: Shell) -> None:
    code, _, err = shell.run("inspect", "1")
    assert (code, "is the node itself" in err) == (1, True)


def test_events_are_shown_by_their_names(shell: Shell) -> None:
    assert re.search(r"^  events +'prices'$", shell.run("inspect", "echo")[1], re.MULTILINE)


def test_a_reader_that_leaves_early_ends_it_quietly(shell: Shell) -> None:
    command = f"{sys.executable} -W error {ALONE} ps --json | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], env=environment(shell.runtime), capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("{\n0\n", "")


def test_an_output_of_ascii_gets_ascii(shell: Shell) -> None:
    code, out, _ = shell.program("ps", PYTHONIOENCODING="ascii")
    assert code == 0
    assert out.isascii()


def test_the_shell_completes_targets(shell: Shell) -> None:
    words = {"COMP_WORDS": "homing inspect ke", "COMP_CWORD": "2"}
    _, targets, _ = shell.program(**words, **{"_ALONE.PY_COMPLETE": "complete_bash"})
    assert targets.split() == ["keeper"]


def test_of_several_os_processes_each_row_has_its_node(fresh: Shell) -> None:
    with fresh.node("--processes", "2", "--allow"):
        nodes = set()
        while len(nodes) < 2:  # they start one after the other
            code, out, err = fresh.run("sockets", "shown")
            if code == 0 and out.startswith("node ") and "missing" not in err:
                nodes = {line.split()[0] for line in out.splitlines()[1:]}
        assert nodes == {"shown-1@localhost", "shown-2@localhost"}
        code, _, err = fresh.run("inspect", "echo")
        assert (code, "several nodes have 'echo'" in err) == (2, True)
        code, out, _ = fresh.run("inspect", "<shown-2@localhost.1002>")
        assert (code, out.splitlines()[0]) == (0, "echo  <shown-2@localhost.1002>  Echo (actor)")
        code, out, _ = fresh.run("log-level", "debug")
        assert (code, out) == (0, "".join(f"shown-{n}@localhost: the whole program: debug\n" for n in (1, 2)))
        code, out, _ = fresh.run("logs", "--last", "3", "--json")
        times = [json.loads(line)["time"] for line in out.splitlines()]
        assert (code, len(times), times) == (0, 3, sorted(times))
        code, out, _ = fresh.run("trace", "--seconds", "0.1")
        assert (code, out) == (0, "no message came in 0.1 s\n")
        code, out, _ = fresh.run("drain")
        assert code == 0
        assert [line.partition(":")[0] for line in out.splitlines()] == ["shown-1@localhost", "shown-2@localhost"]
