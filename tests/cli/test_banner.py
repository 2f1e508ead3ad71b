"""The banner of `homing run`."""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest

from homing.cli.banner import UNLIMITED, Doors, banner, status, terminal_columns

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the advice is for Linux")


def snapshot(*facts: dict[str, Any]) -> dict[str, Any]:
    """A node with a process that has a UDP server for each of `facts`."""
    common = {"process": "<pid>", "backend": "native", "receive_buffer": 1000, "send_buffer": 1000}
    metas = [{"facts": {"listener": f"127.0.0.1:{n}", **common, **more}} for n, more in enumerate(facts)]
    process = {"pid": "<pid>", "name": "echo", "metas": metas}
    application = {"name": "app", "version": "1", "mode": "permanent", "state": "running", "description": "d"}
    return {
        "node": {"name": "shop@host", "processes": 1234, "os_pid": 7, "python": "3.x", "loop": "homing"},
        "applications": [{**application, "processes": [process]}],
        "processes": [],
    }


DOORS = Doors("/run/shop.sock (read-only)", "http://127.0.0.1:9911/ (with the token)", "app.toml")


def test_a_terminal_that_does_not_know_its_size_gets_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((0, 0)))
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    assert terminal_columns() == UNLIMITED


def test_it_names_the_cluster_and_the_command_that_shows_its_nodes() -> None:
    found = banner(snapshot(), DOORS._replace(cluster="prod, listens at tcp/127.0.0.1:7447"))
    assert "\n  cluster      prod, listens at tcp/127.0.0.1:7447\n" in found
    assert "homing tree shop, homing nodes shop\n" in found


def test_it_says_all_that_is_open_and_the_commands_that_show_more() -> None:
    assert banner(snapshot({}), DOORS) == (
        "\n"
        "  node         shop@host\n"
        "  application  app 1 (permanent): d\n"
        "  processes    1,234\n"
        "  OS process   7, Python 3.x, homing\n"
        "  config       app.toml (kill -HUP 7 reads it again)\n"
        "  control      /run/shop.sock (read-only)\n"
        "  HTTP         http://127.0.0.1:9911/ (with the token)\n"
        "  look         homing top shop, homing tree shop\n"
        "\n"
        "  UDP server   receiver  backend  receive buffer   send buffer\n"
        "  127.0.0.1:0  echo      native   1,000 (default)  1,000 (default)\n"
    )


def test_without_a_control_socket_it_names_no_command_that_needs_one() -> None:
    assert "homing top" not in banner(snapshot(), Doors("off (--no-control)"))


@LINUX
def test_for_buffers_that_were_not_granted_it_has_the_command_that_grants_the_largest() -> None:
    facts = [{"receive_buffer_asked": 5000}, {"receive_buffer_asked": 9000}, {"send_buffer_asked": 1000}]
    text = banner(snapshot(*facts), DOORS)
    assert "1,000 (asked 9,000)" in text
    assert "    sudo sysctl -w net.core.rmem_max=9000\n" in text
    assert "wmem_max" not in text


@pytest.mark.parametrize("columns", [20, 40, 60])
def test_on_a_narrow_terminal_the_table_is_a_list_and_no_line_is_longer_unless_it_has_one_long_word(
    columns: int,
) -> None:
    lines = banner(snapshot({}, {}), DOORS, columns).splitlines()
    assert "  UDP server 127.0.0.1:1" in lines
    assert "    receive buffer 1,000 (default)" in lines
    assert [line for line in lines if len(line) > max(columns, 40)] == []


def test_many_servers_are_counted() -> None:
    assert "  ... and 5 UDP servers more\n" in banner(snapshot(*[{}] * 25), DOORS)


def test_a_node_without_servers_says_so() -> None:
    assert banner(snapshot(), DOORS).endswith("\n  no UDP server listens yet\n")


def test_servers_of_tcp_are_named_apart_and_are_enough() -> None:
    text = banner(snapshot({"most_connections": 9}, {}), DOORS)
    assert "\n  TCP          127.0.0.1:0\n" in text
    assert "\n  127.0.0.1:0" not in text
    assert "UDP" not in banner(snapshot({"most_connections": 9}), DOORS)
    assert status(snapshot({"most_connections": 9}, {})).endswith(": d, UDP 127.0.0.1:1, TCP 127.0.0.1:0")


def test_the_status_is_one_line() -> None:
    assert status(snapshot({}, {})) == "app 1 (permanent): d, UDP 127.0.0.1:0, UDP 127.0.0.1:1"
