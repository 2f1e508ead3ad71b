"""Beside others: programs of other users on the same address, and systems without IPv6."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import struct
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import homing
from homing import gen, meta
from homing.datagram.address import has_ipv6

from ...support import Probe, UDPPeer, eventually, gives_up_privileges, without_privileges
from ..servers import HOST, open_echo, open_server
from .test_udp_linger import crash
from .test_udp_multicast import on_loopback, sender

pytestmark = pytest.mark.backends

GROUP = "239.77.53.53"
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="who shares with whom differs elsewhere")


def daemon(port: int = 0) -> socket.socket:
    """A socket as avahi makes it: on all addresses, with both options, a member of the group."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.setblocking(False)
    try:
        sock.bind(("", port))
    except OSError:
        sock.close()
        raise
    request = struct.pack("4s4si", socket.inet_aton(GROUP), bytes(4), socket.if_nametoindex("lo"))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    return sock


@linux_only
@gives_up_privileges
async def test_a_server_shares_its_address_with_a_program_of_another_user_and_both_get_what_goes_to_the_group(
    probe: Probe,
) -> None:
    with without_privileges(daemon) as other, sender() as sock:
        port = other.getsockname()[1]
        for alone in ({}, {"reuse_port": True}):
            with pytest.raises(gen.BindFailed, match="share_address") as caught:
                meta.create_udp_server(meta.UDPServerOptions(port=port, **alone))
            assert caught.value.errno == errno.EADDRINUSE
        server, _ = await open_server(probe, host="", port=port, share_address=True, groups=(on_loopback(GROUP),))
        assert server.local_address[1] == port
        sock.sendto(b"to all", (GROUP, port))
        assert (await probe.get()).data == b"to all"
        assert other.recv(100) == b"to all"


@linux_only
@gives_up_privileges
async def test_a_program_of_another_user_may_share_the_address_of_a_server_only_if_that_says_so(probe: Probe) -> None:
    shared, _ = await open_server(probe, host="", share_address=True)
    without_privileges(lambda: daemon(shared.local_address[1])).close()
    alone, _ = await open_server(probe, host="", reuse_port=True)
    with pytest.raises(OSError, match="in use"):
        without_privileges(lambda: daemon(alone.local_address[1]))


@pytest.mark.once
def test_without_the_option_no_socket_has_reuseaddr() -> None:
    for options in ({}, {"reuse_port": True}, {"dual_stack": True}):
        with meta.create_udp_server(meta.UDPServerOptions(**options)) as server:
            assert not server._state.endpoint.sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)


@pytest.mark.once
def test_a_system_without_the_option_refuses_it_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "SO_REUSEPORT")
    with pytest.raises(gen.BadOption, match="SO_REUSEPORT") as caught:
        meta.SocketOptions(share_address=True)
    assert caught.value.option == "share_address"


# --- without IPv6 ---------------------------------------------------------------------------------------------


@pytest.fixture
def without_ipv6(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A system that was started with ipv6.disable=1."""
    real = socket.socket.__init__

    def make(sock: socket.socket, family: int = -1, *args: Any, **options: Any) -> None:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        real(sock, family, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "__init__", make)
        yield


@pytest.mark.usefixtures("without_ipv6")
@pytest.mark.parametrize("host", ["", "::"])
async def test_without_ipv6_a_server_of_both_families_serves_ipv4_and_says_so(
    node: homing.Node, peer: UDPPeer, caplog: pytest.LogCaptureFixture, host: str
) -> None:
    assert not has_ipv6()
    with caplog.at_level(logging.WARNING):
        server = await open_echo(node, host=host, dual_stack=True)
    host_of_all, port = server.local_address
    assert host_of_all == str(socket.inet_ntoa(bytes(4)))
    assert await peer.ask(b"hello", (HOST, port)) == b"hello"
    (record,) = [record for record in caplog.records if "dual_stack" in record.getMessage()]
    assert "no IPv6" in record.getMessage()


@pytest.mark.usefixtures("without_ipv6")
async def test_without_ipv6_a_server_of_both_families_is_adopted_and_moves_as_any(node: homing.Node) -> None:
    owner = await Probe.start(node)
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    options: dict[str, Any] = {"host": "", "port": port, "linger": 60.0, "dual_stack": True}
    _, alias = await open_server(owner, **options)
    await crash(node, owner)
    successor = await Probe.start(node)
    server, again = await open_server(successor, **options)
    assert again == alias
    answer = await successor.do(lambda actor: actor.call(alias, meta.Reconfigure(port=0)))
    assert answer.local_address == server.local_address != (str(socket.inet_ntoa(bytes(4))), port)


@pytest.mark.usefixtures("without_ipv6")
async def test_without_ipv6_what_is_ipv6_alone_cannot_be_bound(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(gen.BindFailed, match="no such address family") as caught:
        meta.create_udp_server(meta.UDPServerOptions(host="::"))
    assert caught.value.errno == errno.EAFNOSUPPORT


async def test_with_ipv6_nothing_is_said(node: homing.Node, caplog: pytest.LogCaptureFixture, peer: UDPPeer) -> None:
    server = await open_echo(node, host="", dual_stack=True)
    await eventually(lambda: server.local_address[0] == "::")
    assert await peer.ask(b"hello", (HOST, server.local_address[1])) == b"hello"
    assert "IPv6" not in caplog.text


async def test_a_port_that_is_taken_is_no_reason_to_do_without_ipv6(probe: Probe) -> None:
    server, _ = await open_server(probe, host="::")
    with pytest.raises(gen.BindFailed) as caught:
        meta.create_udp_server(meta.UDPServerOptions(dual_stack=True, port=server.local_address[1]))
    assert caught.value.errno == errno.EADDRINUSE
