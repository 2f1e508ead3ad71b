"""What the kernel refuses: runs that it takes one by one, and datagrams that it takes in no way, amid others."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import random
import socket
import struct
from collections.abc import Callable, Iterator

import pytest

from homing.datagram import Endpoint, MessageUDP, SocketOptions, bind

from ...meta.servers import HOST, NARROW, in_network, needs_namespaces, run
from ...support import eventually
from ..traffic import (
    LAST,
    SO_NO_CHECK,
    UDPLITE,
    Receiver,
    datagrams_of,
    joins,
    linux_only,
    name_of,
    opened,
    payload_of,
    received,
)

pytestmark = pytest.mark.backends

LOOPBACK = "ip link set lo up"
SHORT_PACKETS = f"{LOOPBACK}; ip link set lo mtu 1500"
BAD_ROUTES = f"""{LOOPBACK}
ip route add unreachable 10.1.0.0/24
ip route add prohibit 10.2.0.0/24
ip route add blackhole 10.3.0.0/24"""
REFUSED = {("10.1.0.1", 9): "EHOSTUNREACH", ("10.2.0.1", 9): "EACCES", ("10.3.0.1", 9): "EINVAL", (HOST, 0): "EINVAL"}
"""Where the kernel sends nothing, and what it says."""


def contents_of(count: int, size: int) -> list[bytes]:
    return [payload_of(number, size) for number in range(count)]


def send(endpoint: Endpoint, contents: list[bytes], to: Receiver) -> None:
    """Sends all of them, and none fails."""
    messages = [MessageUDP(None, to.address, content) for content in contents]
    assert endpoint.send_many(messages) == (len(messages), [])


def go_joined(endpoint: Endpoint, peer: Receiver, size: int, count: int = 10) -> bool:
    """Sends a run, sees that all of it arrives once and in order, and tells whether it was given to the kernel as
    one."""
    contents = contents_of(count, size)
    send(endpoint, contents, peer)
    trains = received(endpoint, peer)
    assert datagrams_of(trains) == contents
    return any(train.joined for train in trains)


@contextlib.contextmanager
def pair() -> Iterator[tuple[Endpoint, Receiver]]:
    with opened() as endpoint, Receiver() as peer:
        yield endpoint, peer


# --- runs that are refused ----------------------------------------------------------------------------------


@needs_namespaces
def test_a_run_of_datagrams_longer_than_a_packet_goes_one_by_one_and_shorter_runs_still_go_as_one() -> None:
    def body() -> None:
        with pair() as (endpoint, peer):
            joins_at_first = joins(endpoint)
            assert not go_joined(endpoint, peer, 2000)
            assert not go_joined(endpoint, peer, 2000, count=150)
            assert go_joined(endpoint, peer, 1400) == joins_at_first
            assert joins(endpoint) == joins_at_first
            assert endpoint.send_queue.errors == {}

    in_network(SHORT_PACKETS, body)


@needs_namespaces
def test_the_length_that_was_refused_as_a_run_is_remembered() -> None:
    def body() -> None:
        with pair() as (endpoint, peer):
            assert not go_joined(endpoint, peer, 2000)
            run("ip link set lo mtu 65536")
            assert not go_joined(endpoint, peer, 2000)
            assert go_joined(endpoint, peer, 1999) == joins(endpoint)

    in_network(SHORT_PACKETS, body)


@pytest.mark.backends("native")  # the other sends no runs
@needs_namespaces
def test_a_refusal_is_forgotten_after_ten_minutes_for_ways_change(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("homing.datagram.backend.native_sender.monotonic", lambda: now[0])

    def body() -> None:
        with pair() as (endpoint, peer):
            assert not go_joined(endpoint, peer, 2000)
            run("ip link set lo mtu 65536")
            now[0] += 599
            assert not go_joined(endpoint, peer, 2000)
            now[0] += 2
            assert go_joined(endpoint, peer, 2000)

    in_network(SHORT_PACKETS, body)


@needs_namespaces
def test_a_refused_run_amid_others_loses_repeats_and_reorders_nothing() -> None:
    def body() -> None:
        sizes = [1000] * 5 + [2000] * 30 + [20] + [2000] * 3 + [1200] * 100 + [1999] * 8 + [1400] * 3
        with pair() as (endpoint, peer):
            contents = [payload_of(number, size) for number, size in enumerate(sizes)]
            send(endpoint, contents, peer)
            assert datagrams_of(received(endpoint, peer)) == contents

    in_network(SHORT_PACKETS, body)


@linux_only
def test_a_run_that_is_refused_as_invalid_goes_one_by_one_and_shorter_ones_go_as_one() -> None:
    """A socket without checksums gets no runs: that is udp(7)'s EINVAL, on any kernel."""
    sock = bind(HOST, 0, SocketOptions())
    with Receiver() as peer, contextlib.closing(Endpoint(sock, buffer_size=100, send_queue=10)) as endpoint:
        joins_at_first = joins(endpoint)
        sock.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        assert not go_joined(endpoint, peer, 700)
        sock.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 0)
        assert not go_joined(endpoint, peer, 700)
        assert go_joined(endpoint, peer, 699) == joins_at_first
        assert (joins(endpoint), endpoint.send_queue.errors) == (joins_at_first, {})


def udplite(host: str) -> socket.socket:
    """UDP-Lite can do all that UDP can but send runs: then the kernel says EIO, as it does where the way out (an IPsec
    tunnel, on older kernels a device without checksums) cannot split them."""
    try:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, UDPLITE)
    except OSError:
        pytest.skip("this kernel has no UDP-Lite")
    sock.setblocking(False)
    sock.bind((host, 0))
    return sock


@linux_only
def test_a_way_out_that_takes_no_runs_turns_them_off_and_the_run_goes_one_by_one() -> None:
    sock = udplite(HOST)
    endpoint = Endpoint(sock, buffer_size=100, send_queue=10)
    with Receiver(protocol=UDPLITE) as peer, contextlib.closing(endpoint):
        contents = contents_of(150, 300)
        send(endpoint, contents, peer)
        assert not joins(endpoint)
        assert datagrams_of(received(endpoint, peer)) == contents
        assert not go_joined(endpoint, peer, 20)
        assert (endpoint.backend.packets_out, endpoint.send_queue.errors) == (162, {})


@needs_namespaces
@pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="there is no /dev/net/tun")
def test_a_device_without_checksums_gets_each_datagram_of_a_run_once_and_in_order() -> None:
    """Kernels before 6.11 refuse the run with EIO, later ones split it."""

    def body() -> None:
        with device("10.9.0.1/24") as descriptor, opened("10.9.0.1") as endpoint:
            contents = contents_of(10, 300)
            messages = [MessageUDP(None, ("10.9.0.2", 9), content) for content in contents]
            assert endpoint.send_many(messages) == (10, [])
            assert payloads_at(descriptor) == contents

    in_network(LOOPBACK, body)


def payloads_at(descriptor: int) -> list[bytes]:
    """The UDP payloads that the device was given until now."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            packet = os.read(descriptor, 65536)
            if packet[0] >> 4 == 4 and packet[9] == socket.IPPROTO_UDP:
                found.append(packet[28:])
    return found


@contextlib.contextmanager
def device(address: str) -> Iterator[int]:
    """A network device of this program's: what is sent out through it can be read from its descriptor."""
    tunsetiff, tunsetoffload, iff_tun, iff_no_pi = 0x400454CA, 0x400454D0, 0x1, 0x1000
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(descriptor, tunsetiff, struct.pack("16sH", b"out", iff_tun | iff_no_pi))
        fcntl.ioctl(descriptor, tunsetoffload, 0)
        run(f"ip addr add {address} dev out; ip link set out up")
        yield descriptor
    finally:
        os.close(descriptor)


# --- datagrams that are refused -----------------------------------------------------------------------------


@needs_namespaces
@pytest.mark.parametrize("nowhere", REFUSED)
def test_a_run_to_where_nothing_can_be_sent_is_reported_one_by_one_and_other_runs_still_go_as_one(
    nowhere: tuple[str, int],
) -> None:
    def body() -> None:
        with pair() as (endpoint, peer):
            joins_at_first = joins(endpoint)
            contents = contents_of(10, 100)
            places = [nowhere] * 100 + [peer.address] * 10
            messages = [MessageUDP(None, place, contents[index % 10]) for index, place in enumerate(places)]
            done, failures = endpoint.send_many(messages)
            assert done == 110
            assert [(index, name_of(error)) for index, error in failures] == [
                (index, REFUSED[nowhere]) for index in range(100)
            ]
            assert endpoint.send_queue.errors == {REFUSED[nowhere]: 100}
            assert endpoint.backend.packets_out == 10
            trains = received(endpoint, peer)
            assert datagrams_of(trains) == contents
            assert len(trains) == (1 if joins_at_first else 10)
            assert joins(endpoint) == joins_at_first
            assert go_joined(endpoint, peer, 100) == go_joined(endpoint, peer, 1400) == joins_at_first

    in_network(BAD_ROUTES, body)


@needs_namespaces
@pytest.mark.parametrize("seed", range(8))
def test_refused_datagrams_amid_others_are_reported_and_the_others_arrive_once_and_in_order(seed: int) -> None:
    choose = random.Random(seed)

    def body() -> None:
        with pair() as (endpoint, peer):
            places = [peer.address] * 4 + list(REFUSED)
            messages = []
            while len(messages) < 300:
                place, size = choose.choice(places), choose.choice([0, 10, 100, 100, 2000])
                count = choose.choice([1, 1, 2, 70])
                messages += [MessageUDP(None, place, payload_of(len(messages) + n, size)) for n in range(count)]
            done, failures = endpoint.send_many(messages)
            assert done == len(messages)
            assert [(index, name_of(error)) for index, error in failures] == [
                (index, REFUSED[message.addr]) for index, message in enumerate(messages) if message.addr in REFUSED
            ]
            sent = [message.data for message in messages if message.addr == peer.address]
            assert datagrams_of(received(endpoint, peer)) == sent

    in_network(f"{BAD_ROUTES}; ip link set lo mtu 1500" if seed % 2 else BAD_ROUTES, body)


# --- datagrams that have to wait ----------------------------------------------------------------------------


def narrow(make: Callable[[], Endpoint]) -> tuple[Endpoint, Receiver]:
    return in_network(NARROW, lambda: (make(), Receiver()))


@needs_namespaces
@pytest.mark.parametrize("sizes", [(80,), (80, 80, 500, 500, 0)], ids=["runs", "mixed"])
async def test_when_the_kernel_can_take_no_more_the_rest_waits_and_failures_amid_it_are_told(
    sizes: tuple[int, ...],
) -> None:
    """The kernel's buffer fills in the middle of the list, and again and again while the rest goes out."""
    told: list[tuple[bytes, int, str]] = []
    endpoint, peer = narrow(
        lambda: Endpoint(bind(HOST, 0, SocketOptions(send_buffer=1)), buffer_size=100, send_queue=1000)
    )
    endpoint.send_queue.on_sent = lambda message, _, size, error: told.append(
        (bytes(message.data), size, name_of(error) if error else "")
    )
    with peer, contextlib.closing(endpoint):
        endpoint.open(asyncio.get_running_loop(), lambda: None)
        messages = [
            MessageUDP(
                None, peer.address if number % 40 else ("192.0.2.1", 9), payload_of(number, sizes[number % len(sizes)])
            )
            for number in range(400)
        ]
        done, failures = endpoint.send_many(messages)
        assert 0 < done < 400
        assert endpoint.send_queue.waiting == 400 - done
        assert [index for index, _ in failures] == list(range(0, done, 40))
        await eventually(lambda: endpoint.send_queue.waiting == 0)
        assert told == [
            (message.data, len(message.data) if number % 40 else 0, "" if number % 40 else "ENETUNREACH")
            for number, message in list(enumerate(messages))[done:]
        ]
        sent = [message.data for number, message in enumerate(messages) if number % 40]
        assert endpoint.send(MessageUDP(None, peer.address, LAST), None) in (None, len(LAST))
        await eventually(lambda: endpoint.send_queue.waiting == 0)
        assert datagrams_of(await asyncio.to_thread(peer.trains_until, LAST)) == sent
        assert endpoint.send_queue.errors == {"ENETUNREACH": 10}


@needs_namespaces
async def test_what_finds_no_room_in_the_queue_is_reported_with_its_number() -> None:
    endpoint, peer = narrow(
        lambda: Endpoint(bind(HOST, 0, SocketOptions(send_buffer=1)), buffer_size=100, send_queue=5)
    )
    with peer, contextlib.closing(endpoint):
        endpoint.open(asyncio.get_running_loop(), lambda: None)
        messages = [MessageUDP(None, peer.address, payload_of(number, 500 + number)) for number in range(60)]
        done, failures = endpoint.send_many(messages)
        assert [(index, name_of(error)) for index, error in failures] == [
            (index, "SendQueueFull") for index in range(done + 5, 60)
        ]
        assert endpoint.send_queue.dropped == 55 - done > 0
        assert datagrams_of([await asyncio.to_thread(peer.receive) for _ in range(done + 5)]) == [
            message.data for message in messages[: done + 5]
        ]
