"""Pacing: what is too fast waits in the send queue, in order; how long, the clock of the test tells, or the kernel."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homing import gen
from homing.datagram import MessageUDP, Pacing
from homing.datagram.backend.watch import LoopWatch
from homing.datagram.failures import Failures
from homing.datagram.policy.pacing import Pacer

from ...support import DEADLINE, eventually, examples
from ..traffic import HOSTS, Receiver, datagrams_of, opened, received

HEADERS = 28


class Clock:
    now = 5.0

    def __call__(self) -> float:
        return self.now


class Sink:
    """A backend that takes `room` datagrams, refuses those of which the data is no bytes, and keeps what it took."""

    def __init__(self) -> None:
        self.room = 1 << 30
        self.taken: list[Any] = []
        self.runs: list[int] = []

    def send(self, message: MessageUDP) -> int:
        if not self.room:
            raise BlockingIOError
        self.room -= 1
        if not isinstance(message.data, bytes):
            raise TypeError("no bytes")
        self.taken.append(message.data)
        return len(message.data)

    def send_many(self, messages: list[MessageUDP], failures: Failures) -> int:
        self.runs.append(len(messages))
        for index, message in enumerate(messages):
            try:
                self.send(message)
            except BlockingIOError:
                return index
            except TypeError as error:
                failures.append((index, error))
        return len(messages)


def paced(**options: Any) -> tuple[Pacer, Sink, Clock]:
    sink, clock = Sink(), Clock()
    pacing = Pacing(**{"bytes_per_second": 1000, "burst": 0, "clock": clock, **options})
    return Pacer(sink, LoopWatch(-1), pacing, socket.AF_INET), sink, clock


def messages(count: int, size: int = 100 - HEADERS) -> list[MessageUDP]:
    return [MessageUDP(None, ("127.0.0.1", 9), b"%03d" % number + b"." * (size - 3)) for number in range(count)]


def test_datagrams_go_at_the_rate_with_their_headers() -> None:
    pacer, sink, clock = paced()
    waiting = messages(10)
    for second in range(10):
        assert pacer.send_many(waiting, []) == 1
        waiting = waiting[1:]
        assert pacer.send_many(waiting, []) == 0
        assert pacer.delay() == pytest.approx(0.1)
        assert len(sink.taken) == second + 1
        clock.now += 0.1 + 1e-9


def test_a_burst_goes_at_once_and_together_and_the_datagram_that_uses_it_up_goes_whole() -> None:
    pacer, sink, clock = paced(burst=250)
    assert pacer.send_many(messages(10), []) == 3
    assert sink.runs == [3]
    assert pacer.delay() == pytest.approx(0.05)
    clock.now += 0.051
    assert pacer.send_many(messages(10), []) == 1


def test_idle_time_saves_no_more_than_the_burst() -> None:
    pacer, _, clock = paced(burst=250)
    clock.now += 3600
    assert pacer.send_many(messages(10), []) == 3


def test_without_a_burst_there_are_ten_milliseconds_of_the_rate() -> None:
    pacer, _, _ = paced(bytes_per_second=99_000, burst=None)
    assert pacer.send_many(messages(100), []) == 10


def test_a_datagram_longer_than_the_burst_goes_and_is_paid_for_afterwards() -> None:
    pacer, sink, _ = paced(burst=10)
    assert pacer.send(messages(1, 5000)[0]) == 5000
    assert pacer.delay() == pytest.approx((5000 + HEADERS - 10) / 1000)
    with pytest.raises(BlockingIOError):
        pacer.send(messages(1)[0])
    assert len(sink.taken) == 1


def test_what_the_kernel_does_not_take_or_refuses_costs_nothing() -> None:
    pacer, sink, _ = paced(burst=1000)
    sink.room = 2
    failures: Failures = []
    odd = [messages(1)[0], MessageUDP(None, ("127.0.0.1", 9), "text"), *messages(3)]
    assert pacer.send_many(odd, failures) == 2
    assert [index for index, _ in failures] == [1]
    sink.room = 1000
    assert pacer.send_many(messages(20), []) == 10  # 1000 octets, less 100, and one datagram more


@pytest.mark.thorough
@settings(max_examples=examples(80, 1000))
@given(
    steps=st.lists(st.tuples(st.lists(st.integers(0, 1500), max_size=20), st.floats(0, 2)), max_size=30),
    rate=st.sampled_from([100.0, 12345.6, 1e6]),
    burst=st.integers(0, 5000),
)
def test_in_no_time_more_goes_than_rate_and_burst_and_one_datagram_allow(
    steps: list[tuple[list[int], float]], rate: float, burst: int
) -> None:
    pacer, sink, clock = paced(bytes_per_second=rate, burst=burst)
    sent: list[tuple[float, int]] = []
    for sizes, wait in steps:
        for size in sizes:
            before = len(sink.taken)
            blocked = pacer.delay() > 0
            done = pacer.send_many([MessageUDP(None, ("127.0.0.1", 9), bytes(size))], [])
            assert (done == 0) == blocked
            if len(sink.taken) > before:
                sent.append((clock.now, size + HEADERS))
        clock.now += wait
    for first in range(len(sent)):
        total = 0
        for now, cost in sent[first:]:
            total += cost
            assert total - cost <= rate * (now - sent[first][0]) + burst + 1e-3


@pytest.mark.backends
@pytest.mark.parametrize("host", HOSTS)
async def test_what_waits_for_its_turn_goes_out_in_order_by_the_timer(host: str) -> None:
    clock = Clock()
    with opened(host) as endpoint, Receiver(host) as receiver:
        endpoint.open(asyncio.get_running_loop(), lambda: None)
        endpoint.send_queue.pace(Pacing(bytes_per_second=1000, burst=0, clock=clock))
        outcome: list[tuple[Any, int]] = []
        endpoint.send_queue.on_sent = lambda message, token, size, error: outcome.append((token, size))
        payloads = [b"%d" % number for number in range(6)]
        assert endpoint.send(MessageUDP(None, receiver.address, payloads[0]), 0) == 1
        assert endpoint.send(MessageUDP(None, receiver.address, payloads[1]), 1) is None
        done, failures = endpoint.send_many([MessageUDP(None, receiver.address, data) for data in payloads[2:]])
        assert (done, failures) == (0, [])
        assert (endpoint.send_queue.waiting, endpoint.send_queue.delayed) == (5, 5)
        for gone in range(1, 6):
            clock.now += 10
            await eventually(lambda gone=gone: endpoint.send_queue.waiting == 5 - gone)  # type: ignore[misc]
        assert outcome == [(1, 1), (None, 1), (None, 1), (None, 1), (None, 1)]
        endpoint.send_queue.pace(None)
        assert datagrams_of(received(endpoint, receiver)) == payloads


@pytest.mark.backends("native")
async def test_runs_stay_runs() -> None:
    clock = Clock()
    with opened() as endpoint, Receiver() as receiver:
        endpoint.open(asyncio.get_running_loop(), lambda: None)
        endpoint.send_queue.pace(Pacing(bytes_per_second=1000, burst=999, clock=clock))
        datagrams = messages(30)
        for message in datagrams:
            message.addr = receiver.address
        endpoint.send_many(datagrams)
        for waiting in (20, 10, 0):
            assert endpoint.send_queue.waiting == waiting
            clock.now += 10
            await eventually(lambda waiting=waiting: endpoint.send_queue.waiting == max(0, waiting - 10))  # type: ignore[misc]
        endpoint.send_queue.pace(None)
        assert [len(train.datagrams) for train in received(endpoint, receiver)] == [10, 10, 10]


@pytest.mark.backends
async def test_a_rate_that_is_lifted_lets_out_what_waits() -> None:
    with opened() as endpoint, Receiver() as receiver:
        endpoint.open(asyncio.get_running_loop(), lambda: None)
        endpoint.send_queue.pace(Pacing(bytes_per_second=1, burst=0))
        endpoint.send_many([MessageUDP(None, receiver.address, b"%d" % number) for number in range(3)])
        assert endpoint.send_queue.waiting == 2
        endpoint.send_queue.pace(None)
        await eventually(lambda: endpoint.send_queue.waiting == 0)
        assert datagrams_of(received(endpoint, receiver)) == [b"0", b"1", b"2"]


@pytest.mark.backends
async def test_closing_with_datagrams_that_wait_for_their_turn_leaves_no_timer_and_gives_them_back() -> None:
    loop = asyncio.get_running_loop()
    with opened() as endpoint, Receiver() as receiver:
        endpoint.open(loop, lambda: None)
        endpoint.send_queue.pace(Pacing(bytes_per_second=1, burst=0))
        endpoint.send_many([MessageUDP(None, receiver.address, b"%d" % number) for number in range(3)])
        assert endpoint.send_queue._pacer is not None
        timer = endpoint.send_queue._pacer._timer
        assert timer is not None
        assert [message.data for message, _ in endpoint.close()] == [b"1", b"2"]
        assert timer.cancelled()


SO_TIMESTAMPNS = 35  # asm-generic/socket.h


@pytest.mark.backends
@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel when a datagram came")
@pytest.mark.parametrize("size", [0, 972])
async def test_by_the_clock_of_the_receiving_kernel_a_stream_takes_its_time(size: int) -> None:
    count, cost = 60, size + HEADERS
    rate, burst = cost * 200, cost * 5
    with opened() as endpoint, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        receiver.settimeout(DEADLINE)
        receiver.bind(("127.0.0.1", 0))
        await eventually(
            lambda: stamps(receiver), "the kernel's stamping, which begins some time after it was asked for"
        )
        endpoint.open(asyncio.get_running_loop(), lambda: None)
        endpoint.send_queue.pace(Pacing(bytes_per_second=rate, burst=burst))
        endpoint.send_many([MessageUDP(None, receiver.getsockname(), bytes(size)) for _ in range(count)])
        await eventually(lambda: endpoint.send_queue.waiting == 0)
        times = [arrival(receiver) for _ in range(count)]
        assert times[-1] - times[0] >= (count * cost - burst - cost) / rate - 0.002


def stamps(receiver: socket.socket) -> bool:
    """Whether the kernel notes when a datagram comes, and not when it is read."""
    receiver.sendto(b"", receiver.getsockname())
    time.sleep(0.001)
    before = time.time()
    return arrival(receiver) < before


def arrival(receiver: socket.socket) -> float:
    _, ancillary, _, _ = receiver.recvmsg(2000, 64)
    seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
    return float(seconds) + nanoseconds / 1e9


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("bytes_per_second", 0),
        ("bytes_per_second", -5),
        ("bytes_per_second", None),
        ("bytes_per_second", float("nan")),
        ("burst", -1),
        ("burst", 1.5),
        ("clock", 5),
    ],
)
def test_a_pacing_that_cannot_work_is_refused_by_name(option: str, value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        Pacing(**{"bytes_per_second": 1000, option: value})
    assert caught.value.option == option
