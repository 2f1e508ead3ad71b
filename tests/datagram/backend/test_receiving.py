"""Receiving, against a list model: whatever comes, alone or in trains, each datagram is handed on once and in order."""

from __future__ import annotations

import contextlib
import socket
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homing import gen
from homing.datagram import DatagramBatch, Endpoint

from ...support import examples
from ..traffic import HOSTS, Sender, linux_only, opened, payload_of

pytestmark = [
    pytest.mark.backends,
    linux_only,
]
SENDERS = 3
Got = tuple[bytes, tuple[Any, ...], bool]
"""A datagram as it was received: payload, peer, and whether it was cut."""


@dataclass
class Burst:
    """Datagrams of one sender: `count` of `size`, with a shorter one behind; sent one by one, or as a train."""

    sender: int
    size: int
    count: int
    rest: int
    train: bool

    def sizes(self) -> list[int]:
        return [self.size] * self.count + ([min(self.rest, self.size - 1)] if self.size > 1 and self.rest else [])


@dataclass
class Reading:
    """A call of `receive`, or of `receive_columns`."""

    limit: int
    reads: int
    columns: bool


sizes = st.sampled_from([0, 1, 2, 99, 100, 100, 101, 600]) | st.integers(0, 1400)
bursts = st.builds(Burst, st.integers(0, SENDERS - 1), sizes, st.integers(1, 24), st.integers(0, 1400), st.booleans())
readings = st.builds(
    Reading, st.integers(0, 5) | st.integers(1, 500), st.integers(1, 4) | st.integers(1, 100), st.booleans()
)
steps = st.lists(st.one_of(bursts, readings), min_size=1, max_size=16)


class Model:
    """Sends bursts and keeps what is to come out of them."""

    def __init__(self, endpoint: Endpoint, senders: list[Sender], buffer_size: int) -> None:
        self.endpoint = endpoint
        self.senders = senders
        self.buffer_size = buffer_size
        self.sent = 0
        self.waiting: dict[tuple[Any, ...], list[Got]] = {sender.address: [] for sender in senders}
        self.handed: list[Got] = []

    def send(self, burst: Burst) -> None:
        sender = self.senders[burst.sender]
        contents = []
        for size in burst.sizes():
            contents.append(payload_of(self.sent, size))
            self.sent += 1
        if burst.train:
            sender.send(b"".join(contents), self.endpoint.local_address, burst.size)
            contents = contents if burst.size else [b""]
            self.sent += 1 - burst.count if not burst.size else 0
        else:
            for content in contents:
                sender.send(content, self.endpoint.local_address)
        for content in contents:
            cut = len(content) > self.buffer_size
            self.waiting[sender.address].append((content[: self.buffer_size], sender.address, cut))

    def take(self, got: list[Got]) -> None:
        """Each of `got` is the next of its peer."""
        for datagram in got:
            assert datagram == self.waiting[datagram[1]].pop(0)
        self.handed += got
        self.check_counters()

    def left(self) -> int:
        return sum(map(len, self.waiting.values()))

    def check_counters(self) -> None:
        backend = self.endpoint.backend
        assert backend.packets_in == len(self.handed)
        assert backend.bytes_in == sum(len(data) for data, _, _ in self.handed)
        assert backend.truncated == sum(cut for _, _, cut in self.handed)
        assert 0 <= backend.waiting <= self.left()


@contextlib.contextmanager
def modelled(host: str, buffer_size: int, gro: bool = True) -> Iterator[Model]:
    with contextlib.ExitStack() as stack:
        senders = [stack.enter_context(Sender(host)) for _ in range(SENDERS)]
        yield Model(stack.enter_context(opened(host, buffer_size=buffer_size, gro=gro)), senders, buffer_size)


def read(model: Model, reading: Reading) -> int:
    """Receives once, checks all that is promised about it, and gives how many that were."""
    endpoint, backend = model.endpoint, model.endpoint.backend
    before = backend.waiting
    got: list[Got]
    if reading.columns:
        batch = endpoint.receive_batch(reading.reads, "me")
        got = [] if batch is None else check_batch(batch)
        limit = 1 << 30
    else:
        messages = endpoint.receive(reading.limit, reading.reads, "me")
        assert {message.id for message in messages} <= {"me"}
        got = [(message.data, message.addr, message.truncated) for message in messages]
        limit = reading.limit
        assert len(got) <= limit
    if before:  # what was read before comes first, without another read
        assert len(got) == min(limit, before)
        assert backend.waiting == before - len(got)
    elif limit:
        assert (got == []) == (model.left() == 0)
    model.take(got)
    return len(got)


def check_batch(batch: DatagramBatch) -> list[Got]:
    """What is in a batch, seen in every way in which it can be seen; then it ends."""
    copy = batch.detach()
    for one in (batch, copy):
        assert len(one) == one.count == len(one.offsets) == len(one.lengths) == len(one.ports)
        assert one.bytes == sum(one.lengths)
    found = seen(batch)
    assert seen(copy) == found
    batch._end()
    for use in (lambda: len(batch), lambda: batch[0], lambda: batch.buffer, lambda: list(batch), batch.detach):
        with pytest.raises(gen.BatchEnded):
            use()
    assert seen(copy) == found
    return found


def seen(batch: DatagramBatch) -> list[Got]:
    found = []
    hosts, width = batch.hosts, len(batch.hosts) // len(batch)
    family = socket.AF_INET if width == 4 else socket.AF_INET6
    for index, (start, size) in enumerate(zip(batch.offsets, batch.lengths, strict=True)):
        address = batch.address(index)
        assert address == batch.address(index - len(batch))
        assert hosts[index * width : (index + 1) * width] == socket.inet_pton(family, address[0])
        assert batch.ports[index] == address[1]
        found.append((bytes(batch.buffer[start : start + size]), address, index in batch.cut))
    assert found == of(list(batch)) == of(batch[:]) == of([batch[index] for index in range(len(batch))])
    assert found[::-2] == of(batch[::-2])
    assert found[-1:] == of([batch[-1]])
    for wrong in (len(batch), -len(batch) - 1):
        with pytest.raises(IndexError):
            batch[wrong]
        with pytest.raises(IndexError):
            batch.address(wrong)
    assert {message.id for message in batch} == {batch.id}
    return found


def of(messages: list[Any]) -> list[Got]:
    return [(message.data, message.addr, message.truncated) for message in messages]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.thorough
@settings(max_examples=examples(50, 600), suppress_health_check=list(HealthCheck))
@given(steps=steps, last=readings, buffer_size=st.sampled_from([1, 100, 100, 1000, 65535]), gro=st.booleans())
def test_any_mix_of_datagrams_is_handed_on_once_and_in_order(
    host: str, steps: list[Burst | Reading], last: Reading, buffer_size: int, gro: bool
) -> None:
    with modelled(host, buffer_size, gro) as model:
        for step in steps:
            if isinstance(step, Reading):
                read(model, step)
            else:
                model.send(step)
        last.limit = max(1, last.limit)
        while read(model, last):
            pass
        assert model.left() == model.endpoint.backend.waiting == 0
        assert len(model.handed) == model.sent
        assert model.endpoint.kernel.drops == 0


class Pool:
    """Lends buffers of many kinds and lengths, and knows which have not come back."""

    def __init__(self, lengths: list[int]) -> None:
        self.lengths = lengths
        self.lent: list[Any] = []
        self.given = 0

    def get(self) -> Any:
        size = self.lengths[self.given % len(self.lengths)]
        buffer = [
            bytearray(size),
            memoryview(bytearray(size + 7))[3 : 3 + size],
            array("B", bytes(size)),
            array("I", bytes((size + 3) // 4 * 4)),
        ][self.given % 4]
        self.given += 1
        self.lent.append(buffer)
        return buffer

    def put(self, buffer: Any) -> None:
        del self.lent[[one is buffer for one in self.lent].index(True)]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.thorough
@settings(max_examples=examples(40, 400), suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(st.one_of(bursts, st.integers(0, 100)), min_size=1, max_size=12),
    last=st.integers(1, 100),
    lengths=st.lists(st.sampled_from([1, 100, 600, 2000]), min_size=1, max_size=5),
)
def test_any_mix_of_datagrams_comes_once_and_in_order_into_buffers_of_a_pool(
    host: str, steps: list[Burst | int], last: int, lengths: list[int]
) -> None:
    pool = Pool(lengths)

    def take(limit: int) -> int:
        batch = model.endpoint.receive_pooled(limit, pool.get, pool.put)
        assert len(batch) <= limit
        assert sorted(map(id, pool.lent)) == sorted(id(buffer) for buffer, *_ in batch)
        for buffer, length, address, cut, info in batch:
            assert info is None
            content, source, _ = model.waiting[address].pop(0)
            room = memoryview(buffer).nbytes
            assert cut == (len(content) > room)
            assert (length, address) == (min(len(content), room), source)
            assert bytes(memoryview(buffer).cast("B")[:length]) == content[:room]
            model.handed.append((content[:room], address, cut))
            pool.put(buffer)
        model.check_counters()
        return len(batch)

    with modelled(host, 65535, gro=False) as model:
        for step in steps:
            if isinstance(step, Burst):
                model.send(step)
            else:
                take(step)
        while take(last):
            pass
        assert model.left() == 0
        assert len(model.handed) == model.sent


def test_a_train_comes_as_its_datagrams_and_what_finds_no_room_waits(backend: str) -> None:
    with modelled("127.0.0.1", 1000) as model:
        model.send(Burst(0, 100, 40, 7, train=True))
        assert model.endpoint.backend.gro == (backend == "native")
        assert [read(model, Reading(10, 64, False)) for _ in range(5)] == [10, 10, 10, 10, 1]
        model.send(Burst(0, 100, 40, 7, train=True))
        read(model, Reading(1, 1, False))
        assert model.endpoint.backend.waiting == (40 if backend == "native" else 0)


def test_a_train_is_as_long_as_the_kernel_makes_it() -> None:
    with modelled("127.0.0.1", 65535) as model:
        for size, count in ((1, 64), (1400, 46), (32000, 2), (65000, 1)):
            model.send(Burst(0, size, count, 0, train=True))
            while read(model, Reading(1000, 64, False)):
                pass
        assert len(model.handed) == model.sent == 113


def test_more_than_one_arena_of_trains_comes_whole() -> None:
    with modelled("127.0.0.1", 65535) as model:
        for _ in range(6):
            for sender in (0, 1, 2) * 8:
                model.send(Burst(sender, 20, 63, 5, train=True))
            while read(model, Reading(512, 64, False)):
                pass
        assert len(model.handed) == model.sent == 6 * 24 * 64
