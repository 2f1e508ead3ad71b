"""UDP servers with options from the configuration of their node."""

from __future__ import annotations

from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import Probe, free_port


def options(**servers: dict[str, Any]) -> gen.NodeOptions:
    return gen.NodeOptions(config=gen.Configuration(servers=servers))


async def test_a_server_has_the_options_of_its_name_and_those_of_the_program_that_are_not_there() -> None:
    port = free_port()
    async with homing.start_node("test@localhost", options(echo={"port": port})) as node:
        probe = await Probe.start(node)
        given = meta.UDPServerOptions(name="echo", host="127.0.0.1", high_water=99)
        server = meta.create_udp_server(given)
        await probe.do(lambda actor: actor.spawn_meta(server))
        assert server.local_address == ("127.0.0.1", port)
        assert await node.inspect_meta(server.alias, "listener") == {"listener": f"127.0.0.1:{port}"}


async def test_a_server_made_in_short_has_the_name_of_its_process_unless_it_has_its_own() -> None:
    ports = free_port(), free_port()
    async with homing.start_node("test@localhost", options(probe={"port": ports[0]}, own={"port": ports[1]})) as node:
        probe = await Probe.start(node, name="probe")
        first = await probe.do(lambda actor: meta.listen_udp(actor, host="127.0.0.1"))
        second = await probe.do(lambda actor: meta.listen_udp(actor, host="127.0.0.1", name="own"))
        assert (first.local_address[1], second.local_address[1]) == ports


async def test_a_server_of_a_process_without_a_name_has_only_the_options_of_the_program() -> None:
    async with homing.start_node("test@localhost", options(probe={"host": "nowhere.invalid"})) as node:
        probe = await Probe.start(node)
        server = await probe.do(lambda actor: meta.listen_udp(actor, host="127.0.0.1"))
        assert server.local_address[0] == "127.0.0.1"


async def test_options_that_do_not_fit_those_of_the_program_are_refused() -> None:
    async with homing.start_node("test@localhost", options(echo={"low_water": 5000})):
        with pytest.raises(gen.BadOption, match="low_water=5000"):
            meta.create_udp_server(meta.UDPServerOptions(name="echo", host="127.0.0.1"))


async def test_a_restarted_owner_gets_the_same_options_again() -> None:
    class Owner(act.Actor):
        async def init(self, found: list[Any]) -> None:
            server = await meta.listen_udp(self, host="127.0.0.1", linger=5)
            found.append((server.local_address[1], server.statistics()))

        def handle_message(self, sender: Any, message: Any) -> None:
            raise ValueError("crash")

    found: list[Any] = []
    port = free_port()
    async with homing.start_node("test@localhost", options(owner={"port": port})) as node:
        for _ in range(2):
            pid = await node.spawn(Owner, found, name="owner")
            probe = await Probe.start(node)
            await probe.do(lambda actor, pid=pid: actor.monitor(pid))
            node.send(pid, "crash")
            await probe.get()
    assert [one[0] for one in found] == [port, port]


async def test_a_node_that_has_stopped_gives_no_options_any_more() -> None:
    async with homing.start_node("test@localhost", options(echo={"port": 1})):
        pass
    with meta.create_udp_server(meta.UDPServerOptions(name="echo", host="127.0.0.1")) as server:
        assert server.local_address[1] > 1


@pytest.mark.parametrize("name", [5, "x" * 256, None])
def test_a_name_that_is_no_name_is_refused(name: Any) -> None:
    with pytest.raises(gen.BadOption, match="name="):
        meta.UDPServerOptions(name=name)
