"""Programs that the kernel runs: what they see, what they refuse, and what is no program."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import Any

import pytest

from homing import gen
from homing.datagram import Endpoint, SocketOptions, bind
from homing.datagram.sockets.bpf import attach_filter, attach_steering
from homing.datagram.sockets.kernel import overflows

from ...meta.servers import in_network, needs_namespaces
from ..traffic import HOSTS, linux_only

pytestmark = linux_only

PAYLOAD = 8
PASS, REFUSE = (0x06, 0, 0, 0xFFFFFFFF), (0x06, 0, 0, 0)  # ret
ONLY_A = ((0x30, 0, 0, PAYLOAD), (0x15, 0, 1, ord("a")), PASS, REFUSE)  # ldb [8]; jeq 'a'
BY_KEY = ((0x30, 0, 0, 0), (0x54, 0, 0, 3), (0x16, 0, 0, 0))  # ldb [0]; and 3; ret a


def drain(sock: socket.socket) -> list[bytes]:
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(sock.recv(2000))
    return found


def send(payloads: list[bytes], address: Any) -> None:
    with socket.socket(socket.AF_INET6 if len(address) == 4 else socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for payload in payloads:
            sender.sendto(payload, address)


@pytest.mark.backends
@pytest.mark.parametrize("host", HOSTS)
def test_what_the_program_refuses_is_never_read_and_counts_as_dropped_by_the_kernel(host: str) -> None:
    sock = bind(host, 0, SocketOptions(bpf=ONLY_A))
    endpoint = Endpoint(sock, buffer_size=2000, send_queue=10)
    with contextlib.closing(endpoint):
        send([b"a1", b"b1", b"", b"a2", b"ba"], endpoint.local_address)
        assert [message.data for message in endpoint.receive(64, 64, "me")] == [b"a1", b"a2"]
        assert endpoint.kernel.drops == 3


def overflown(host: str, options: SocketOptions) -> tuple[int, int]:
    """How many of 100 datagrams are read, and how many have overflown a buffer of this network."""
    with bind(host, 0, options) as sock:
        before = overflows(sock.family)
        assert before is not None
        send([b"x"] * 100, sock.getsockname())
        return len(drain(sock)), (overflows(sock.family) or 0) - before


@needs_namespaces
@pytest.mark.parametrize("host", HOSTS)
def test_the_system_tells_what_found_no_room_from_what_was_refused(host: str) -> None:
    def body() -> list[tuple[int, int]]:
        return [overflown(host, SocketOptions(bpf=(REFUSE,))), overflown(host, SocketOptions(receive_buffer=5000))]

    (refused, none), (read, lost) = in_network("ip link set lo up", body)
    assert (refused, none) == (0, 0)
    assert read + lost == 100
    assert lost > 0


def test_a_program_can_be_replaced_and_taken_away() -> None:
    with bind("127.0.0.1", 0, SocketOptions(bpf=(REFUSE,))) as sock:
        for program, expected in [((PASS,), [b"b"]), (ONLY_A, []), (None, [b"b"]), (None, [b"b"])]:
            attach_filter(sock, program)
            send([b"b"], sock.getsockname())
            assert drain(sock) == expected


def group(count: int) -> list[socket.socket]:
    """Sockets that share a port."""
    sockets: list[socket.socket] = []
    for _ in range(count):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setblocking(False)
        sock.bind(("127.0.0.1", sockets[0].getsockname()[1] if sockets else 0))
        sockets.append(sock)
    return sockets


def test_steering_by_a_key_brings_each_session_to_its_socket() -> None:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(sock) for sock in group(4)]
        attach_steering(sockets[0], BY_KEY)
        for _ in range(3):
            send([bytes([key]) + b"of a session" for key in range(256)], sockets[0].getsockname())
        for number, sock in enumerate(sockets):
            assert [data[0] for data in drain(sock)] == [key for key in range(256) if key % 4 == number] * 3


def test_sockets_that_are_bound_with_a_program_share_their_port_by_it() -> None:
    options = SocketOptions(reuse_port=True, reuse_port_steering=BY_KEY)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(bind("127.0.0.1", 0, options))]
        address = sockets[0].getsockname()
        sockets += [stack.enter_context(bind("127.0.0.1", address[1], options)) for _ in range(3)]
        send([bytes([key]) for key in range(256)], address)
        for number, sock in enumerate(sockets):
            assert [data[0] for data in drain(sock)] == [key for key in range(256) if key % 4 == number]


def test_steering_without_a_shared_port_is_refused_by_name() -> None:
    with pytest.raises(gen.BadOption, match="reuse_port=True") as caught:
        SocketOptions(reuse_port_steering="cpu")
    assert caught.value.option == "reuse_port_steering"


def test_steering_by_cpu_brings_a_datagram_to_the_socket_of_the_processor_that_received_it() -> None:
    processors = sorted(os.sched_getaffinity(0))
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(sock) for sock in group(processors[-1] + 1)]
        attach_steering(sockets[0], "cpu")
        try:
            for processor in processors:  # what is sent to the loopback is received on the sender's processor
                os.sched_setaffinity(0, {processor})
                send([b"%d" % processor] * 5, sockets[0].getsockname())
        finally:
            os.sched_setaffinity(0, processors)
        for processor in processors:
            assert drain(sockets[processor]) == [b"%d" % processor] * 5


def test_a_program_that_the_system_refuses_names_the_option_and_leaves_no_socket() -> None:
    for program in (((0x15, 5, 5, 0),), (PASS, (0x15, 0, 0, 0)), ((0xFFFF, 0, 0, 0),)):
        with pytest.raises(gen.BadOption, match="the system refuses it") as caught:
            bind("127.0.0.1", 0, SocketOptions(bpf=program))
        assert caught.value.option == "bpf"


def test_steering_a_socket_that_shares_no_port_is_refused() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        with pytest.raises(gen.BadOption, match="reuse_port") as caught:
            attach_steering(sock, "cpu")
        assert (caught.value.option, caught.value.value) == ("reuse_port_steering", "cpu")


@pytest.mark.parametrize(
    "program",
    [
        (),
        [PASS],
        "ret",
        PASS,
        ((0x06, 0, 0),),
        ((0x06, 0, 0, -1),),
        ((0x06, 0, 0, 1 << 32),),
        ((0x06, 256, 0, 0),),
        ((0x06, 0, 256, 0),),
        ((0x10000, 0, 0, 0),),
        ((0x06, 0, 0, "0"),),
        ((0x06, 0, 0, True),),
        (PASS,) * 4097,
        5,
    ],
)
def test_what_is_no_program_is_refused_by_name(program: Any) -> None:
    for option in ("bpf", "reuse_port_steering"):
        with pytest.raises(gen.BadOption) as caught:
            SocketOptions(**{option: program})
        assert caught.value.option == option


def test_elsewhere_than_on_linux_there_are_no_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    for options in ({"bpf": (PASS,)}, {"reuse_port_steering": "cpu"}):
        with pytest.raises(gen.BadOption, match="Linux only"):
            SocketOptions(**options)  # type: ignore[arg-type]
