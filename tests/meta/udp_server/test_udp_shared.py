"""UDP servers of one of several processes, whose shared sockets a supervising program keeps."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import gen, meta
from homing.datagram.sockets.shared import seat as seat_module
from homing.datagram.sockets.shared.keeper import Keeper, Place
from homing.datagram.sockets.shared.seat import Seat

from ...datagram.traffic import linux_only
from ...support import Probe, UDPPeer, eventually, free_port
from ..servers import HOST, get_payloads, is_bound, open_server
from .test_udp_reconfiguring import change

pytestmark = [linux_only, pytest.mark.backends, pytest.mark.loops]
COUNT = 3


class Supervisor:
    """A supervising program, on a thread of its own: the questions of servers block their loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.keeper: Keeper = self.do(lambda: Keeper(COUNT, print))
        place: Place = self.do(lambda: self.keeper.place(0))
        self.sock = place.child
        self.seat = Seat(self.sock)

    def do(self, function: Any) -> Any:
        """Calls a function there."""

        async def call() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    def members(self) -> list[int]:
        """For each group the number of its sockets that are open."""
        found: list[int] = self.do(lambda: [COUNT - group.missing for group in self.keeper.groups])
        return found

    def held(self) -> list[int]:
        """For each group the number of processes that have a server there."""
        found: list[int] = self.do(lambda: [len(group.holders) for group in self.keeper.groups])
        return found

    def close(self) -> None:
        self.do(self.keeper.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.sock.close()


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    made = Supervisor()
    monkeypatch.setattr(seat_module, "_seat", made.seat)
    yield made
    made.close()


async def test_what_waits_while_an_owner_is_restarted_is_delivered_to_its_next_server(
    node: homing.Node, probe: Probe, peer: UDPPeer, supervisor: Supervisor
) -> None:
    port = free_port()
    first = await Probe.start(node)
    # Only this process has a share: the others have ended.
    server, alias = await open_server(first, port=port, reuse_port=True)
    for process in range(1, COUNT):
        supervisor.do(lambda process=process: supervisor.keeper.ended(process))
    await first.do(lambda actor: actor.send_exit_meta(alias, gen.TerminateShutdown()))
    await eventually(lambda: supervisor.held() == [0])
    for payload in (b"1", b"2"):
        peer.send(payload, (HOST, port))
    again, _ = await open_server(probe, port=port, reuse_port=True)
    assert await get_payloads(probe, 2) == [b"1", b"2"]
    assert again.statistics().kernel_drops == 0
    assert server.statistics().packets_in == 0


async def test_a_second_server_at_the_same_address_has_a_group_of_its_own(probe: Probe, supervisor: Supervisor) -> None:
    port = free_port()
    for _ in range(2):
        server, _ = await open_server(probe, port=port, reuse_port=True)
        assert server.local_address == (HOST, port)
    assert supervisor.members() == [COUNT, COUNT]


@pytest.mark.parametrize("options", [{"host": "::1"}, {"host": "::", "dual_stack": True}, {"host": ""}])
async def test_each_family_can_be_shared(
    node: homing.Node, probe: Probe, supervisor: Supervisor, options: dict[str, Any]
) -> None:
    server, _ = await open_server(probe, port=0, reuse_port=True, **options)
    assert supervisor.members() == [COUNT]
    for process in range(1, COUNT):
        supervisor.do(lambda process=process: supervisor.keeper.ended(process))
    host, port = server.local_address[:2]
    with UDPPeer("::1" if host == "::1" else "127.0.0.1") as peer:
        peer.send(b"1", (host if host == "::1" else "127.0.0.1", port))
        assert await get_payloads(probe, 1) == [b"1"]


async def test_a_server_that_is_moved_gets_its_share_of_the_new_port_and_gives_back_the_old_one(
    probe: Probe, peer: UDPPeer, supervisor: Supervisor
) -> None:
    server, alias = await open_server(probe, port=0, reuse_port=True)
    before, after = server.local_address, free_port()
    answer: meta.Reconfigured = await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(port=after, grace=0.0)))
    assert answer.local_address == (HOST, after)
    assert supervisor.members() == [COUNT, COUNT]
    await eventually(lambda: supervisor.held() == [0, 1])
    assert is_bound(before)
    back = await change(probe, alias, port=before[1])
    assert back.local_address[1] == before[1]


async def test_a_lingering_server_is_adopted_without_a_question(
    node: homing.Node, probe: Probe, supervisor: Supervisor
) -> None:
    port = free_port()
    owner = await Probe.start(node)
    await open_server(owner, port=port, reuse_port=True, linger=30.0)
    node.kill(owner.pid)
    server, _ = await open_server(probe, port=port, reuse_port=True, linger=30.0)
    assert server.local_address == (HOST, port)
    assert supervisor.held() == [1]


async def test_other_servers_and_unix_sockets_belong_to_their_process(
    probe: Probe, supervisor: Supervisor, tmp_path: Path
) -> None:
    await open_server(probe, port=0)
    await probe.do(
        lambda actor: actor.spawn_meta(meta.create_udp_server(meta.UDPServerOptions(path=str(tmp_path / "s"))))
    )
    assert supervisor.members() == []
