"""The address of a server, by whatever leads to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...support import Probe, UDPPeer, eventually
from ..servers import create, open_server


class Told(act.Actor):
    """Tells its server's address."""

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return self.server_address


async def test_the_address_of_a_server_is_found_by_its_alias_and_by_its_owner(node: homing.Node, probe: Probe) -> None:
    server, alias = await open_server(probe)
    node.register_name("echo", probe.pid)
    other = await probe.do(lambda actor: actor.create_alias())
    for target in (alias, probe.pid, "echo", gen.ProcessID("echo", node.name), other):
        assert node.address_of(target) == server.local_address
    assert await probe.do(lambda actor: actor.server_address) == server.local_address


async def test_a_process_finds_the_server_whose_datagrams_it_gets(node: homing.Node, probe: Probe) -> None:
    told = await node.spawn(Told, name="told")
    server, _ = await open_server(probe, process="told")
    assert node.address_of(told) == await node.call(told, "address") == server.local_address


@pytest.mark.parametrize("thread", [False, True])
async def test_the_workers_of_a_server_find_it(node: homing.Node, probe: Probe, thread: bool) -> None:
    options = gen.ProcessOptions(thread=thread)
    server, alias = await open_server(probe, worker=Told, workers=1, worker_options=options)
    pool = node.meta_info(alias)
    assert pool.id == alias
    workers = [pid for pid in node.processes() if node.process_info(pid).behavior == "Told"]
    assert await node.call(workers[0], "address") == server.local_address


async def test_an_owner_finds_its_server_in_init(node: homing.Node) -> None:
    class Owner(act.Actor):
        async def init(self) -> None:
            server = create()
            await self.spawn_meta(server)
            self.same = self.server_address == server.local_address

        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> bool:
            return self.same

    assert await node.call(await node.spawn(Owner), "same")


async def test_a_server_that_was_given_away_is_the_new_owners(node: homing.Node, probe: Probe) -> None:
    server, alias = await open_server(probe)
    told = await node.spawn(Told)
    await probe.do(lambda actor: actor.give_meta(alias, told))
    assert node.address_of(told) == server.local_address
    with pytest.raises(gen.NotAllowed, match="has no UDP server"):
        node.address_of(probe.pid)


async def test_no_server_and_several_are_errors_that_say_what_to_do(node: homing.Node, probe: Probe) -> None:
    with pytest.raises(gen.NotAllowed, match=r"has no UDP server.*start one by spawn_meta"):
        node.address_of(probe.pid)
    _, one = await open_server(probe)
    _, two = await open_server(probe)
    with pytest.raises(gen.NotAllowed, match=r"has 2 UDP servers; give node\.address_of the alias of one") as caught:
        node.address_of(probe.pid)
    assert str(one) in str(caught.value)
    assert str(two) in str(caught.value)
    await probe.do(lambda actor: actor.send_exit_meta(one, gen.TerminateNormal))
    await eventually(lambda: len(node.process_info(probe.pid).metas) == 1)
    assert node.address_of(probe.pid) == node.address_of(two)


async def test_a_client_is_no_server(node: homing.Node, probe: Probe, peer: UDPPeer) -> None:
    client = meta.create_udp_client(meta.UDPClientOptions(host=peer.address[0], port=peer.address[1]))
    alias = await probe.do(lambda actor: actor.spawn_meta(client))
    with pytest.raises(gen.NotAllowed, match="is no UDP server"):
        node.address_of(alias)
    with pytest.raises(gen.NotAllowed, match="has no UDP server"):
        node.address_of(probe.pid)


@pytest.mark.parametrize(("target", "error"), [("nobody", gen.NameUnknown), (5, gen.BadOption), ([], gen.BadOption)])
async def test_what_is_no_address_has_none(node: homing.Node, target: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        node.address_of(target)


async def test_the_address_of_a_unix_socket_is_its_path(node: homing.Node, probe: Probe, tmp_path: Path) -> None:
    server = meta.create_udp_server(meta.UDPServerOptions(path=str(tmp_path / "socket")))
    await probe.do(lambda actor: actor.spawn_meta(server))
    assert node.address_of(probe.pid) == str(tmp_path / "socket")
