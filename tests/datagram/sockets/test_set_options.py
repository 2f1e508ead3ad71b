"""Options of a socket: each is set as it was asked for, on every family that the socket carries, or refused by name."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from homing import gen
from homing.datagram import SocketOptions, bind, duplicate
from homing.datagram.address import DUAL_STACK, family_of
from homing.datagram.sockets import set_options as applying

from ...meta.servers import in_network, needs_namespaces
from ...support import DEADLINE, gives_up_privileges, without_privileges

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
FOUR, SIX = socket.IPPROTO_IP, socket.IPPROTO_IPV6
# linux/include/uapi/linux/in.h, in6.h
MTU_DISCOVER = {FOUR: 10, SIX: 23}
TOS = {FOUR: socket.IP_TOS, SIX: 67}
TTL = {FOUR: socket.IP_TTL, SIX: socket.IPV6_UNICAST_HOPS}
MULTICAST_TTL = {FOUR: socket.IP_MULTICAST_TTL, SIX: socket.IPV6_MULTICAST_HOPS}
MULTICAST_LOOP = {FOUR: socket.IP_MULTICAST_LOOP, SIX: socket.IPV6_MULTICAST_LOOP}
MULTICAST_ALL = {FOUR: 49, SIX: 29}
KINDS: list[tuple[str, bool, set[int]]] = [("127.0.0.1", False, {FOUR}), ("::1", False, {SIX}), ("", True, {FOUR, SIX})]


@contextlib.contextmanager
def made(host: str = "127.0.0.1", **options: Any) -> Iterator[socket.socket]:
    with bind(host, 0, SocketOptions(**options)) as sock:
        yield sock


def value(sock: socket.socket, numbers: dict[int, int], level: int) -> int:
    return sock.getsockopt(level, numbers[level])


@pytest.mark.parametrize(("host", "dual", "levels"), KINDS)
@pytest.mark.parametrize(
    ("option", "given", "numbers", "expected"),
    [
        ("ttl", 7, TTL, 7),
        ("ttl", 255, TTL, 255),
        ("tos", 0xB9, TOS, 0xB9),
        ("tos", 0, TOS, 0),
        ("multicast_ttl", 9, MULTICAST_TTL, 9),
        ("multicast_ttl", 0, MULTICAST_TTL, 0),
        ("multicast_loop", False, MULTICAST_LOOP, 0),
        *[
            pytest.param("mtu_discovery", name, MTU_DISCOVER, number, marks=linux_only)
            for number, name in enumerate(("dont", "want", "do", "probe", "interface", "omit"))
        ],
    ],
)
def test_an_option_is_set_for_each_family_that_the_socket_carries(
    host: str, dual: bool, levels: set[int], option: str, given: Any, numbers: dict[int, int], expected: int
) -> None:
    with made(host, dual_stack=dual, **{option: given}) as sock:
        assert {level: value(sock, numbers, level) for level in levels} == dict.fromkeys(levels, expected)


@pytest.mark.parametrize(("host", "dual", "levels"), KINDS)
def test_what_is_not_asked_for_is_left_as_the_system_has_it(host: str, dual: bool, levels: set[int]) -> None:
    family = socket.AF_INET if host == "127.0.0.1" else socket.AF_INET6
    with made(host, dual_stack=dual) as sock, socket.socket(family, socket.SOCK_DGRAM) as plain:
        for numbers in (TTL, TOS, MULTICAST_TTL, MULTICAST_LOOP, *([MTU_DISCOVER] if sys.platform == "linux" else [])):
            assert [value(sock, numbers, level) for level in levels] == [
                value(plain, numbers, level) for level in levels
            ]
        for number in (socket.SO_REUSEADDR, socket.SO_REUSEPORT, socket.SO_BROADCAST):
            assert sock.getsockopt(socket.SOL_SOCKET, number) == 0


@linux_only
@pytest.mark.parametrize(("host", "dual", "levels"), KINDS)
def test_no_socket_hears_groups_that_only_others_have_joined(host: str, dual: bool, levels: set[int]) -> None:
    with made(host, dual_stack=dual) as sock:
        assert [value(sock, MULTICAST_ALL, level) for level in levels] == [0] * len(levels)


def test_sockets_that_reuse_a_port_share_it_and_others_do_not_get_in() -> None:
    with made(reuse_port=True) as one:
        port = one.getsockname()[1]
        with bind("127.0.0.1", port, SocketOptions(reuse_port=True)) as other:
            assert other.getsockname() == one.getsockname()
        with pytest.raises(gen.BindFailed):
            bind("127.0.0.1", port, SocketOptions())


def test_broadcast_is_sent_only_where_it_was_asked_for() -> None:
    for broadcast in (False, True):
        with made("0.0.0.0", broadcast=broadcast) as sock:
            assert bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)) is broadcast
            with contextlib.nullcontext() if broadcast else pytest.raises(PermissionError):
                sock.sendto(b"x", ("127.255.255.255", 9))


@needs_namespaces
def test_broadcast_arrives() -> None:
    def body() -> None:
        with made("0.0.0.0") as receiver, made("10.9.0.1", broadcast=True) as sender:
            receiver.settimeout(DEADLINE)
            sender.sendto(b"to all", ("10.9.0.255", receiver.getsockname()[1]))
            assert receiver.recv(100) == b"to all"

    in_network("ip link set lo up; ip addr add 10.9.0.1/24 brd 10.9.0.255 dev lo", body)


@needs_namespaces
def test_a_socket_bound_to_a_device_hears_no_other() -> None:
    def body() -> None:
        with made("0.0.0.0", bind_device="near") as sock, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            assert sock.getsockopt(socket.SOL_SOCKET, 25, 16).rstrip(b"\0") == b"near"
            other.sendto(b"by lo", ("127.0.0.1", sock.getsockname()[1]))
            with pytest.raises(BlockingIOError):
                sock.recv(100)
            other.setsockopt(socket.SOL_SOCKET, 25, b"far")
            other.sendto(b"by the device", 0, ("10.9.0.1", sock.getsockname()[1]))
            sock.settimeout(DEADLINE)
            assert sock.recv(100) == b"by the device"

    settings = "for each in all near far; do for name in rp_filter=0 accept_local=1; do "
    settings += "sysctl -qw net.ipv4.conf.$each.$name; done; done"
    link = "ip link set lo up; ip link add near type veth peer name far; ip link set near up; ip link set far up; "
    link += "ip addr add 10.9.0.1/24 dev near; ip addr add 10.9.0.2/24 dev far; "
    in_network(link + settings, body)


@linux_only
def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(gen.BadOption, match="ip link") as caught:
        bind("127.0.0.1", 0, SocketOptions(bind_device="nowhere"))
    assert (caught.value.option, caught.value.value) == ("bind_device", "nowhere")


@gives_up_privileges
def test_a_right_that_is_missing_is_named() -> None:
    """Linux wants none for a socket that has no device yet (since 5.7), but for one that has another."""
    others = [name for _, name in socket.if_nameindex() if name != "lo"]
    if not others:
        pytest.skip("there is no interface but lo")

    def body() -> None:
        with bind("127.0.0.1", 0, SocketOptions(bind_device="lo")) as sock:
            duplicate(sock, SocketOptions(bind_device="lo")).close()
            with pytest.raises(gen.BadOption, match="CAP_NET_RAW") as caught:
                duplicate(sock, SocketOptions(bind_device=others[0]))
            assert caught.value.option == "bind_device"

    without_privileges(body)


@pytest.mark.parametrize("interface", ["nowhere", 99999])
def test_an_interface_for_multicast_that_is_not_there_is_named(interface: str | int) -> None:
    with pytest.raises(gen.BadOption) as caught:
        bind("127.0.0.1", 0, SocketOptions(multicast_interface=interface))
    assert (caught.value.option, caught.value.value) == ("multicast_interface", interface)


# --- both families in one ---------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["", "::"])
def test_a_dual_stack_socket_takes_both_families_and_nobody_else_gets_the_port(host: str) -> None:
    with made(host, dual_stack=True) as sock:
        assert family_of(sock) == DUAL_STACK
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            with socket.socket(family, socket.SOCK_DGRAM) as other, pytest.raises(OSError, match="in use"):
                other.bind((address, sock.getsockname()[1]))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0", "localhost"])
def test_one_address_cannot_be_dual_stack(host: str) -> None:
    with pytest.raises(gen.BadOption) as caught:
        bind(host, 0, SocketOptions(dual_stack=True))
    assert caught.value.option == "dual_stack"


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "bad"),
    [
        ("reuse_port", 1),
        ("broadcast", None),
        ("dual_stack", "yes"),
        ("bind_device", None),
        ("bind_device", "x" * 16),
        ("bind_device", "a\0b"),
        ("ttl", 0),
        ("ttl", 256),
        ("ttl", True),
        ("tos", -1),
        ("tos", 256),
        ("tos", "EF"),
        ("mtu_discovery", "always"),
        ("mtu_discovery", 2),
        ("groups", ("239.1.2.3",)),
        ("groups", "239.1.2.3"),
        ("multicast_interface", None),
        ("multicast_interface", True),
        ("multicast_ttl", -1),
        ("multicast_ttl", 256),
        ("multicast_loop", 1),
        ("path", ""),
        ("path", b"/run/x"),
        ("path", "/run/\0x"),
        ("path", "/" + "x" * 200),
        ("path_mode", 0o600),
        ("network_namespace", None),
        ("network_namespace", "a\0b"),
    ],
)
def test_a_bad_option_is_refused_by_its_name(option: str, bad: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        SocketOptions(**{option: bad})
    assert caught.value.option == option


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("reuse_port", True),
        ("broadcast", True),
        ("dual_stack", True),
        ("bind_device", "lo"),
        ("ttl", 3),
        ("tos", 0),
        ("mtu_discovery", "do"),
        ("multicast_interface", 1),
        ("multicast_ttl", 1),
        ("multicast_loop", True),
        ("receive_local_address", True),
        ("receive_timestamp", True),
        ("error_queue", True),
    ],
)
@linux_only
def test_a_unix_socket_has_no_options_of_ip(option: str, given: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        SocketOptions(path="/run/x", **{option: given})
    assert caught.value.option == option


@pytest.mark.parametrize("mode", [-1, 0o1000, "660", True])
def test_a_mode_that_is_none_is_refused(mode: Any) -> None:
    with pytest.raises(gen.BadOption, match="path_mode"):
        SocketOptions(path="/run/x", path_mode=mode)
    with pytest.raises(gen.BadOption, match="path_mode"):
        SocketOptions(path="\0x", path_mode=0o600)


@pytest.mark.parametrize(
    ("option", "given"), [("ttl", 3), ("receive_buffer", 1000), ("broadcast", True), ("multicast_loop", False)]
)
def test_the_option_that_the_system_refuses_is_named_and_no_socket_is_left(
    option: str, given: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SocketOptions(**{option: given})
    for name in ("SO_RCVBUF", "SO_BROADCAST"):
        monkeypatch.setattr(socket, name, 9999)
    monkeypatch.setitem(applying.NUMBERS, option, (9999, 9999))
    with pytest.raises(gen.BadOption, match="the system refuses it") as caught:
        bind("127.0.0.1", 0, options)
    assert (caught.value.option, caught.value.value) == (option, given)
