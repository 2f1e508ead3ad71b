"""`homing nodes`, and `--cluster` of the commands that look into a node."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from homing.cli.shell.columns import CLUSTER_NODES
from homing.cli.shell.node_changes import NodeChanges
from homing.cli.shell.table import layout, lines

from .conftest import Shell


def row(name: str, **facts: Any) -> dict[str, Any]:
    """A record of a node."""
    numbers = ("in_flight", "waiting", "messages_in", "messages_out", "bytes_in", "bytes_out", "dropped", "resets")
    plain: dict[str, Any] = {
        "node": "a@h",
        "name": name,
        "own": False,
        "creation": "7",
        "up": True,
        "uptime": 5.0,
        "addresses": [],
        "tags": [],
        "weight": 1,
        "draining": False,
        "rtt": 0.0002,
        "undelivered": {},
        **dict.fromkeys(numbers, 0),
    }
    return {**plain, **facts}


def cells(one: dict[str, Any]) -> dict[str, str]:
    return {column.title: column.cell(one) for column in CLUSTER_NODES}


def test_a_row_shows_the_connection_to_a_node() -> None:
    found = cells(row("b@h", waiting=2048, undelivered={"mailbox_full": 2}, tags=["edge", "x"]))
    assert (found["state"], found["waiting"], found["rtt"], found["tags"], found["undelivered"]) == (
        *("up", "2KiB", "200us", "edge,x"),
        "mailbox_full=2",
    )


@pytest.mark.parametrize(
    ("facts", "state"),
    [({"up": False}, "down"), ({"draining": True}, "draining"), ({"own": True, "rtt": None}, "this")],
)
def test_the_state_is_one_word(facts: dict[str, Any], state: str) -> None:
    assert cells(row("b@h", **facts))["state"] == state


def test_names_that_would_control_the_terminal_are_made_harmless() -> None:
    rows = [row("\x1b[2Jevil@h")]
    assert "\x1b" not in "".join(str(line) for line in lines(layout(CLUSTER_NODES, rows, None), rows))


# --- changes ------------------------------------------------------------------------------------------------


def watched(*states: dict[str, Any]) -> list[str]:
    """The texts of `--watch`, without their times."""
    changes = NodeChanges()
    texts = [changes.text_of({"snapshot": {"nodes": {"rows": states[0]}}})]
    for before, now in pairwise(states):
        delta = {**dict.fromkeys(before.keys() - now.keys()), **now}
        texts.append(changes.text_of({"delta": {"nodes": {"rows": delta}}}))
    return [line[9:] for text in texts[1:] for line in text.splitlines()]


def test_a_line_tells_each_change() -> None:
    up, drains = row("b@h"), row("b@h", draining=True)
    again = row("b@h", creation="8")
    assert watched({}, {"a@h/b@h": up}, {"a@h/b@h": drains}, {}, {"a@h/b@h": up}, {"a@h/b@h": again}) == [
        *("b@h is up", "b@h drains", "b@h is down", "b@h is up", "b@h was started again"),
    ]


def test_counters_that_change_are_no_news() -> None:
    assert watched({"k": row("b@h")}, {"k": row("b@h", messages_in=9, uptime=6.0)}) == []


# --- the commands -------------------------------------------------------------------------------------------


def test_a_node_in_no_cluster_says_so(shell: Shell) -> None:
    code, out, err = shell.run("nodes")
    assert (code, out.split()[:2]) == (0, ["name", "state"])
    assert "in no cluster" in err
    code, out, _ = shell.run("nodes", "--json")
    assert (code, json.loads(out)["cluster"]) == (0, None)


@pytest.mark.parametrize(
    "command", ["ps", "sockets", "pools", "events", "applications", "tree", "supervisors", "top --json"]
)
def test_a_command_for_all_nodes_needs_a_cluster(shell: Shell, command: str) -> None:
    code, out, err = shell.run(*command.split(), "--cluster")
    assert (code, out) == (1, "")
    assert "is in no cluster; see `homing run --cluster`" in err


def test_no_node_is_named_as_by_the_other_commands(fresh: Shell) -> None:
    assert fresh.run("nodes")[0] == 1
