"""Sockets that the program was started with: lent to one at a time, and as new, whatever they were set to before."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

import pytest

from homing.datagram import Endpoint, SocketOptions, open_socket
from homing.datagram.sockets import inherited as inherited_sockets
from homing.datagram.sockets.inherited import Inherited
from homing.gen import BindFailed

from ...support import UDPPeer, eventually

HOST = "127.0.0.1"
SOL_UDP, UDP_SEGMENT, UDP_GRO = 17, 103, 104


@pytest.fixture
def one() -> Iterator[Inherited]:
    """A socket that is kept under the name "dns"."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    found = Inherited(sock.detach(), "dns")
    inherited_sockets.keep([found])
    yield found
    inherited_sockets.discard([found])
    assert inherited_sockets.kept() == []


def test_a_socket_is_lent_again_when_it_was_closed(one: Inherited) -> None:
    for _ in range(3):
        with open_socket(HOST, 0, "dns", SocketOptions()) as sock:
            assert sock.getsockname() == one.address
            assert sock.getblocking() is False
            assert not one.free
        assert one.free


def test_its_address_finds_it_while_it_is_free_and_port_0_never_does(one: Inherited) -> None:
    assert isinstance(one.address, tuple)
    with open_socket(HOST, 0, None, SocketOptions()) as other:
        assert other.getsockname() != one.address
    with (
        open_socket(HOST, one.address[1], None, SocketOptions()),
        pytest.raises(BindFailed, match="Address already in use"),
    ):
        open_socket(HOST, one.address[1], None, SocketOptions())


def test_without_descriptors_the_error_says_what_to_do(one: Inherited, monkeypatch: pytest.MonkeyPatch) -> None:
    def dup(descriptor: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("os.dup", dup)
    with pytest.raises(BindFailed, match="raise `ulimit -n`"):
        open_socket(HOST, 53, "dns", SocketOptions())


def test_a_bad_option_leaves_it_free(one: Inherited) -> None:
    with pytest.raises(TypeError):
        open_socket(HOST, 0, "dns", _impossible())
    assert one.free


def _impossible() -> SocketOptions:
    options = SocketOptions()
    object.__setattr__(options, "receive_buffer", 2**40)
    return options


@pytest.mark.backends
@pytest.mark.skipif(sys.platform != "linux", reason="udp(7) UDP_GRO is Linux only")
@pytest.mark.parametrize("gro", [True, False])
async def test_a_socket_that_joined_datagrams_before_gives_each_by_itself(
    one: Inherited, peer: UDPPeer, gro: bool
) -> None:
    with socket.socket(fileno=socket.dup(one.descriptor)) as before:
        try:
            before.setsockopt(SOL_UDP, UDP_GRO, 1)
            peer.socket.setsockopt(SOL_UDP, UDP_SEGMENT, 10)
        except OSError:
            pytest.skip("this kernel joins no datagrams")
    endpoint = Endpoint(open_socket(HOST, 0, "dns", SocketOptions()), buffer_size=65535, send_queue=1, gro=gro)
    try:
        assert isinstance(one.address, tuple)
        peer.send(b"0123456789" * 20, one.address)
        found: list[bytes] = []
        await eventually(lambda: found.extend(message.data for message in endpoint.receive(64, 64, None)) or found)
        while messages := endpoint.receive(64, 64, None):
            found += [message.data for message in messages]
        assert found == [b"0123456789"] * 20
    finally:
        endpoint.close()
