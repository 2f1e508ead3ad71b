"""A server whose options or address were changed while it ran outlives a crash of its owner all the same."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.meta.udp_server.reconfigure import CHANGEABLE

from ...support import Probe, UDPPeer, eventually, free_port
from ..servers import HOST, create, error_of, is_bound, open_server
from .test_udp_linger import crash, owned

pytestmark = [
    pytest.mark.backends,
    pytest.mark.loops,
    pytest.mark.skipif(sys.platform != "linux", reason="most of these options are Linux only"),
]

ALL = ((0x06, 0, 0, 0xFFFF),)  # ret 65535: passes everything
CHANGES: dict[str, Any] = {
    "allow": ("127.0.0.0/8",),
    "deny": ("192.0.2.0/24",),
    "rate_limit": meta.RateLimit(rate=1_000_000),
    "reply_limit": meta.RateLimit(rate=1_000_000),
    "reply_guard": meta.ReplyGuard(),
    "amplification": 3.0,
    "send_rate": meta.Pacing(bytes_per_second=1_000_000_000),
    "process": "somebody",
    "high_water": 7,
    "low_water": 3,
    "high_water_bytes": 77_777,
    "high_water_seconds": 0.5,
    "max_age": 60.0,
    "conflate": id,
    "codel": meta.CoDel(target=10.0, interval=60.0),
    "fair": meta.Fair(),
    "loss_markers": True,
    "overflow": "drop_newest",
    "receive_batch": 3,
    "send_queue": 7,
    "send_overflow": "drop_oldest",
    "on_error": "somebody",
    "linger": 30.0,
    "receive_buffer": 77_777,
    "send_buffer": 66_666,
    "broadcast": True,
    "ttl": 9,
    "tos": 16,
    "mtu_discovery": "do",
    "multicast_ttl": 7,
    "multicast_loop": False,
    "multicast_interface": "lo",
    "bind_device": "lo",
    "groups": (meta.MulticastGroup("239.1.2.3", interface="lo"),),
    "bpf": ALL,
    "admit": meta.where.length < 65535,
    "admit_in": "process",
    "reuse_port_steering": "cpu",
}
MORE: dict[str, dict[str, Any]] = {"reuse_port_steering": {"reuse_port": True}}
"""What a server must be made with so that an option can be changed."""


def test_every_option_that_can_be_changed_is_changed_here() -> None:
    assert CHANGES.keys() | {"host", "port", "peers", "tap"} == CHANGEABLE  # see tests/meta/peers, test_udp_tap


def told(server: meta.UDPServer) -> list[int]:
    """What the system tells of the socket."""
    sock = server._state.endpoint.sock
    ip = socket.IPPROTO_IP
    pairs = [(1, socket.SO_BROADCAST), *((ip, n) for n in (socket.IP_TTL, socket.IP_TOS, 10)), (1, socket.SO_RCVBUF)]
    pairs += [(1, socket.SO_SNDBUF), (ip, socket.IP_MULTICAST_TTL), (ip, socket.IP_MULTICAST_LOOP)]
    return [sock.getsockopt(*pair) for pair in pairs] + [len(sock.getsockopt(1, 26, 1024))]  # SO_GET_FILTER


@pytest.mark.parametrize("name", sorted(CHANGES))
async def test_an_option_that_was_changed_keeps_no_successor_from_adopting_the_socket(
    node: homing.Node, peer: UDPPeer, name: str
) -> None:
    if name == "bind_device" and os.geteuid() != 0:
        pytest.skip("binds to an interface: CAP_NET_RAW")
    owner, server, alias = await owned(node, **MORE.get(name, {}))
    was = told(server)
    await owner.do(lambda actor: actor.call(alias, meta.Reconfigure(**{name: CHANGES[name]})))
    await crash(node, owner)
    for number in range(100):
        peer.send(b"%d" % number, server.local_address)
    successor = await Probe.start(node)
    again, same = await open_server(successor, port=server.local_address[1], linger=60.0, **MORE.get(name, {}))
    assert [(await successor.get()).data for _ in range(100)] == [b"%d" % number for number in range(100)]
    assert (same, told(again)) == (alias, was)
    facts = await node.inspect_meta(alias)
    assert (facts["adoptions"], facts["packets_in"], facts["kernel_drops"]) == (1, 100, 0)
    assert facts["groups"] == []


@pytest.mark.parametrize("name", sorted(CHANGES))
async def test_a_successor_may_ask_for_other_options(node: homing.Node, peer: UDPPeer, name: str) -> None:
    if name == "bind_device" and os.geteuid() != 0:
        pytest.skip("binds to an interface: CAP_NET_RAW")
    owner, server, alias = await owned(node, **MORE.get(name, {}))
    await crash(node, owner)
    peer.send(b"waits", server.local_address)
    somebody = await Probe.start(node, name="somebody")
    successor = await Probe.start(node)
    options = {"linger": 60.0, **MORE.get(name, {}), name: CHANGES[name]}
    again, same = await open_server(successor, port=server.local_address[1], **options)
    assert (await (somebody if name == "process" else successor).get()).data == b"waits"
    assert (same, again._state.options) == (
        alias,
        meta.UDPServerOptions(host=HOST, port=server.local_address[1], **options),
    )


async def test_what_the_system_refuses_leaves_the_socket_as_it_was_to_the_next(
    node: homing.Node, peer: UDPPeer
) -> None:
    owner, server, alias = await owned(node, ttl=9)
    await crash(node, owner)
    peer.send(b"waits", server.local_address)
    was = told(server)
    bad = {"port": server.local_address[1], "linger": 60.0, "ttl": 11, "multicast_interface": "nosuchdevice"}
    unlucky = await Probe.start(node)
    error = await unlucky.do(lambda actor: error_of(actor.spawn_meta(create(**bad))))
    assert isinstance(error, gen.BadOption)
    assert told(server) == was
    successor = await Probe.start(node)
    assert (await open_server(successor, port=server.local_address[1], ttl=9))[1] == alias
    assert (await successor.get()).data == b"waits"


# --- another address ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("grace", [0.0, 60.0])
async def test_an_owner_that_crashes_after_a_move_has_its_first_address_again(
    node: homing.Node, peer: UDPPeer, grace: float
) -> None:
    owner, server, alias = await owned(node)
    first, second = server.local_address, (HOST, free_port())
    await owner.do(lambda actor: actor.call(alias, meta.Reconfigure(port=second[1], grace=grace, ttl=9)))
    node.kill(owner.pid)
    await owner.ended.wait()
    await eventually(lambda: server.process.lingering)
    for number in range(50):
        peer.send(b"first %d" % number, first)
        peer.send(b"second %d" % number, second)
    successor = await Probe.start(node)
    again, same = await open_server(successor, port=first[1], linger=60.0)
    assert (same, again.local_address) == (alias, first)
    came = [(await successor.get()) for _ in range(100)]
    for word in (b"first", b"second"):
        assert [one.data for one in came if one.data.startswith(word)] == [b"%s %d" % (word, n) for n in range(50)]
    for word, address in ((b"first", first), (b"second", second)):
        node.send(alias, next(one for one in came if one.data.startswith(word)).reply(b"answer"))
        assert await peer.receive() == (b"answer", address)
    peer.send(b"more", first)
    assert (await successor.get()).data == b"more"
    statistics = again.statistics()
    assert (statistics.packets_in, statistics.delivered, statistics.kernel_drops) == (101, 101, 0)


async def test_after_the_grace_the_first_address_takes_in_again_what_comes(node: homing.Node, peer: UDPPeer) -> None:
    owner, server, alias = await owned(node)
    first = server.local_address
    await owner.do(lambda actor: actor.call(alias, meta.Reconfigure(port=free_port(), grace=60.0, bpf=ALL)))
    former = server._state.former.at([first])
    assert former is not None
    node.kill(owner.pid)
    await owner.ended.wait()
    await eventually(lambda: server.process.lingering)
    peer.send(b"before", first)
    former._timer.cancel()
    former._stop_accepting()
    assert former.refusing
    peer.send(b"refused", first)
    successor = await Probe.start(node)
    again, _ = await open_server(successor, port=first[1], linger=60.0)
    peer.send(b"after", first)
    assert [(await successor.get()).data for _ in range(2)] == [b"before", b"after"]
    statistics = again.statistics()
    assert (statistics.packets_in, statistics.kernel_drops) == (2, 1)


async def test_a_server_moves_back_to_an_address_that_it_still_has(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    server, alias = await open_server(probe, port=free_port())
    ports = [server.local_address[1], free_port()]
    for number in range(1, 6):
        changes = {"port": ports[number % 2], "ttl": 10 + number}
        answer = await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(grace=60.0, **changes)))  # noqa: B023
        assert answer.local_address == (HOST, ports[number % 2])
        assert server._state.endpoint.sock.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 10 + number
        for port in ports:
            peer.send(b"%d" % port, (HOST, port))
            message = await probe.get()
            assert message.data == b"%d" % port
            probe.node.send(alias, message.reply(b"answer"))
            assert await peer.receive() == (b"answer", (HOST, port))
    assert server.statistics().packets_in == 10
    assert len(server._state.former.sockets) == 1


class Owner(act.Actor):
    """Opens its server at the address that is written in the program."""

    async def init(self, port: int, seen: list[bytes]) -> None:
        self.seen = seen
        options = meta.UDPServerOptions(host=HOST, port=port, linger=60.0)
        self.udp = await self.spawn_meta(meta.create_udp_server(options))

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        if isinstance(message, meta.Reconfigure):
            await self.call(self.udp, message)
        elif message == "crash":
            raise RuntimeError("asked for")
        else:
            self.seen.append(bytes(message.data))


class Keeper(act.Supervisor):
    def init(self, *args: Any) -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="owner", behavior=Owner, args=args),), intensity=1)


async def test_a_supervisor_does_not_give_up_for_an_address_that_its_child_has_moved_from(
    node: homing.Node, peer: UDPPeer
) -> None:
    port, seen = free_port(), []
    supervisor = await node.spawn(Keeper, port, seen)
    node.send("owner", meta.Reconfigure(port=free_port(), grace=60.0))
    node.send("owner", "crash")
    await eventually(lambda: node.info().crashes == 1)
    peer.send(b"hello", (HOST, port))
    await eventually(lambda: seen == [b"hello"])
    assert supervisor in node.processes()


async def test_several_servers_of_one_port_wait_each_for_a_successor(node: homing.Node, probe: Probe) -> None:
    port = free_port()
    owners = [await owned(node, port=port, reuse_port=True) for _ in range(3)]
    for owner, _, _ in owners:
        await crash(node, owner)
    again = [await open_server(await Probe.start(node), port=port, reuse_port=True) for _ in range(3)]
    assert {alias for _, alias in again} == {alias for _, _, alias in owners}
    assert is_bound((HOST, port))
