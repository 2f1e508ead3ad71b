"""Trains that were cut: a program that is attached to a socket may shorten what the kernel has joined."""

from __future__ import annotations

import ctypes
import socket
import struct

import pytest

from homing.datagram import Endpoint

from ..traffic import HOSTS, Sender, linux_only, opened, payload_of

pytestmark = [pytest.mark.backends("native"), linux_only]

SO_ATTACH_FILTER = 26  # asm-generic/socket.h
HEADER = 8  # of UDP, which the program counts too
SEGMENT, DATAGRAMS, TRAINS = 1000, 60, 8
SHORT = [0, 1, 4, SEGMENT - 1, SEGMENT]
"""Lengths to which a train is cut that leave one datagram of it, or a part."""


def cut_all_to(sock: socket.socket, length: int) -> None:
    """Has the kernel cut whatever comes to `length` bytes. The backend is not told."""
    code = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, HEADER + length))  # ret
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(code)))


def send_trains(endpoint: Endpoint, host: str) -> bytes:
    """Sends trains, and returns the payload of each."""
    train = b"".join(payload_of(number, SEGMENT) for number in range(DATAGRAMS))
    with Sender(host) as sender:
        for _ in range(TRAINS):
            sender.send(train, endpoint.local_address, SEGMENT)
    return train


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("length", SHORT)
def test_of_a_train_cut_to_its_first_datagram_that_one_is_delivered_and_flagged_and_the_train_is_counted(
    host: str, length: int
) -> None:
    with opened(host) as endpoint:
        cut_all_to(endpoint.sock, length)
        train = send_trains(endpoint, host)
        received = []
        while messages := endpoint.receive(7, 3, "me"):
            received += [(message.data, message.truncated) for message in messages]
            assert endpoint.backend.waiting >= 0
        assert received == [(train[:length], True)] * TRAINS
        backend = endpoint.backend
        counted = (backend.packets_in, backend.truncated, backend.cut_trains, backend.waiting)
        assert counted == (TRAINS, TRAINS, TRAINS, 0)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("length", SHORT)
def test_a_batch_of_cut_trains_has_the_beginning_of_each(host: str, length: int) -> None:
    with opened(host) as endpoint:
        cut_all_to(endpoint.sock, length)
        train = send_trains(endpoint, host)
        received: list[tuple[bytes, bool]] = []
        while (batch := endpoint.receive_batch(16, "me")) is not None:
            assert len(batch) == len(batch.lengths) == len(batch.offsets) == len(batch.ports) == len(batch.cut)
            received += [(message.data, message.truncated) for message in batch]
            batch._end()
        assert received == [(train[:length], True)] * TRAINS
        assert (endpoint.backend.packets_in, endpoint.backend.cut_trains) == (TRAINS, TRAINS)


@pytest.mark.parametrize("length", [SEGMENT + 1, 2 * SEGMENT, 2 * SEGMENT + 500])
def test_a_train_cut_behind_its_first_datagram_is_a_shorter_train(length: int) -> None:
    with opened() as endpoint:
        cut_all_to(endpoint.sock, length)
        train = send_trains(endpoint, "127.0.0.1")[:length]
        whole = [train[start : start + SEGMENT] for start in range(0, length, SEGMENT)] * TRAINS
        first = [message.data for message in endpoint.receive(3, 64, "me")]
        batch = endpoint.receive_batch(64, "me")  # goes on in the midst of a train
        assert batch is not None
        first += [message.data for message in batch]
        batch._end()
        while messages := endpoint.receive(500, 64, "me"):
            first += [message.data for message in messages]
        assert first == whole
        assert (endpoint.backend.truncated, endpoint.backend.cut_trains) == (0, 0)


def test_sources_of_cut_trains_are_admitted_and_counted_by_what_is_left_of_them() -> None:
    with opened() as endpoint:
        cut_all_to(endpoint.sock, 0)
        endpoint.admit((), ("127.0.0.0/8",), None)
        send_trains(endpoint, "127.0.0.1")
        assert endpoint.receive(500, 64, "me") == []
        assert endpoint.admission.denied == TRAINS
        assert endpoint.backend.cut_trains == TRAINS
