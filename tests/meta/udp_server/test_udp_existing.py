"""A server on a socket that was there before: it is checked, set, taken over and closed; and left alone if it cannot
be used."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import gen, meta

from ...support import Probe, UDPPeer
from ..servers import HOST, bind_again, exists, open_echo, open_server

pytestmark = [pytest.mark.backends, pytest.mark.loops]


@contextlib.contextmanager
def bound(host: str = HOST) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        yield sock


def create(existing: Any, **options: Any) -> meta.UDPServer:
    return meta.create_udp_server(meta.UDPServerOptions(socket=existing, **options))


def refused(existing: Any, **options: Any) -> gen.BadOption:
    with pytest.raises(gen.BadOption) as caught:
        create(existing, **options)
    return caught.value


@pytest.mark.parametrize("host", [HOST, "::1"])
async def test_a_server_serves_on_a_socket_that_was_bound_before(node: homing.Node, host: str) -> None:
    with bound(host) as sock, UDPPeer(host) as peer:
        address = sock.getsockname()
        peer.send(b"early", address)
        server = await open_echo(node, host="", socket=sock)
        assert server.local_address == address
        assert sock.fileno() == -1, "it is the server's now"
        assert (await peer.receive())[0] == b"early"
        assert await peer.ask(b"late", address) == b"late"
    await node.stop()
    bind_again(address)


async def test_a_descriptor_will_do(node: homing.Node, peer: UDPPeer) -> None:
    with bound() as sock:
        address, descriptor = sock.getsockname(), sock.detach()
    await open_echo(node, host="", socket=descriptor)
    assert await peer.ask(b"hello", address) == b"hello"


async def test_a_socket_that_blocks_does_not_any_more(probe: Probe, peer: UDPPeer) -> None:
    with bound() as sock:
        sock.setblocking(True)
        server, _ = await open_server(probe, host="", socket=sock)
        peer.send(b"hello", server.local_address)
        assert (await probe.get()).data == b"hello"


def test_what_is_asked_for_beside_it_is_set() -> None:
    with (
        bound() as sock,
        socket.socket(fileno=os.dup(sock.fileno())) as same,
        create(sock, ttl=7, broadcast=True, receive_buffer=50_000) as server,
    ):
        assert same.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 7
        assert same.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST) == 1
        assert server._state.endpoint.kernel.receive_buffer == 50_000


def test_a_server_that_is_never_started_closes_it() -> None:
    with bound() as sock:
        address = sock.getsockname()
        with create(sock), pytest.raises(OSError, match="in use"):
            bind_again(address)
        bind_again(address)


def test_a_socket_bound_to_both_families_is_known_as_such(peer: UDPPeer) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", 0))
        with create(sock, dual_stack=True) as server:
            peer.send(b"hello", (HOST, server.local_address[1]))
            (message,) = server._state.endpoint.receive(1, 1, None)
            assert message.addr == peer.address


def test_a_stream_socket_is_refused_as_what_it_is() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind((HOST, 0))
        error = refused(sock)
        assert error.option == "socket"
        assert "SOCK_STREAM of AF_INET" in error.why
        assert sock.fileno() >= 0


def test_a_socket_that_is_not_bound_is_refused() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        assert "not bound" in refused(sock).why
        assert sock.fileno() >= 0


def test_a_socket_that_is_closed_is_refused() -> None:
    with bound() as sock:
        descriptor = sock.fileno()
    assert "closed" in refused(sock).why
    assert "closed" in refused(descriptor).why


def test_what_is_no_socket_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        assert refused(file.fileno()).option == "socket"
        file.write("still open")
    for nothing in (True, "3", 3.0, object()):
        assert refused(nothing).option == "socket"
    assert refused(-1).option == "socket"


@pytest.mark.skipif(sys.platform != "linux", reason="pings without privileges are Linux's")
def test_a_socket_for_pings_is_refused() -> None:
    try:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP)
    except OSError:
        pytest.skip("this group may not send pings: net.ipv4.ping_group_range")
    with sock:
        sock.bind((HOST, 0))
        assert "ICMP" in refused(sock).why


@pytest.mark.parametrize(
    ("option", "value"),
    [("host", HOST), ("port", 53), ("activation", "dns"), ("path", "/run/x")],
)
def test_it_comes_instead_of_an_address(option: str, value: Any) -> None:
    with bound() as sock:
        error = refused(sock, **{option: value})
        assert error.option == option
        assert sock.fileno() >= 0


@pytest.mark.parametrize(
    ("option", "value"), [("dual_stack", True), ("network_namespace", "any"), ("bind_device", "nowhere")]
)
@pytest.mark.skipif(sys.platform != "linux", reason="options of Linux")
def test_an_option_that_comes_too_late_or_cannot_be_set_leaves_it_to_the_caller(option: str, value: Any) -> None:
    with bound() as sock:
        assert refused(sock, **{option: value}).option == option
        sock.sendto(b"still mine", sock.getsockname())
        assert sock.recv(100) == b"still mine"


def test_a_failure_after_the_check_leaves_it_to_the_caller_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no backend today")

    monkeypatch.setattr("homing.datagram.endpoint.open_backend", fail)
    with bound() as sock:
        with pytest.raises(RuntimeError):
            create(sock)
        sock.sendto(b"still mine", sock.getsockname())


@pytest.mark.skipif(sys.platform == "win32", reason="Unix sockets")
async def test_a_unix_socket_will_do_and_keeps_its_file(node: homing.Node, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unbound,
    ):
        assert "not bound" in refused(unbound).why
        sock.bind(path)
        assert refused(sock, ttl=5).option == "ttl"
        with create(sock) as server:
            assert server.local_address == path
    assert exists(path)
