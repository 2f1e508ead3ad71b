"""Finalizers that the collector of garbage runs while datagrams become messages: they receive, send, and close."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from homing.datagram import Endpoint, MessageUDP

from ...garbage import ANYWHERE, Litter, littered
from ...support import examples
from ..traffic import Sender, linux_only, opened, payload_of
from .marks import HERE, MarkingSender, Marks, asking

pytestmark = [pytest.mark.backends, pytest.mark.thorough, linux_only]

SEEDS = list(range(examples(2, 60)))
SIZE, DATAGRAMS = 100, 120
SENT = [payload_of(number, SIZE) for number in range(DATAGRAMS)]


@contextlib.contextmanager
def filled(**options: Any) -> Iterator[Endpoint]:
    """An endpoint for which datagrams wait, of several sources, some of them joined."""
    with opened(**options) as endpoint:
        fill(endpoint)
        yield endpoint


def fill(endpoint: Endpoint) -> None:
    for start in range(0, DATAGRAMS, 20):
        with Sender() as sender:
            sender.send(b"".join(SENT[start : start + 10]), endpoint.local_address, SIZE)
            for payload in SENT[start + 10 : start + 20]:
                sender.send(payload, endpoint.local_address)


def columns(endpoint: Endpoint) -> list[bytes] | None:
    batch = endpoint.backend.receive_columns(16)
    if batch is None:
        return None
    buffer, done, _, offsets, lengths, *_ = batch
    view = memoryview(buffer)
    pairs = zip(memoryview(offsets).cast("i"), memoryview(lengths).cast("i"), strict=True)
    payloads = [bytes(view[start : start + size]) for start, size in pairs]
    view.release()
    done()
    return payloads


def messages(endpoint: Endpoint) -> list[bytes] | None:
    return [message.data for message in endpoint.backend.receive(17, 5, ["id"])] or None


def pooled(endpoint: Endpoint) -> list[bytes] | None:
    received = endpoint.backend.receive_pooled(9, lambda: bytearray(2000), lambda buffer: None)
    return [bytes(buffer[:length]) for buffer, length, *_ in received] or None


Receive = Callable[[Endpoint], list[bytes] | None]
WAYS = pytest.mark.parametrize("receive", [messages, columns, pooled])


def gro_for(receive: Receive) -> bool:
    return receive is not pooled


@WAYS
@pytest.mark.parametrize("seed", SEEDS)
def test_a_finalizer_that_receives_too_gets_none_that_another_gets(receive: Receive, seed: int) -> None:
    with filled(gro=gro_for(receive)) as endpoint:
        got: list[bytes] = []

        def read() -> None:
            got.extend(receive(endpoint) or [])

        with littered(read, seed):
            while (payloads := receive(endpoint)) is not None:
                got += payloads
        while (payloads := receive(endpoint)) is not None:
            got += payloads
        assert sorted(got) == sorted(SENT)
        assert (endpoint.backend.packets_in, endpoint.backend.waiting) == (DATAGRAMS, 0)
        assert endpoint.backend.bytes_in == DATAGRAMS * SIZE


@WAYS
@pytest.mark.parametrize("seed", SEEDS)
def test_a_finalizer_may_close_what_receives(receive: Receive, seed: int) -> None:
    for number in range(1 + seed % 2, 12, 2):
        turn = itertools.count(1)
        with filled(gro=gro_for(receive)) as endpoint:

            def close(endpoint: Endpoint = endpoint, turn: Iterator[int] = turn, number: int = number) -> None:
                if next(turn) == number:
                    endpoint.close()
                    with opened() as another:  # which may get what the closed one has given back
                        fill(another)
                        assert (messages(another) or [])[:5] == SENT[:5]

            got: list[bytes] = []
            with littered(close, seed), contextlib.suppress(OSError):
                while (payloads := receive(endpoint)) is not None:
                    got += payloads
            assert got == SENT[: len(got)]
            assert endpoint.backend.packets_in == len(got)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_finalizer_that_sends_disturbs_nothing_that_is_being_sent(seed: int) -> None:
    with opened(gro=False) as receiver, opened() as endpoint:
        numbers = itertools.count()

        def prepared(count: int) -> list[MessageUDP]:
            payloads = [bytearray(next(numbers).to_bytes(4, "big")) for _ in range(count)]
            return [MessageUDP(None, receiver.local_address, payload) for payload in payloads]

        def send() -> None:
            made, failures = prepared(3), []
            assert endpoint.backend.send_many(made, failures) == 3
            assert not failures

        for _ in range(5):
            failures: list[tuple[int, Exception]] = []
            mine = prepared(30)
            with littered(send, seed):
                assert endpoint.backend.send_many(mine, failures) == 30
                mine = prepared(30)
                assert endpoint.backend.send_many(mine, failures) == 30
            assert not failures
        got = []
        while (payloads := messages(receiver)) is not None:
            got += [int.from_bytes(payload, "big") for payload in payloads]
        assert sorted(got) == list(range(next(numbers)))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("family", ["IPv4", "IPv6"])
def test_each_message_has_its_own_info_whoever_receives_meanwhile(family: str, seed: int) -> None:
    with asking("::" if family == "IPv6" else "0.0.0.0", receive_tos=True, receive_ttl=True) as endpoint:
        to = (HERE[family], endpoint.local_address[1])
        with MarkingSender(family) as sender:
            for number in range(100):
                sender.send(bytes([number]), to, Marks(tos=4 * (number % 7), ttl=1 + number % 5))
        got: list[MessageUDP] = []

        def read() -> None:
            got.extend(endpoint.receive(3, 3, ["id"]))

        with littered(read, seed):
            while received := endpoint.receive(50, 50, ["id"]):
                got += received
        got += endpoint.receive(100, 100, "id")
        assert sorted(message.data[0] for message in got) == list(range(100))
        for message in got:
            number = message.data[0]
            assert message.info is not None
            assert (message.info.tos, message.info.ttl) == (4 * (number % 7), 1 + number % 5)


def test_litter_is_collected_while_messages_are_made() -> None:
    with filled() as endpoint:
        litter: Litter
        with littered(lambda: None) as litter:
            while messages(endpoint):
                pass
        assert litter.collections > 10 or not ANYWHERE
