"""The sockets of one port, kept for several processes: each gets its own, and the same one again."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homing.datagram import SocketOptions
from homing.datagram.sockets.inherited import Inherited
from homing.datagram.sockets.kernel_socket import KernelSocket
from homing.datagram.sockets.shared import keeper as keeper_module
from homing.gen import BindFailed

from ....support import eventually, examples, free_port
from .seats import HOST, Seats, binds, by_first_byte, identity, key, never, read, send_to

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sockets are handed over on Linux only")
COUNT = 3
STEERED = SocketOptions(reuse_port=True, reuse_port_steering=by_first_byte(COUNT))


@pytest.fixture
async def seats() -> Iterator[Seats]:  # type: ignore[misc]
    made = Seats(COUNT)
    yield made
    made.close()
    assert made.said == []


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets that nobody uses are closed at once."""
    monkeypatch.setattr(keeper_module, "KEPT_SECONDS", 0.0)


async def test_all_processes_get_one_port_and_each_a_socket_of_its_own(seats: Seats) -> None:
    _, found = await seats.open_all(COUNT)
    assert len({sock.getsockname() for sock in found}) == 1
    assert len(set(map(identity, found))) == COUNT


async def test_the_kernel_numbers_the_sockets_as_the_processes_are_whoever_asks_first(seats: Seats) -> None:
    _, found = await seats.open_all(COUNT, STEERED)
    send_to(found[0].getsockname()[1], b"\0", b"\1", b"\2", b"\3", b"\4")
    assert [read(sock) for sock in found] == [[b"\0", b"\3"], [b"\1", b"\4"], [b"\2"]]


async def test_what_waits_for_a_process_that_died_is_there_for_the_next_one_and_nothing_is_renumbered(
    seats: Seats,
) -> None:
    running, found = await seats.open_all(COUNT, STEERED)
    port = found[0].getsockname()[1]
    send_to(port, b"\1before")
    seats.kill(running[1], found[1])
    send_to(port, b"\0", b"\1after", b"\2")
    again = await seats.open(seats.seat(1), key(), steered=True)
    assert read(again) == [b"\1before", b"\1after"]
    assert [read(sock) for sock in (found[0], found[2])] == [[b"\0"], [b"\2"]]


async def test_a_server_that_is_closed_and_opened_again_has_its_socket_again(seats: Seats) -> None:
    running, found = await seats.open_all(COUNT)
    before = identity(found[2])
    found[2].close()
    assert identity(await seats.open(running[2], key())) == before


async def test_a_second_server_of_a_process_at_the_same_port_gets_a_second_socket(seats: Seats) -> None:
    port = free_port()
    running = [seats.seat(process) for process in range(COUNT)]
    first = [await seats.open(seat, key(port), binds(port)) for seat in running]
    second = [await seats.open(seat, key(port), binds(port)) for seat in running]
    assert len(set(map(identity, [*first, *second]))) == 2 * COUNT
    assert {sock.getsockname() for sock in (*first, *second)} == {(HOST, port)}


async def test_processes_that_ask_while_another_binds_wait_for_it(seats: Seats) -> None:
    running = [seats.seat(process) for process in range(COUNT)]
    found = await asyncio.gather(*[seats.open(seat, key(), binds()) for seat in running])
    assert len({sock.getsockname() for sock in found}) == 1
    assert len(seats.keeper.groups) == 1


async def test_a_fault_of_the_address_is_an_error_of_the_server_that_asks_and_the_next_one_may_try(
    seats: Seats,
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((HOST, 0))
        port = other.getsockname()[1]
        for process in range(2):
            with pytest.raises(BindFailed, match="Address already in use"):
                await seats.open(seats.seat(process), key(port), binds(port))
    await seats.open(seats.seat(2), key(port), binds(port))


async def test_if_the_process_that_binds_dies_the_next_one_binds(seats: Seats) -> None:
    dying = seats.seat(0)

    def die(count: int, like: socket.socket | None) -> list[socket.socket]:
        seats.kill(dying)
        raise OSError("it is dead")

    with pytest.raises(OSError, match="it is dead"):
        await seats.open(dying, key(), die)
    await seats.open(seats.seat(1), key(), binds())


# --- how long -------------------------------------------------------------------------------------------------


async def test_sockets_that_nobody_uses_any_more_are_closed_after_a_while(seats: Seats, at_once: None) -> None:
    _, found = await seats.open_all(COUNT)
    for sock in found[1:]:
        sock.close()
    await asyncio.sleep(0.01)
    assert len(seats.keeper.groups) == 1
    found[0].close()
    await eventually(lambda: not seats.keeper.groups)


async def test_sockets_of_processes_that_have_all_died_are_kept_until_they_have_started_again_without_them(
    seats: Seats, at_once: None
) -> None:
    running, found = await seats.open_all(COUNT)
    for seat, sock in zip(running, found, strict=True):
        seats.kill(seat, sock)
    await asyncio.sleep(0.01)
    assert len(seats.keeper.groups) == 1
    for process in range(COUNT):
        seats.seat(process).started()
    await eventually(lambda: not seats.keeper.groups)
    assert all(event.is_set() for event in seats.keeper.started)


async def test_if_a_process_has_ended_for_good_the_kernel_distributes_its_share_among_the_others(seats: Seats) -> None:
    running, found = await seats.open_all(COUNT)
    found[1].close()
    seats.kill(running[1])
    seats.keeper.ended(1)
    port = found[0].getsockname()[1]
    for _ in range(100):  # each from another port
        send_to(port, b"1")
    assert len(read(found[0])) + len(read(found[2])) == 100


async def test_with_steering_the_share_of_a_process_that_has_ended_waits_and_nothing_is_renumbered() -> None:
    seats = Seats(COUNT)
    running, found = await seats.open_all(COUNT, STEERED)
    found[1].close()
    seats.kill(running[1])
    seats.keeper.ended(1)
    port = found[0].getsockname()[1]
    send_to(port, b"\0", b"\1", b"\2")
    assert [read(found[0]), read(found[2])] == [[b"\0"], [b"\2"]]
    assert seats.said == [f"process 2 has no server at {HOST}:{port}: what is steered to it waits"]
    seats.close()


async def test_a_process_that_has_started_without_a_server_there_gets_no_share_until_it_has_one(
    seats: Seats, at_once: None
) -> None:
    running = [seats.seat(process) for process in range(COUNT)]
    first = await seats.open(running[0], key(), binds())
    (group,) = seats.keeper.groups
    await asyncio.sleep(0.01)
    assert group.missing == 0  # the others may still be starting
    for seat in running:
        seat.started()
    await eventually(lambda: group.missing == COUNT - 1)
    port = first.getsockname()[1]
    for _ in range(20):  # each from another port
        send_to(port, b"1")
    assert len(read(first)) == 20
    late = await seats.open(running[1], key(), binds())
    assert late.getsockname() == first.getsockname()


async def test_a_server_that_was_closed_for_good_leaves_its_share_to_the_others(seats: Seats, at_once: None) -> None:
    running, found = await seats.open_all(COUNT)
    running[1].started()
    found[1].close()
    (group,) = seats.keeper.groups
    await eventually(lambda: group.missing == 1)
    assert group.members[1] is None


async def test_drops_that_a_process_has_counted_are_not_counted_by_the_next_one(seats: Seats) -> None:
    running, found = await seats.open_all(COUNT)
    sock, port = found[0], found[0].getsockname()[1]
    found[1].close()
    found[2].close()
    seats.keeper.groups[0].drop(1)
    seats.keeper.groups[0].drop(2)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    send_to(port, *[bytes(1000)] * 100)
    lost = 100 - len(read(sock))
    seats.kill(running[0], sock)
    again = await seats.open(seats.seat(0), key())
    kernel = KernelSocket(again)
    assert lost > 0
    assert (kernel.drops, kernel.total_drops()) == (0, lost)
    kernel.close()


# --- from other programs --------------------------------------------------------------------------------------


async def test_more_processes_than_a_former_program_had_get_sockets_behind_its_own() -> None:
    former, seats = Seats(2), Seats(COUNT)
    _, found = await former.open_all(2, SocketOptions(reuse_port=True, reuse_port_steering=by_first_byte(2)))
    (group,) = former.keeper.groups
    members = [sock if sock is None else sock.dup() for sock in group.members]
    seats.keeper.adopt(group.key, members, steered=True, stream=False)
    third = await seats.open(seats.seat(2), key(), binds(0, STEERED))
    first, second = [await seats.open(seats.seat(process), key()) for process in range(2)]
    assert [identity(first), identity(second)] == list(map(identity, found))
    send_to(third.getsockname()[1], b"\0", b"\1", b"\2")
    assert [read(first), read(second), read(third)] == [[b"\0"], [b"\1"], [b"\2"]]
    seats.close()
    former.close()


def passed(name: str = "", *, reuse_port: bool) -> Inherited:
    """A socket as systemd passes it."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse_port)
    sock.bind((HOST, 0))
    return Inherited(sock.detach(), name)


@pytest.mark.parametrize("name", ["", "dns"])
async def test_a_socket_that_systemd_has_passed_is_that_of_the_first_process(name: str) -> None:
    given = passed(name, reuse_port=True)
    assert isinstance(given.address, tuple)
    port = 0 if name else given.address[1]
    seats = Seats(COUNT, passed=[given])
    more = {"addresses": [given.address] if port else []}
    found = [await seats.open(seats.seat(n), key(port, name), binds(port), **more) for n in reversed(range(COUNT))]
    assert {sock.getsockname() for sock in found} == {given.address}
    with given.borrowed() as sock:
        assert identity(found[-1]) == identity(sock)
    seats.close()
    given.close()


async def test_sockets_that_systemd_has_passed_and_that_cannot_be_shared_are_refused_with_advice() -> None:
    given = passed("dns", reuse_port=False)
    seats = Seats(COUNT, passed=[given])
    with pytest.raises(OSError, match=r"without ReusePort=yes; see systemd\.socket\(5\)"):
        await seats.open(seats.seat(0), key(0, "dns"), never)
    with pytest.raises(OSError, match="no socket of the name 'tftp' that is free"):
        await seats.open(seats.seat(0), key(0, "tftp"), never)
    seats.close()
    given.close()


# --- nonsense -------------------------------------------------------------------------------------------------

SAYINGS = st.fixed_dictionaries(
    {"say": st.sampled_from(["ask", "made", "failed", "release", "started", "x", None])},
    optional={
        "ref": st.integers() | st.none(),
        "key": st.lists(st.integers() | st.booleans() | st.text(), max_size=6) | st.just([*key()]),
        "left": st.integers() | st.text(),
        "group": st.integers() | st.none(),
        "addresses": st.none() | st.lists(st.text()),
    },
).map(lambda message: json.dumps(message).encode())


@settings(max_examples=examples(60, 3000), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=50) | SAYINGS, min_size=1, max_size=6))
def test_whatever_a_process_sends_the_others_get_their_sockets(messages: list[bytes]) -> None:
    async def body() -> None:
        seats = Seats(COUNT)
        place = seats.keeper.place(1)
        with place.child:
            for data in messages:
                try:
                    place.child.send(data)
                except OSError:
                    break  # the keeper has closed the connection
                await asyncio.sleep(0)
                await asyncio.sleep(0)
        await seats.open(seats.seat(0), key(), binds())
        seats.close()

    asyncio.run(body())


def listens(count: int, like: socket.socket | None) -> list[socket.socket]:
    """Makes a socket of TCP, as a server does."""
    return [socket.create_server((HOST, 0)) for _ in range(count)]


async def test_all_processes_get_one_socket_of_tcp_that_outlives_them(seats: Seats, at_once: None) -> None:
    running = [seats.seat(process) for process in range(COUNT)]
    found = [await seats.open(running[0], key(), listens, stream=True)]
    found += [await seats.open(seat, key(), stream=True) for seat in running[1:]]
    assert len(set(map(identity, found))) == 1
    with socket.create_connection(found[0].getsockname()) as client:
        for seat, sock in zip(running, found, strict=True):
            seats.kill(seat, sock)
        again = await seats.open(seats.seat(1), key(), stream=True)
        accepted, address = again.accept()
        accepted.close()
        assert address == client.getsockname()


async def test_tcp_and_udp_at_one_address_are_two_groups(seats: Seats) -> None:
    one = seats.seat(0)
    of_tcp = await seats.open(one, key(), listens, stream=True)
    of_udp = await seats.open(one, key(), binds())
    assert (of_tcp.type, of_udp.type) == (socket.SOCK_STREAM, socket.SOCK_DGRAM)


async def test_a_socket_of_tcp_that_no_process_uses_any_more_is_closed(seats: Seats, at_once: None) -> None:
    one = seats.seat(0)
    sock = await seats.open(one, key(), listens, stream=True)
    sock.close()
    await eventually(lambda: seats.keeper.groups == [])


async def test_a_listener_that_systemd_has_passed_is_that_of_all_processes() -> None:
    with socket.create_server((HOST, 0)) as given:
        passed = Inherited(given.detach(), "web")
        seats = Seats(COUNT, passed=[passed])
        try:
            running = [seats.seat(process) for process in range(COUNT)]
            found = [await seats.open(seat, key(activation="web"), stream=True) for seat in running]
            assert len({*map(identity, found)}) == 1
            assert found[0].getsockname() == passed.address
        finally:
            seats.close()
            passed.close()
