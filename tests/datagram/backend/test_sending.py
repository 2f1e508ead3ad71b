"""Sending in bulk, against a list model: whatever the mix, each datagram goes out once, in order, or is reported."""

from __future__ import annotations

import contextlib
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homing.datagram import Endpoint, MessageUDP

from ...support import examples
from ..traffic import HOSTS, LAST, Receiver, datagrams_of, joins, linux_only, name_of, opened, payload_of, received

pytestmark = pytest.mark.backends

PEERS = 3
AT_ONCE = 150
"""Datagrams sent before the receivers are emptied: so many find room in their buffers."""


def framed(data: bytes) -> memoryview:
    return memoryview(bytearray(b"left" + data + b"right"))[4 : 4 + len(data)]


def in_pairs(data: bytes) -> Any:
    """Two octets an item, so that its length is not its size; where the size is odd, single ones."""
    return array("B" if len(data) % 2 else "H", data)


class Bytes(bytes):
    """Of another type than the native backend knows."""


GOOD: dict[str, Callable[[bytes], Any]] = {
    "bytes": bytes,
    "bytearray": bytearray,
    "memoryview": memoryview,
    "slice": framed,
    "array": in_pairs,
    "subclass": Bytes,
}


def released(_: bytes) -> memoryview:
    view = memoryview(b"gone")
    view.release()
    return view


BAD_DATA: dict[str, tuple[Callable[[bytes], Any], str]] = {
    "str": (lambda data: "text", "TypeError"),
    "None": (lambda data: None, "TypeError"),
    "int": (lambda data: 5, "TypeError"),
    "released": (released, "ValueError"),
    "gaps": (lambda data: memoryview(b"with gaps")[::2], "BufferError"),
    "too long": (lambda data: bytes(65536), "EMSGSIZE"),
}

BAD_ADDRESS: dict[str, list[tuple[Any, str]]] = {
    "127.0.0.1": [
        (("127.0.0.1", 0), "EINVAL"),
        (("255.255.255.255", 9), "EACCES"),
        (("::1", 9), "BadAddress"),
        (("localhost", 9), "BadAddress"),
        (("127.0.0.1", 9, 0), "BadAddress"),
        (("127.0.0.1", 65536), "BadAddress"),
        (["127.0.0.1", 9], "BadAddress"),
        (None, "BadAddress"),
    ],
    "::1": [
        (("::1", 0), "EINVAL"),
        (("127.0.0.1", 9), "BadAddress"),
        (("localhost", 9), "BadAddress"),
        (("::1", 9, 2**20), "BadAddress"),
        (("::1", -1), "BadAddress"),
        (("::1",), "BadAddress"),
    ],
}


@dataclass
class Run:
    """`count` datagrams alike in all but their content: to a peer, or to nowhere; with good data, or with none."""

    size: int
    count: int
    peer: int
    kind: str
    bad_data: str = ""
    bad_address: int | None = None
    fresh: bool = False
    """An address of its own for each: nothing that was learned of the one before is known of this one."""


@dataclass
class Model:
    """What is to happen: who gets what, and which fail how."""

    host: str
    peers: list[Receiver]
    expected: list[list[bytes]] = field(default_factory=lambda: [[] for _ in range(PEERS)])
    failures: list[tuple[int, str]] = field(default_factory=list)
    messages: list[MessageUDP] = field(default_factory=list)
    lasts: int = 0
    """Datagrams that were sent to see that there are no others."""

    def add(self, run: Run) -> None:
        for _ in range(run.count):
            index = len(self.messages)
            content = payload_of(index, run.size)
            address: Any = self.peers[run.peer].address
            if run.fresh:
                address = tuple(list(address)[: 2 + index % 3])
            if run.bad_address is not None:
                places = BAD_ADDRESS[self.host]
                address, name = places[run.bad_address % len(places)]
                self.failures.append((index, name))
            data = GOOD[run.kind](content)
            if run.bad_data and run.bad_address is None:
                make, name = BAD_DATA[run.bad_data]
                data = make(content)
                self.failures.append((index, name))
            elif run.bad_address is None:
                self.expected[run.peer].append(content)
            self.messages.append(MessageUDP(None, address, data))


sizes = st.sampled_from([0, 1, 2, 99, 100, 100, 100, 100, 512, 1200, 1472, 3000]) | st.integers(0, 3000)
counts = st.integers(1, 3) | st.integers(1, 80)
good_runs = st.builds(
    Run, sizes, counts, st.integers(0, PEERS - 1), st.sampled_from(["bytes", *GOOD]), fresh=st.booleans()
)
bad_runs = st.builds(
    Run, sizes, st.integers(1, 3), st.just(0), st.sampled_from(list(GOOD)), bad_data=st.sampled_from(list(BAD_DATA))
) | st.builds(Run, sizes, st.integers(1, 3), st.just(0), st.sampled_from(list(GOOD)), bad_address=st.integers(0, 7))
mixes = st.lists(st.one_of(good_runs, good_runs, bad_runs), min_size=1, max_size=20)


def send_in_parts(endpoint: Endpoint, model: Model, parts: list[int], through: str) -> list[tuple[int, str]]:
    """Sends all of the model, so many at a time as `parts` says; gives what failed."""
    failed: list[tuple[int, str]] = []
    got: list[list[bytes]] = [[] for _ in model.peers]
    start = turn = 0
    while start < len(model.messages):
        size = min(parts[turn % len(parts)], AT_ONCE)
        some = model.messages[start : start + size]
        if through == "endpoint":
            done, failures = endpoint.send_many(some)
        else:
            failures = []
            done = endpoint.backend.send_many(some, failures)
        assert done == len(some)
        failed += [(start + index, name_of(error)) for index, error in failures]
        start += size
        turn += 1
        for place, peer in enumerate(model.peers):
            got[place] += datagrams_of(received(endpoint, peer))
            model.lasts += 1
    assert got == model.expected
    return failed


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.thorough
@settings(max_examples=examples(60, 1000), suppress_health_check=list(HealthCheck))
@given(
    runs=mixes,
    parts=st.lists(st.integers(1, AT_ONCE), min_size=1, max_size=4),
    through=st.sampled_from(["endpoint", "backend"]),
)
def test_any_mix_of_datagrams_goes_out_once_in_order_or_is_reported(
    host: str, runs: list[Run], parts: list[int], through: str
) -> None:
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Receiver(host)) for _ in range(PEERS)]
        endpoint = stack.enter_context(opened(host))
        model = Model(host, peers)
        for run in runs:
            model.add(run)
        assert send_in_parts(endpoint, model, parts, through) == model.failures
        sent = [datagram for datagrams in model.expected for datagram in datagrams] + [LAST] * model.lasts
        backend = endpoint.backend
        assert (backend.packets_out, backend.bytes_out) == (len(sent), sum(map(len, sent)))
        if through == "endpoint":
            assert endpoint.send_queue.errors == Counter(name for _, name in model.failures)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("through", ["endpoint", "backend"])
def test_what_the_kernel_took_is_counted_and_what_failed_is_not(host: str, through: str) -> None:
    with opened(host) as endpoint, Receiver(host) as peer:
        bad = BAD_ADDRESS[host][0][0]
        messages = [MessageUDP(None, peer.address, bytes(size)) for size in (0, 7, 7, 7, 5, 900, 900)]
        messages[2:2] = [MessageUDP(None, bad, b"lost"), MessageUDP(None, peer.address, None)]
        if through == "endpoint":
            endpoint.send_many(messages)
        else:
            endpoint.backend.send_many(messages, [])
        assert (endpoint.backend.packets_out, endpoint.backend.bytes_out) == (7, 26 + 1800)


@linux_only
def test_runs_to_one_peer_are_given_to_the_kernel_as_one_and_the_last_may_be_shorter(backend: str) -> None:
    with opened() as endpoint, Receiver() as peer:
        sizes = [100] * 70 + [40] + [100] * 3
        contents = [payload_of(number, size) for number, size in enumerate(sizes)]
        endpoint.send_many([MessageUDP(None, peer.address, content) for content in contents])
        trains = received(endpoint, peer)
        assert datagrams_of(trains) == contents
        lengths = [len(train.datagrams) for train in trains]
        assert lengths == ([64, 7, 3] if joins(endpoint) else [1] * 74)
        assert joins(endpoint) == (backend == "native")


@linux_only
@pytest.mark.parametrize("host", HOSTS)
def test_a_run_takes_no_more_than_a_packet_of_the_internet_protocol_holds(host: str) -> None:
    with opened(host) as endpoint, Receiver(host) as peer:
        for count, lengths in ((8, [7, 1]), (7, [7]), (15, [7, 7, 1])):
            contents = [payload_of(number, 9000) for number in range(count)]
            endpoint.send_many([MessageUDP(None, peer.address, content) for content in contents])
            trains = received(endpoint, peer)
            assert datagrams_of(trains) == contents
            assert [len(train.datagrams) for train in trains] == (lengths if joins(endpoint) else [1] * count)
        assert endpoint.send_queue.errors == {}


def test_the_longest_datagrams_go_out_and_a_longer_one_is_reported() -> None:
    with opened() as endpoint, Receiver() as peer:
        messages = [MessageUDP(None, peer.address, payload_of(size, size)) for size in (65507, 65508, 65507, 65000)]
        done, failures = endpoint.send_many(messages)
        assert [(index, name_of(error)) for index, error in failures] == [(1, "EMSGSIZE")]
        assert done == 4
        assert [len(datagram) for datagram in datagrams_of(received(endpoint, peer))] == [65507, 65507, 65000]


def test_many_failures_at_a_stretch_are_each_reported_with_their_number() -> None:
    with opened() as endpoint, Receiver() as peer:
        messages = [
            MessageUDP(None, peer.address if number % 5 == 0 else ("127.0.0.1", 0), payload_of(number, 50))
            for number in range(AT_ONCE * 4)
        ]
        done, failures = endpoint.send_many(messages)
        assert done == len(messages)
        assert [index for index, _ in failures] == [number for number in range(AT_ONCE * 4) if number % 5]
        assert {name_of(error) for _, error in failures} == {"EINVAL"}
        assert len(datagrams_of(received(endpoint, peer))) == len(messages) // 5


def test_data_is_let_go_once_it_was_sent() -> None:
    with opened() as endpoint, Receiver() as peer:
        buffers = [bytearray(payload_of(number, 100)) for number in range(40)]
        bad = MessageUDP(None, peer.address, None)
        endpoint.send_many([*(MessageUDP(None, peer.address, buffer) for buffer in buffers), bad])
        for buffer in buffers:
            buffer.clear()  # raises BufferError while somebody looks into it
        assert datagrams_of(received(endpoint, peer)) == [payload_of(number, 100) for number in range(40)]
