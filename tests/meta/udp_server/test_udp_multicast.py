"""Multicast: groups are joined and left at any time, on any interface, from any source or from one."""

from __future__ import annotations

import socket
import struct
import sys
from typing import Any

import pytest

import homing
from homing import gen, meta

from ...support import Probe, eventually, free_port
from ..servers import HOST, error_of, in_network, needs_namespaces, open_server
from .test_udp_linger import crash

pytestmark = pytest.mark.backends

GROUP = "239.77.1.2"
OTHER = "239.77.1.3"
CABLE = "ip link set lo up; ip link add a0 type veth peer name a1; ip link set a0 up; ip link set a1 up"
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")


def sender(host: str = HOST) -> socket.socket:
    """A socket whose multicast goes out by the loopback interface."""
    if ":" in host:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex("lo"))
        return sock
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(host))
    sock.bind((host, 0))
    return sock


def on_loopback(address: str, source: str = "") -> meta.MulticastGroup:
    return meta.MulticastGroup(address, "lo", source)


async def got_until(probe: Probe, mark: bytes) -> list[bytes]:
    """The payloads that came up to `mark`, which is sent last."""
    found: list[bytes] = []
    while not found or found[-1] != mark:
        found.append(bytes((await probe.get()).data))
    return found[:-1]


async def test_a_group_of_the_options_is_heard(probe: Probe) -> None:
    server, _ = await open_server(probe, host="", groups=(on_loopback(GROUP),))
    with sender() as sock:
        sock.sendto(b"hello", (GROUP, server.local_address[1]))
        assert bytes((await probe.get()).data) == b"hello"


@needs_namespaces
@pytest.mark.parametrize("dual_stack", [False, True])
async def test_a_group_of_ipv6_is_heard_and_with_dual_stack_one_of_ipv4_as_well(probe: Probe, dual_stack: bool) -> None:
    groups = (meta.MulticastGroup("ff15::77:1", "a0"), *([meta.MulticastGroup(GROUP, "a0")] if dual_stack else []))
    options = meta.UDPServerOptions(host="::", dual_stack=dual_stack, groups=groups)

    def make() -> tuple[meta.UDPServer, socket.socket, socket.socket]:
        six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex("a0"))
        return meta.create_udp_server(options), six, sender("10.1.0.1")

    addresses = "ip addr add 10.1.0.1/24 dev a0; ip addr add fd77::1/64 dev a0 nodad"
    server, six, four = in_network(f"{CABLE}; {addresses}", make)
    await probe.do(lambda actor: actor.spawn_meta(server))
    with six, four:
        six.sendto(b"six", ("ff15::77:1", server.local_address[1]))
        assert bytes((await probe.get()).data) == b"six"
        if dual_stack:
            four.sendto(b"four", (GROUP, server.local_address[1]))
            assert bytes((await probe.get()).data) == b"four"


async def test_a_group_is_joined_and_left_at_run_time_and_the_answer_tells_which_are_joined(probe: Probe) -> None:
    server, alias = await open_server(probe, host="")
    port = server.local_address[1]
    with sender() as sock:
        joined = await probe.do(lambda actor: actor.call(alias, meta.JoinGroup(GROUP, "lo")))
        assert joined == (on_loopback(GROUP),)
        sock.sendto(b"heard", (GROUP, port))
        left = await probe.do(lambda actor: actor.call(alias, meta.LeaveGroup(GROUP, "lo")))
        assert left == ()
        sock.sendto(b"not heard", (GROUP, port))
        sock.sendto(b"the end", (HOST, port))
        assert await got_until(probe, b"the end") == [b"heard"]


@linux_only
async def test_what_comes_for_a_group_that_only_another_socket_has_joined_is_not_for_this_one(probe: Probe) -> None:
    server, _ = await open_server(probe, host="", groups=(on_loopback(GROUP),))
    port = server.local_address[1]
    with sender() as sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as neighbour:
        request = struct.pack("4s4si", socket.inet_aton(OTHER), bytes(4), socket.if_nametoindex("lo"))
        neighbour.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        sock.sendto(b"another's", (OTHER, port))
        sock.sendto(b"mine", (GROUP, port))
        sock.sendto(b"the end", (HOST, port))
        assert await got_until(probe, b"the end") == [b"mine"]


@linux_only
async def test_a_source_specific_group_hears_that_source_only(probe: Probe) -> None:
    server, _ = await open_server(probe, host="", groups=(on_loopback("232.7.7.7", "127.0.0.2"),))
    port = server.local_address[1]
    with sender("127.0.0.2") as good, sender("127.0.0.3") as bad:
        bad.sendto(b"another source", ("232.7.7.7", port))
        good.sendto(b"the source", ("232.7.7.7", port))
        good.sendto(b"the end", (HOST, port))
        assert await got_until(probe, b"the end") == [b"the source"]


@needs_namespaces
@pytest.mark.parametrize(
    ("group", "good", "bad"), [("232.7.7.7", "10.1.0.2", "10.1.0.3"), ("ff3e::7:7", "fd77::2", "fd77::3")]
)
async def test_a_source_specific_group_on_a_link_hears_that_source_only(
    probe: Probe, group: str, good: str, bad: str
) -> None:
    link = (
        "ip link set lo up; ip link add near type veth peer name far; ip link set near up; ip link set far up;"
        "ip addr add 10.1.0.1/24 dev near; ip addr add 10.1.0.2/24 dev far; ip addr add 10.1.0.3/24 dev far;"
        "ip -6 addr add fd77::2/64 dev far nodad; ip -6 addr add fd77::3/64 dev far nodad;"
        "for i in all near far; do sysctl -qw net.ipv4.conf.$i.rp_filter=0 net.ipv4.conf.$i.accept_local=1; done"
    )

    def make() -> tuple[meta.UDPServer, list[socket.socket]]:
        groups = (meta.MulticastGroup(group, "near", good),)
        options = meta.UDPServerOptions(host="::" if ":" in group else "", groups=groups)
        return meta.create_udp_server(options), [from_far(bad), from_far(good)]

    server, (other, one) = in_network(link, make)
    await probe.do(lambda actor: actor.spawn_meta(server))
    with other, one:
        other.sendto(b"another source", (group, server.local_address[1]))
        one.sendto(b"the source", (group, server.local_address[1]))
        assert await got_until(probe, b"the source") == []


def from_far(host: str) -> socket.socket:
    """A socket whose multicast goes out by the far end of the link, from `host`."""
    index = socket.if_nametoindex("far")
    if ":" in host:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    else:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("8xi", index))
    sock.bind((host, 0))
    return sock


async def test_servers_that_share_a_port_each_get_all_of_their_group(node: homing.Node, probe: Probe) -> None:
    other = await Probe.start(node)
    options: dict[str, Any] = {"host": "", "groups": (on_loopback(GROUP),), "reuse_port": True}
    one, _ = await open_server(probe, **options)
    await open_server(other, port=one.local_address[1], **options)
    with sender() as sock:
        sock.sendto(b"to all", (GROUP, one.local_address[1]))
        assert (await probe.get()).data == (await other.get()).data == b"to all"


async def test_what_was_joined_at_run_time_is_still_joined_after_an_adoption(node: homing.Node) -> None:
    owner = await Probe.start(node)
    options: dict[str, Any] = {"host": "", "port": free_port(), "linger": 60.0, "groups": (on_loopback(GROUP),)}
    server, alias = await open_server(owner, **options)
    await owner.do(lambda actor: actor.call(alias, meta.JoinGroup(OTHER, "lo")))
    await crash(node, owner)
    successor = await Probe.start(node)
    assert (await open_server(successor, **options))[1] == alias
    assert (await node.inspect_meta(alias, "groups"))["groups"] == [str(on_loopback(GROUP)), str(on_loopback(OTHER))]
    with sender() as sock:
        sock.sendto(b"heard", (OTHER, server.local_address[1]))
        assert (await successor.get()).data == b"heard"


@linux_only
async def test_a_group_is_left_only_as_it_was_joined(probe: Probe) -> None:
    group = on_loopback("232.7.7.8", "127.0.0.2")
    _, alias = await open_server(probe, host="", groups=(group,))
    for wrong in (meta.LeaveGroup("232.7.7.8", "lo"), meta.LeaveGroup("232.7.7.8", "lo", "127.0.0.3")):
        error = await probe.do(lambda actor, w=wrong: error_of(actor.call(alias, w)))
        assert isinstance(error, gen.NotAllowed)
        assert str(group) in str(error)
    right = meta.LeaveGroup(group.address, group.interface, group.source)
    assert await probe.do(lambda actor: actor.call(alias, right)) == ()


async def test_a_group_may_be_joined_twice_and_is_left_once(probe: Probe) -> None:
    _, alias = await open_server(probe, host="", groups=(on_loopback(GROUP),))
    again = await probe.do(lambda actor: actor.call(alias, meta.JoinGroup(GROUP, "lo")))
    assert again == (on_loopback(GROUP),)
    assert (await probe.do(lambda actor: actor.inspect_meta(alias, "groups")))["groups"] == [str(on_loopback(GROUP))]
    assert await probe.do(lambda actor: actor.call(alias, meta.LeaveGroup(GROUP, "lo"))) == ()


async def test_a_group_is_one_group_however_it_is_written(node: homing.Node, probe: Probe) -> None:
    _, alias = await open_server(probe, host="::", groups=(on_loopback("ff02::7:1"),))
    joined = await node.call(alias, meta.JoinGroup("ff02:0:0::0007:1", "lo"))
    assert joined == (on_loopback("ff02::7:1"),)
    assert await node.call(alias, meta.LeaveGroup("FF02::7:1", "lo")) == ()


async def test_leaving_what_was_not_joined_is_refused_and_says_what_is(probe: Probe) -> None:
    _, alias = await open_server(probe, host="", groups=(on_loopback(GROUP),))
    error = await probe.do(lambda actor: error_of(actor.call(alias, meta.LeaveGroup(OTHER, "lo"))))
    assert isinstance(error, gen.NotAllowed)
    assert OTHER in str(error)
    assert GROUP in str(error)


async def test_a_group_on_an_interface_that_is_not_there_is_refused_and_the_server_goes_on(probe: Probe) -> None:
    server, alias = await open_server(probe, host="")
    error = await probe.do(lambda actor: error_of(actor.call(alias, meta.JoinGroup(GROUP, "no-such-if"))))
    assert isinstance(error, gen.BadOption)
    assert "no-such-if" in str(error)
    with pytest.raises(gen.BadOption, match="no-such-if"):
        meta.create_udp_server(meta.UDPServerOptions(groups=(meta.MulticastGroup(GROUP, "no-such-if"),)))
    with sender() as sock:
        sock.sendto(b"the end", (HOST, server.local_address[1]))
        assert await got_until(probe, b"the end") == []


@pytest.mark.once
@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"address": "10.0.0.1"}, "address"),
        ({"address": "nowhere"}, "address"),
        ({"address": GROUP, "interface": True}, "interface"),
        ({"address": GROUP, "source": "::1"}, "source"),
        ({"address": GROUP, "source": "x"}, "source"),
    ],
)
def test_what_is_no_group_is_refused_by_name(wrong: dict[str, Any], name: str) -> None:
    with pytest.raises(gen.BadOption, match=name) as raised:
        meta.MulticastGroup(**wrong)
    assert raised.value.option == name


@pytest.mark.once
def test_a_group_of_the_other_family_is_refused_and_no_socket_is_left() -> None:
    with pytest.raises(gen.BadOption, match="groups"):
        meta.create_udp_server(meta.UDPServerOptions(host=HOST, groups=(meta.MulticastGroup("ff15::1", "lo"),)))


@needs_namespaces
async def test_multicast_that_is_sent_goes_out_as_the_options_say(probe: Probe) -> None:
    """By the interface that is named, with the time to live, and to members on this machine or not."""

    def make() -> tuple[socket.socket, list[meta.UDPServer]]:
        member = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        member.setblocking(False)
        member.bind(("", 0))
        request = struct.pack("4s4si", socket.inet_aton(GROUP), bytes(4), socket.if_nametoindex("a0"))
        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        member.setsockopt(socket.IPPROTO_IP, 12, 1)  # IP_RECVTTL
        options: list[dict[str, Any]] = [{"multicast_loop": False}, {"multicast_ttl": 7}]
        made = [meta.UDPServerOptions(host="10.1.0.1", multicast_interface="a0", **each) for each in options]
        return member, [meta.create_udp_server(each) for each in made]

    member, servers = in_network(f"{CABLE}; ip addr add 10.1.0.1/24 dev a0", make)
    received: list[Any] = []

    def receive() -> bool:
        try:
            received.append(member.recvmsg(100, 100))
        except BlockingIOError:
            return False
        return True

    with member:
        for server, data in zip(servers, (b"not here", b"here"), strict=True):
            alias = await probe.do(lambda actor, s=server: actor.spawn_meta(s))
            message = meta.MessageUDP(None, (GROUP, member.getsockname()[1]), data)
            await probe.do(lambda actor, a=alias, m=message: actor.call(a, m))
        await eventually(receive, "the multicast")
    data, control, _, _ = received[0]
    assert data == b"here"
    assert struct.unpack("i", control[0][2]) == (7,)


@needs_namespaces
async def test_a_group_is_heard_on_the_interface_that_is_named_only(node: homing.Node, probe: Probe) -> None:
    command = (
        "ip link set lo up; ip link add a0 type veth peer name a1; ip link add b0 type veth peer name b1;"
        "for i in a0 a1 b0 b1; do ip link set $i up; done;"
        "ip addr add 10.1.0.1/24 dev a0; ip addr add 10.2.0.1/24 dev b0;"
        "ip addr add 10.1.0.2/24 dev a1; ip addr add 10.2.0.2/24 dev b1;"
        "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.all.accept_local=1;"
        "for i in a0 b0; do sysctl -qw net.ipv4.conf.$i.rp_filter=0 net.ipv4.conf.$i.accept_local=1; done"
    )

    def make() -> tuple[meta.UDPServer, list[socket.socket]]:
        options = meta.UDPServerOptions(groups=(meta.MulticastGroup(GROUP, "a0"),))
        server = meta.create_udp_server(options)
        socks = []
        for name in ("a1", "b1"):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            index = struct.pack("4s4si", bytes(4), bytes(4), socket.if_nametoindex(name))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, index)
            socks.append(sock)
        return server, socks

    server, (by_a, by_b) = in_network(command, make)
    await probe.do(lambda actor: actor.spawn_meta(server))
    with by_a, by_b:
        by_b.sendto(b"by the other", (GROUP, server.local_address[1]))
        by_a.sendto(b"by the one", (GROUP, server.local_address[1]))
        assert await got_until(probe, b"by the one") == []
