"""What a successor's options ask for is set when it takes over, and not before; if it fails then, all is restored."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import pytest

import homing
from homing import gen, meta
from homing.datagram.sockets.snapshot import SWITCHES
from homing.meta.upgrade import successor as taking_over

from ...support import Probe, UDPPeer, eventually, free_port
from ..servers import HOST, open_server
from .generations import offered, running, stopped

pytestmark = [
    pytest.mark.backends,
    pytest.mark.loops,
    pytest.mark.skipif(sys.platform != "linux", reason="sockets are handed over on Linux only"),
]

NOTHING = ((0x06, 0, 0, 0),)  # ret 0
ALL = ((0x06, 0, 0, 0xFFFF),)
GROUP = meta.MulticastGroup("239.1.2.3", interface="lo")
OTHER = meta.MulticastGroup("239.1.2.4", interface="lo")

BEFORE: dict[str, Any] = {
    "bpf": ALL,
    "error_queue": True,
    "receive_buffer": 77_777,
    "send_buffer": 66_666,
    "ttl": 9,
    "tos": 8,
    "receive_ttl": True,
    "multicast_interface": "lo",
    "multicast_ttl": 5,
}
AFTER: dict[str, Any] = {
    "receive_buffer": 99_999,
    "send_buffer": 55_555,
    "broadcast": True,
    "ttl": 11,
    "tos": 16,
    "mtu_discovery": "do",
    "groups": (GROUP,),
    "multicast_ttl": 7,
    "multicast_loop": False,
    "receive_local_address": True,
    "receive_tos": True,
    "receive_timestamp": True,
}
HERE = {"admit": meta.where.length > 0, "admit_in": "process"}
IN_KERNEL = {"admit": meta.where[0] == b"h"}
EITHER = [
    *((BEFORE, AFTER), (AFTER, BEFORE), ({}, {**AFTER, "bpf": NOTHING}), ({"reuse_port": True}, {"gro": False})),
    *((HERE, IN_KERNEL), (IN_KERNEL, HERE)),
]


def settings(server: meta.UDPServer) -> dict[Any, Any]:
    """All that the system tells of a socket."""
    sock = server._state.endpoint.sock
    found: dict[Any, Any] = {"filter": len(sock.getsockopt(socket.SOL_SOCKET, 26, 1024))}  # SO_GET_FILTER
    numbers = {*SWITCHES, (socket.SOL_SOCKET, socket.SO_RCVBUF), (socket.SOL_SOCKET, socket.SO_SNDBUF), (17, 104)}
    for level, number in numbers:
        try:
            found[level, number] = sock.getsockopt(level, number)
        except OSError:
            pass
    return found


async def hand_over(
    node: homing.Node, path: str, server: meta.UDPServer, options: dict[str, Any], then: Callable[[], None]
) -> None:
    """Another node takes over; `then` is called when its server has been made."""
    async with running(node) as new:
        heir = await Probe.start(new)
        async with meta.TakeOver(new, path):
            await open_server(heir, port=server.local_address[1], **options)
            then()


@pytest.mark.parametrize(("before", "after"), EITHER)
async def test_while_a_successor_starts_the_predecessor_has_its_own_settings_and_after_a_failure_too(
    node: homing.Node, probe: Probe, peer: UDPPeer, path: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    server, _ = await open_server(probe, port=free_port(), **before)
    await offered(node, path)
    was = settings(server)

    def fail() -> None:
        now = settings(server)
        now[17, 104] = was[17, 104]  # UDP_GRO: what comes joined, the successor may not be able to take apart
        assert now == was
        raise ValueError("fault")

    for _ in range(2):
        with pytest.raises(ValueError, match="fault"):
            await hand_over(node, path, server, after, fail)
        await eventually(lambda: settings(server) == was, "what was set")
        peer.send(b"hello", server.local_address)
        assert (await probe.get()).data == b"hello"


@pytest.mark.parametrize(("before", "after"), EITHER)
async def test_a_successor_that_fails_when_it_has_changed_the_sockets_leaves_them_as_they_were(
    node: homing.Node,
    probe: Probe,
    peer: UDPPeer,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
    before: dict[str, Any],
    after: dict[str, Any],
) -> None:
    server, _ = await open_server(probe, port=free_port(), **before)
    await offered(node, path)
    was = settings(server)
    say = taking_over._say
    changed = []

    async def say_but_die(channel: Any, word: str, **more: Any) -> None:
        if word == "reading":
            changed.append(settings(server))
            raise ValueError("fault")
        await say(channel, word, **more)

    monkeypatch.setattr(taking_over, "_say", say_but_die)
    with pytest.raises(ValueError, match="fault"):
        await hand_over(node, path, server, after, lambda: None)
    assert changed != [was] or after == {"gro": False}
    await eventually(lambda: settings(server) == was, "what was set")
    peer.send(b"hello", server.local_address)
    assert (await probe.get()).data == b"hello"


@pytest.mark.parametrize(("before", "after"), EITHER)
async def test_after_the_hand_over_what_the_successor_asks_for_is_set(
    node: homing.Node, probe: Probe, peer: UDPPeer, path: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    server, _ = await open_server(probe, port=free_port(), **before)
    await offered(node, path)
    async with running(node) as new:
        heir = await Probe.start(new)
        async with meta.TakeOver(new, path):
            again, alias = await open_server(heir, port=server.local_address[1], **after)
        await stopped(node)
        sock = again._state.endpoint.sock
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == after.get("ttl", before.get("ttl", 64))
        assert sock.getsockopt(socket.IPPROTO_IP, 11) == after.get("error_queue", False)  # IP_RECVERR
        assert (settings(again)["filter"] > 0) == ("bpf" in after or after is IN_KERNEL)
        facts = await new.inspect_meta(alias, "receive_buffer", "groups")
        assert facts["receive_buffer"] == after.get("receive_buffer", facts["receive_buffer"])
        assert facts["groups"] == [str(group) for group in after.get("groups", ())]
        if after.get("bpf") != NOTHING:
            peer.send(b"hello", again.local_address)
            assert (await heir.get()).data == b"hello"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("bpf", ((0xFFFF, 0, 0, 0),)),
        ("bind_device", "nosuchdevice"),
        ("groups", (meta.MulticastGroup("239.1.2.3", interface="nosuchdevice"),)),
        ("multicast_interface", "nosuchdevice"),
        ("reuse_port_steering", NOTHING),
    ],
)
async def test_what_the_system_refuses_is_told_when_the_server_is_made(
    node: homing.Node, probe: Probe, path: str, option: str, value: Any
) -> None:
    server, _ = await open_server(probe, port=free_port())
    await offered(node, path)
    was = settings(server)
    with pytest.raises(gen.BadOption, match=f"{option}|interface"):
        await hand_over(node, path, server, {option: value}, lambda: pytest.fail("it was not refused"))
    await eventually(lambda: settings(server) == was, "what was set")
    assert node.info().state == "running"


async def test_groups_that_a_server_joins_before_it_takes_over_are_joined_then(
    node: homing.Node, probe: Probe, path: str
) -> None:
    port = free_port()
    await open_server(probe, host="", port=port)
    await offered(node, path)
    async with running(node) as new:
        heir = await Probe.start(new)
        async with meta.TakeOver(new, path):
            _, alias = await open_server(heir, host="", port=port)
            assert await new.call(alias, meta.JoinGroup(GROUP.address, "lo")) == (GROUP,)
            with pytest.raises(gen.BadOption, match="there is no such interface"):
                await new.call(alias, meta.JoinGroup(GROUP.address, "nosuchdevice"))
            send_to_group(port, b"early")
            assert probe.queue.empty()
        await stopped(node)
        send_to_group(port, b"late")
        assert (await heir.get()).data == b"late"
        assert probe.queue.empty()


@pytest.mark.parametrize("own", [(), (OTHER,), (GROUP, OTHER)])
async def test_groups_that_a_successor_has_joined_before_it_failed_are_left_and_those_of_the_predecessor_are_not(
    node: homing.Node,
    probe: Probe,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
    own: tuple[meta.MulticastGroup, ...],
) -> None:
    port, say = free_port(), taking_over._say
    await open_server(probe, host="", port=port, groups=own)
    await offered(node, path)

    async with running(node) as new:
        heir = await Probe.start(new)

        async def leave_and_die(channel: Any, word: str, **more: Any) -> None:
            if word == "reading":
                await new.call(alias, meta.LeaveGroup(OTHER.address, "lo"))
                send_to_group(port, b"to both")
                assert (await heir.get()).data == b"to both"
                raise ValueError("fault")
            await say(channel, word, **more)

        monkeypatch.setattr(taking_over, "_say", leave_and_die)
        with pytest.raises(ValueError, match="fault"):
            async with meta.TakeOver(new, path):
                _, alias = await open_server(heir, host="", port=port, groups=(GROUP, OTHER))
    await eventually(lambda: is_reading(node))
    for group in (GROUP, OTHER):
        send_to_group(port, str(group).encode(), group)
    send_to_group(port, b"last", None)
    found = [bytes((await probe.get()).data) for _ in (*own, "last")]
    assert found == [*(str(group).encode() for group in own), b"last"]


def is_reading(node: homing.Node) -> bool:
    """The servers of `node` read from the kernel."""
    states = [meta.behavior._state for meta in node._core.metas.values()]
    return not any(state.suspended for state in states)


def send_to_group(port: int, data: bytes, group: meta.MulticastGroup | None = GROUP) -> None:
    """Sends to a group, or to the host itself."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(HOST))
        sender.sendto(data, (HOST if group is None else group.address, port))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="binds to an interface: CAP_NET_RAW")
async def test_the_interface_of_a_socket_is_restored(
    node: homing.Node, probe: Probe, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, _ = await open_server(probe, port=free_port())
    await offered(node, path)

    async def die(channel: Any, word: str, **more: Any) -> None:
        if word == "reading":
            assert server._state.endpoint.sock.getsockopt(socket.SOL_SOCKET, 25, 16).rstrip(b"\0") == b"lo"
            raise ValueError("fault")
        await say(channel, word, **more)

    say = taking_over._say
    monkeypatch.setattr(taking_over, "_say", die)
    with pytest.raises(ValueError, match="fault"):
        await hand_over(node, path, server, {"bind_device": "lo"}, lambda: None)
    sock = server._state.endpoint.sock
    await eventually(lambda: sock.getsockopt(socket.SOL_SOCKET, 25, 16).rstrip(b"\0") == b"")
