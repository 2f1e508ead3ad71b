"""Interfaces end and are made again under the same name, also with the same index: what was asked for by that name is
in force again."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import socket
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest

import homing
from homing import gen, meta
from homing.datagram.sockets import interfaces as asking

from ...support import DEADLINE, Probe, eventually
from ..servers import needs_namespaces, run
from .test_udp_linger import crash

pytestmark = [needs_namespaces, pytest.mark.backends]

T = TypeVar("T")
FOUR, SIX = "239.77.9.1", "ff15::77:9"
NEAR, FAR = "10.9.0.1", "10.9.0.2"
MAKE = (
    "ip link add near type veth peer name far; ip link set far up;"
    "ip addr add 10.9.0.1/24 dev near; ip addr add 10.9.0.2/24 dev far; ip addr add fd77::1/64 dev near nodad;"
    "ip addr add fd77::2/64 dev far nodad;"
    "for i in all near far; do sysctl -qw net.ipv4.conf.$i.rp_filter=0 net.ipv4.conf.$i.accept_local=1; done;"
    "ip link set near up; ip route add 239.0.0.0/8 dev near; ip -6 route add multicast ff15::/16 dev near table local"
)
AGAIN = f"ip link del near; {MAKE}"
_CLONE_NEWNET = 0x40000000


class Network:
    """A network namespace with a thread that lives in it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1)
        self.do(self._enter)

    def _enter(self) -> None:
        if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        run(f"ip link set lo up; {MAKE}")

    def do(self, function: Callable[[], T]) -> T:
        """Calls `function` there."""
        return self._thread.submit(function).result(DEADLINE)

    def run(self, command: str) -> None:
        """Runs a shell's command there."""
        self.do(lambda: run(command))

    def renew(self) -> None:
        """Deletes the interface `near`, and makes it again."""
        before = self.do(lambda: socket.if_nametoindex("near"))
        self.run(AGAIN)
        assert self.do(lambda: socket.if_nametoindex("near")) != before

    def renew_with_its_index(self) -> None:
        """Deletes the interface `near`, and makes it again with the index that it had."""
        index = self.do(lambda: socket.if_nametoindex("near"))
        self.run(AGAIN.replace("add near type", f"add near index {index} type", 1))
        assert self.do(lambda: socket.if_nametoindex("near")) == index

    def send(self, data: bytes, group: str, port: int, source: str = "") -> None:
        """Sends by the far end of the link."""
        self.do(lambda: self._send(data, group, port, source))

    def _send(self, data: bytes, group: str, port: int, source: str) -> None:
        index = socket.if_nametoindex("far")
        with socket.socket(socket.AF_INET6 if ":" in group else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            if ":" in group:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            else:
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("8xi", index))
                sock.bind((source or FAR, 0))
            sock.sendto(data, (group, port))

    def close(self) -> None:
        self._thread.shutdown()


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    yield made
    made.close()


async def start(network: Network, probe: Probe, **options: Any) -> tuple[meta.UDPServer, gen.Alias]:
    server = network.do(lambda: meta.create_udp_server(meta.UDPServerOptions(**options)))
    return server, await probe.do(lambda actor: actor.spawn_meta(server))


async def is_heard(network: Network, probe: Probe, group: str, port: int, source: str = "") -> None:
    """Sends until something of it comes: a link that was just made drops what is sent for a moment."""
    probe.waiting()

    def came() -> bool:
        network.send(b"x", group, port, source)
        return bool(probe.waiting())

    await eventually(came, f"a datagram to {group}")


def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the system reports no events of its links."""
    monkeypatch.setattr(asking, "open_links", lambda sock: None)


GROUPS = [
    meta.MulticastGroup(FOUR, "near"),
    meta.MulticastGroup(SIX, "near"),
    meta.MulticastGroup("232.77.9.1", "near", FAR),
    meta.MulticastGroup("ff3e::77:9", "near", "fd77::2"),
]
BY_ROUTE = [meta.MulticastGroup(FOUR), meta.MulticastGroup(SIX)]


def host_of(group: meta.MulticastGroup) -> str:
    return "::" if ":" in group.address else ""


@pytest.mark.parametrize("group", GROUPS, ids=str)
@pytest.mark.parametrize("renew", [Network.renew, Network.renew_with_its_index])
async def test_a_group_that_is_joined_again_is_heard_on_the_interface_of_now(
    network: Network,
    probe: Probe,
    group: meta.MulticastGroup,
    renew: Callable[[Network], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    blind(monkeypatch)
    server, alias = await start(network, probe, host=host_of(group), groups=(group,))
    await is_heard(network, probe, group.address, server.local_address[1])
    renew(network)
    request = meta.JoinGroup(group.address, group.interface, group.source)
    assert await probe.do(lambda actor: actor.call(alias, request)) == (group,)
    await is_heard(network, probe, group.address, server.local_address[1])


@pytest.mark.parametrize("group", [*GROUPS, *BY_ROUTE], ids=str)
@pytest.mark.parametrize("renew", [Network.renew, Network.renew_with_its_index])
async def test_a_group_is_heard_again_once_its_interface_was_made_again(
    network: Network, probe: Probe, group: meta.MulticastGroup, renew: Callable[[Network], None]
) -> None:
    server, _ = await start(network, probe, host=host_of(group), groups=(group,))
    for _ in range(2):
        await is_heard(network, probe, group.address, server.local_address[1])
        renew(network)
    await is_heard(network, probe, group.address, server.local_address[1])


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("group", [*GROUPS, *BY_ROUTE], ids=str)
async def test_a_group_whose_interface_has_ended_is_left_and_to_leave_it_twice_is_no_error(
    network: Network, probe: Probe, group: meta.MulticastGroup, watched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not watched:
        blind(monkeypatch)
    _, alias = await start(network, probe, host=host_of(group), groups=(group,))
    network.run("ip link del near")
    request = meta.LeaveGroup(group.address, group.interface, group.source)
    for _ in range(2):
        assert await probe.do(lambda actor: actor.call(alias, request)) == ()
    network.run(MAKE)
    assert (await probe.do(lambda actor: actor.inspect_meta(alias, "groups")))["groups"] == []


async def test_a_group_that_was_left_does_not_come_back_with_its_interface(network: Network, probe: Probe) -> None:
    server, alias = await start(network, probe, groups=(GROUPS[0], meta.MulticastGroup("239.77.9.2", "near")))
    await probe.do(lambda actor: actor.call(alias, meta.LeaveGroup("239.77.9.2", "near")))
    network.renew()
    await is_heard(network, probe, FOUR, server.local_address[1])
    network.send(b"left", "239.77.9.2", server.local_address[1])
    network.send(b"the end", FOUR, server.local_address[1])
    while (message := await probe.get()).data != b"the end":
        assert message.data == b"x"


async def test_joining_and_leaving_while_interfaces_come_and_go_takes_no_room_in_the_kernel_for_ever(
    network: Network, probe: Probe
) -> None:
    """A socket may have 20 groups (net.ipv4.igmp_max_memberships); one of an interface that has ended still counts."""
    server, alias = await start(network, probe, groups=(GROUPS[0],))
    for _ in range(25):
        network.renew()
        await probe.do(lambda actor: actor.call(alias, meta.JoinGroup(FOUR, "near")))
    await is_heard(network, probe, FOUR, server.local_address[1])


@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("host", ["", "::"])
async def test_multicast_goes_out_by_the_interface_that_has_the_name_now(
    network: Network, probe: Probe, host: str, watched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without events, once it was asked for again by the same name."""
    if not watched:
        blind(monkeypatch)
    group, source = (SIX, "::") if host else (FOUR, "")
    _, alias = await start(network, probe, host=host, multicast_interface="near", multicast_loop=False)
    network.renew()
    if not watched:
        await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(multicast_interface="near")))

    def member() -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if host else socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind((source, 0))
        index = socket.if_nametoindex("far")
        if host:
            packed = socket.inet_pton(socket.AF_INET6, group) + struct.pack("I", index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, packed)
        else:
            packed = struct.pack("4s4si", socket.inet_aton(group), bytes(4), index)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, packed)
        return sock

    with network.do(member) as sock:
        to = (group, sock.getsockname()[1])

        async def came() -> bool:
            await probe.do(lambda actor: error_or_size(actor, alias, to))
            try:
                return sock.recv(100) == b"out"
            except BlockingIOError:
                return False

        async with asyncio.timeout(DEADLINE):  # until then the interface of now has to be used
            while not await came():
                await asyncio.sleep(0.001)


async def error_or_size(actor: Any, alias: gen.Alias, to: tuple[str, int]) -> Any:
    try:
        return await actor.call(alias, meta.MessageUDP(None, to, b"out"))
    except OSError as error:
        return error


@pytest.mark.parametrize("watched", [True, False])
async def test_a_socket_is_bound_to_the_device_that_has_the_name_now(
    network: Network, probe: Probe, watched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not watched:
        blind(monkeypatch)
    server, alias = await start(network, probe, bind_device="near")
    await is_heard(network, probe, NEAR, server.local_address[1])
    network.renew()
    if not watched:
        await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(bind_device="near")))
    await is_heard(network, probe, NEAR, server.local_address[1])


async def test_what_the_system_refuses_for_an_interface_that_was_made_again_is_logged_and_the_server_goes_on(
    network: Network, probe: Probe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server, _ = await start(network, probe, bind_device="near", groups=(GROUPS[0],))

    def refuse(sock: socket.socket, device: str) -> None:
        raise gen.BadOption("bind_device", device, "it needs the capability CAP_NET_RAW")

    monkeypatch.setattr(asking, "bind_device", refuse)
    network.renew()
    await eventually(lambda: "bind_device='near': it needs the capability CAP_NET_RAW" in caplog.text)
    assert not server._state.endpoint.closed


async def test_groups_that_are_named_again_in_a_reconfiguration_are_joined_on_the_interfaces_of_now(
    network: Network, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    blind(monkeypatch)
    server, alias = await start(network, probe, groups=(GROUPS[0],))
    network.renew()
    await probe.do(lambda actor: actor.call(alias, meta.Reconfigure(groups=(GROUPS[0],))))
    await is_heard(network, probe, FOUR, server.local_address[1])


@pytest.mark.parametrize("watched", [True, False])
async def test_a_server_that_adopts_a_socket_has_its_groups_on_the_interfaces_of_now(
    node: homing.Node, network: Network, watched: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not watched:
        blind(monkeypatch)
    options: dict[str, Any] = {"host": "", "port": 9, "linger": 60.0, "groups": (GROUPS[0],)}
    owner = await Probe.start(node)
    _, alias = await start(network, owner, **options)
    await crash(node, owner)
    network.renew()
    successor = await Probe.start(node)
    # On the thread of the node: servers that linger are found by it.
    server = meta.create_udp_server(meta.UDPServerOptions(**options))
    assert await successor.do(lambda actor: actor.spawn_meta(server)) == alias
    await is_heard(network, successor, FOUR, 9)


async def test_a_socket_that_is_given_is_a_member_also_where_the_kernel_only_remembers_that_it_was(
    network: Network, probe: Probe
) -> None:
    def make() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("", 0))
        packed = struct.pack("4s4si", socket.inet_aton(FOUR), bytes(4), socket.if_nametoindex("near"))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, packed)
        return sock

    with ExitStack() as stack:
        sock = stack.enter_context(network.do(make))
        network.renew_with_its_index()
        server, _ = await start(network, probe, socket=sock, groups=(GROUPS[0],))
        await is_heard(network, probe, FOUR, server.local_address[1])


def test_what_is_asked_for_by_the_name_of_an_interface_is_known_where_interfaces_are_followed() -> None:
    """A socket option that takes an interface's index is outdated when that interface is made again."""
    sockets = Path(asking.__file__).parent
    users = {
        str(path.relative_to(sockets.parents[1]))
        for path in sockets.parents[1].rglob("*.py")
        if re.search(r"index_of\(|if_nametoindex|SO_BINDTODEVICE|SO_BINDTOIFINDEX", path.read_text())
    }
    names = ("interfaces", "multicast", "set_options", "options")
    # `address` looks up the scope of one address, for the moment
    assert users == {"datagram/address.py", *(f"datagram/sockets/{name}.py" for name in names)}


async def test_a_socket_is_not_adopted_once_the_namespace_of_that_name_is_another(node: homing.Node) -> None:
    name = f"homing-{os.getpid()}"
    again = f"ip netns add {name}; ip netns exec {name} ip link set lo up"
    run(again)
    try:
        options: dict[str, Any] = {"host": "127.0.0.1", "port": 9, "linger": 60.0, "network_namespace": name}
        owner = await Probe.start(node)
        first = await owner.do(lambda actor: actor.spawn_meta(meta.create_udp_server(meta.UDPServerOptions(**options))))
        await crash(node, owner)
        run(f"ip netns del {name}; {again}")
        successor = await Probe.start(node)
        server = meta.create_udp_server(meta.UDPServerOptions(**options))
        assert await successor.do(lambda actor: actor.spawn_meta(server)) != first
        send = "import socket; socket.socket(2, 2).sendto(b'here', ('127.0.0.1', 9))"
        run(f'ip netns exec {name} python3 -c "{send}"')
        await eventually(lambda: any(bytes(message.data) == b"here" for message in successor.waiting()))
    finally:
        run(f"ip netns del {name}")
