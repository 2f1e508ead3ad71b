"""A process among several: where its servers with `reuse_port` get their sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Iterator

import pytest

from homing.datagram import SocketOptions, open_socket
from homing.datagram.sockets import inherited
from homing.datagram.sockets.inherited import Inherited, lender_of
from homing.datagram.sockets.shared import seat as seat_module
from homing.datagram.sockets.shared.seat import Seat, take_seat

from ....support import eventually
from .seats import HOST, OPTIONS, Seats, identity, key

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sockets are handed over on Linux only")


@pytest.fixture
async def seats() -> Iterator[Seats]:  # type: ignore[misc]
    made = Seats(2)
    yield made
    made.close()


@pytest.fixture
def own(seats: Seats, monkeypatch: pytest.MonkeyPatch) -> Seat:
    """The seat of this program."""
    found = seats.seat(0)
    monkeypatch.setattr(seat_module, "_seat", found)
    return found


async def opened(options: SocketOptions = OPTIONS, port: int = 0) -> socket.socket:
    return await asyncio.to_thread(open_socket, HOST, port, None, options)


async def test_a_server_with_reuse_port_gets_the_socket_of_its_process_with_its_options(
    seats: Seats, own: Seat
) -> None:
    with await opened(SocketOptions(reuse_port=True, ttl=7)) as sock:
        assert sock.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 7
        assert sock.getblocking() is False
        (member, _) = seats.keeper.groups[0].members
        assert member is not None
        assert identity(member) == identity(sock)
    assert inherited.kept() == []


async def test_any_other_server_binds_as_ever(seats: Seats, own: Seat) -> None:
    with await opened(SocketOptions()):
        assert seats.keeper.groups == []


async def test_an_option_that_the_system_refuses_leaves_no_socket_open(seats: Seats, own: Seat) -> None:
    with await opened() as sock:
        port = sock.getsockname()[1]
    with pytest.raises(Exception, match="no such interface"):
        await opened(SocketOptions(reuse_port=True, multicast_interface="nowhere"), port)
    assert inherited.kept() == []


async def test_if_the_supervising_program_has_ended_servers_bind_as_ever(seats: Seats, own: Seat) -> None:
    seats.keeper.close()
    with await opened() as sock:
        assert sock.getsockname()[1] > 0


async def test_a_socket_that_a_predecessor_hands_over_is_taken_as_such(seats: Seats, own: Seat) -> None:
    before = await seats.open(seats.seat(0), key(), lambda count, like: [_bound(), _bound()])
    handed = Inherited(os.dup(before.fileno()), "")
    handed.handed_over = asyncio.Event()
    inherited.keep([handed])
    with await opened() as sock:
        assert lender_of(sock) is handed
        assert identity(sock) == identity(before)
    inherited.discard([handed])


def _bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((HOST, 0))
    return sock


async def test_a_closed_server_is_told_once_and_not_by_a_fork(seats: Seats, own: Seat) -> None:
    sock = await opened()
    assert _knows_nothing_in_a_fork(sock)
    (group,) = seats.keeper.groups
    await asyncio.sleep(0)
    assert len(group.holders) == 1
    sock.close()
    sock.close()
    await eventually(lambda: not group.holders)


def _knows_nothing_in_a_fork(sock: socket.socket) -> bool:
    child = os.fork()
    if child == 0:
        os._exit(0 if sock.fileno() < 0 and seat_module.current() is None else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("text", ["", "x", "-1", "999999", "pipe"])
def test_a_variable_that_names_no_seat_has_no_effect(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(seat_module, "_seat", None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        monkeypatch.setenv(seat_module.VARIABLE, str(other.fileno()) if text == "pipe" else text)
        assert take_seat() is None
        assert other.getsockname() is not None
    assert seat_module.VARIABLE not in os.environ
