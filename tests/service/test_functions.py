"""The function of `service.udp` gets each datagram and returns the reply; one that raises harms no other datagram."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from array import array
from typing import Any

import pytest

from homing import act, gen, meta

from ..support import DEADLINE, UDPPeer, eventually
from .serving import LOCAL, address, failures, names, processes, service

END = b"end"


async def replies(peer: UDPPeer, handler: Any, *questions: bytes, **options: Any) -> list[bytes]:
    """All replies of a service of one function to these questions; the last is answered with itself."""
    shop = service()
    shop.udp(handler, **{**LOCAL, **options})
    async with shop.started() as node:
        to = await address(node, next(name for name in names(node) if name and name.startswith("shop.")))
        for question in (*questions, END):
            peer.send(question, to)
        found: list[bytes] = []
        async with asyncio.timeout(DEADLINE):
            while END not in found:
                found.append((await peer.receive())[0])
        return found[:-1]


# --- replies ----------------------------------------------------------------------------------------------


async def test_the_bytes_that_a_function_returns_are_the_reply(peer: UDPPeer) -> None:
    def echo(packet: meta.MessageUDP) -> bytes:
        return END if packet.data == END else b"OK: " + packet.data

    assert await replies(peer, echo, b"hello") == [b"OK: hello"]


async def test_a_function_that_returns_none_sends_no_reply(peer: UDPPeer) -> None:
    def echo(packet: meta.MessageUDP) -> bytes | None:
        return END if packet.data == END else None

    assert await replies(peer, echo, b"hello") == []


@pytest.mark.parametrize("several", [list, tuple])
async def test_a_list_or_tuple_is_several_replies_in_order(peer: UDPPeer, several: Any) -> None:
    def echo(packet: meta.MessageUDP) -> Any:
        return END if packet.data == END else several((b"one", bytearray(b"two"), memoryview(b"three")))

    assert await replies(peer, echo, b"hello") == [b"one", b"two", b"three"]


@pytest.mark.parametrize("reply", [bytearray(b"x"), memoryview(b"x"), array("B", b"x")], ids=lambda x: type(x).__name__)
async def test_a_reply_may_be_anything_bytes_like(peer: UDPPeer, reply: Any) -> None:
    assert await replies(peer, lambda packet: END if packet.data == END else reply, b"hello") == [b"x"]


async def test_an_empty_reply_is_an_empty_datagram(peer: UDPPeer) -> None:
    assert await replies(peer, lambda packet: packet.data[1:] if packet.data != END else END, b"x") == [b""]


async def test_several_replies_leave_from_a_pooled_buffer(peer: UDPPeer) -> None:
    def echo(packet: meta.MessageUDP) -> Any:
        return END if bytes(packet.data) == END else [packet.data[:2], packet.data[2:]]

    assert await replies(peer, echo, b"hello", buffer_pool=meta.BufferPool(size=2048)) == [b"he", b"llo"]


async def test_a_function_gets_the_datagram_with_its_source(peer: UDPPeer) -> None:
    def echo(packet: meta.MessageUDP) -> bytes:
        return END if packet.data == END else repr(packet.addr).encode()

    assert await replies(peer, echo, b"hello") == [repr(peer.address).encode()]


class Object:
    """A callable object."""

    def __call__(self, packet: meta.MessageUDP) -> bytes:
        return b"called" if packet.data != END else END

    method = __call__


def with_more(more: bytes, packet: meta.MessageUDP, unused: int = 1, *, key: bytes = b"") -> bytes:
    return more + key if packet.data != END else END


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (Object(), b"called"),
        (Object().method, b"called"),
        (functools.partial(with_more, b"a", key=b"b"), b"ab"),
        (functools.lru_cache(lambda packet: packet.data), b"hello"),
    ],
    ids=["object", "method", "partial", "cached"],
)
async def test_anything_that_can_be_called_with_a_datagram_is_a_function(
    peer: UDPPeer, handler: Any, expected: bytes
) -> None:
    assert await replies(peer, handler, b"hello") == [expected]


async def test_a_message_that_is_no_datagram_does_not_reach_the_function(
    peer: UDPPeer, caplog: pytest.LogCaptureFixture
) -> None:
    shop, calls = service(), []

    @shop.udp(**LOCAL)
    def echo(packet: meta.MessageUDP) -> bytes:
        calls.append(packet)
        return bytes(packet.data)

    async with shop.started() as node:
        node.send("shop.echo", "not a datagram")
        assert await peer.ask(b"hello", await address(node)) == b"hello"
    assert len(calls) == 1
    assert "unhandled message of type str" in caplog.text


# --- async functions --------------------------------------------------------------------------------------


async def test_the_result_of_an_async_function_is_the_reply(peer: UDPPeer) -> None:
    async def echo(packet: meta.MessageUDP) -> bytes:
        await asyncio.sleep(0)
        return END if packet.data == END else b"OK: " + packet.data

    assert await replies(peer, echo, b"hello", concurrency=1) == [b"OK: hello"]


async def test_a_coroutine_that_a_plain_function_returns_is_awaited(peer: UDPPeer) -> None:
    async def answer(packet: meta.MessageUDP) -> bytes:
        await asyncio.sleep(0)
        return bytes(packet.data)

    assert await replies(peer, lambda packet: answer(packet), b"hello") == [b"hello"]


async def test_an_async_function_handles_a_hundred_datagrams_at_once_by_default(peer: UDPPeer) -> None:
    shop, inside, most = service(), 0, 0
    gate = asyncio.Event()

    @shop.udp(**LOCAL)
    async def echo(packet: meta.MessageUDP) -> bytes:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await gate.wait()
        inside -= 1
        return bytes(packet.data)

    async with shop.started() as node:
        to = await address(node)
        for _ in range(150):
            peer.send(b"x", to)
        await eventually(lambda: inside == 100, "100 calls at once")
        gate.set()
        for _ in range(150):
            assert (await peer.receive())[0] == b"x"
    assert most == 100


# --- state ------------------------------------------------------------------------------------------------


async def test_the_state_is_passed_to_each_function_that_takes_it(peer: UDPPeer) -> None:
    shop = service(state={"count": 0})

    @shop.udp(**LOCAL)
    def echo(packet: meta.MessageUDP, state: dict[str, int]) -> bytes:
        state["count"] += 1
        return b"%d" % state["count"]

    @shop.udp(**LOCAL)
    async def last(packet: meta.MessageUDP, *, state: dict[str, int]) -> bytes:
        return b"last %d" % state["count"]

    async with shop.started() as node:
        for expected in (b"1", b"2"):
            assert await peer.ask(b"", await address(node)) == expected
        assert await peer.ask(b"", await address(node, "shop.last")) == b"last 2"


async def test_the_state_is_a_namespace_by_default_and_may_be_replaced_at_any_time(peer: UDPPeer) -> None:
    shop = service()
    shop.state.word = b"first"

    @shop.udp(**LOCAL)
    def echo(packet: meta.MessageUDP, state: Any) -> bytes:
        return bytes(state if isinstance(state, bytes) else state.word)

    async with shop.started() as node:
        assert await peer.ask(b"", await address(node)) == b"first"
        shop.state = b"second"
        assert await peer.ask(b"", await address(node)) == b"second"


# --- failures ---------------------------------------------------------------------------------------------


def bad(packet: meta.MessageUDP) -> Any:
    if packet.data == END:
        return END
    raise ValueError("bad packet")


async def async_bad(packet: meta.MessageUDP) -> Any:
    return bad(packet)


@pytest.mark.parametrize("handler", [bad, async_bad])
async def test_after_an_exception_the_next_datagram_is_served_by_the_same_process(
    peer: UDPPeer, handler: Any, caplog: pytest.LogCaptureFixture
) -> None:
    shop = service()
    shop.udp(handler, **LOCAL)
    name = f"shop.{handler.__name__}"
    async with shop.started() as node:
        before = {process.info.pid for process in processes(node)}
        to = await address(node, name)
        for _ in range(20):
            peer.send(b"x", to)
        assert await peer.ask(END, to) == END
        assert await failures(node, name) == 20
        assert {process.info.pid for process in processes(node)} == before


async def test_an_exception_is_logged_once_with_its_traceback_and_the_peer(
    peer: UDPPeer, caplog: pytest.LogCaptureFixture
) -> None:
    assert await replies(peer, bad, *[b"x"] * 20) == []
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    host, port = peer.address
    assert record.getMessage() == f"bad failed for a datagram from {host}:{port}: ValueError('bad packet')"
    assert record.exc_text is not None
    assert 'raise ValueError("bad packet")' in record.exc_text


@pytest.mark.parametrize("result", [42, "text", {b"a"}, [b"a", 5], object], ids=repr)
async def test_a_result_that_is_no_bytes_is_a_failure_that_names_the_function_and_the_type(
    peer: UDPPeer, result: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def echo(packet: meta.MessageUDP) -> Any:
        return END if packet.data == END else result

    assert await replies(peer, echo, b"x") == []
    wrong = result[1] if isinstance(result, list) else result
    assert f"echo returned an object of type {type(wrong).__name__}" in caplog.text
    assert "return bytes, a list of bytes for several replies, or None for no reply" in caplog.text


class Hostile(Exception):
    """An exception and a result that raise whatever is asked of them."""

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    __str__ = __repr__

    def __bool__(self) -> bool:
        raise RuntimeError("bool")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    __hash__ = None  # type: ignore[assignment]

    @property
    def __class__(self) -> Any:
        raise RuntimeError("class")


@pytest.mark.parametrize("raises", [True, False])
async def test_an_object_whose_methods_raise_is_a_failure_like_any_other(peer: UDPPeer, raises: bool) -> None:
    def echo(packet: meta.MessageUDP) -> Any:
        if packet.data == END:
            return END
        if raises:
            raise Hostile
        return Hostile()

    assert await replies(peer, echo, b"x", b"y") == []


async def test_memory_that_is_exhausted_in_a_function_is_a_failure_like_any_other(peer: UDPPeer) -> None:
    def echo(packet: meta.MessageUDP) -> bytes:
        if packet.data != END:
            raise MemoryError
        return END

    assert await replies(peer, echo, b"x", b"y") == []


async def test_with_on_exception_crash_the_process_is_restarted_and_no_other_datagram_is_lost(
    peer: UDPPeer, caplog: pytest.LogCaptureFixture
) -> None:
    shop = service()
    shop.udp(bad, **LOCAL, on_exception="crash")
    async with shop.started() as node:
        to = await address(node, "shop.bad")
        for question in (b"x", END, END):
            peer.send(question, to)
        assert [(await peer.receive())[0] for _ in range(2)] == [END, END]
        assert node.info().crashes == 1
    assert "ValueError" in caplog.text


# --- workers, threads, classes ----------------------------------------------------------------------------


async def test_workers_call_the_function_side_by_side(peer: UDPPeer) -> None:
    shop, gate, inside = service(), asyncio.Event(), []

    @shop.udp(**LOCAL, workers=3, concurrency=1)
    async def echo(packet: meta.MessageUDP) -> bytes:
        inside.append(packet.data)
        await gate.wait()
        return bytes(packet.data)

    async with shop.started() as node:
        for number in range(5):
            peer.send(b"%d" % number, await address(node))
        await eventually(lambda: len(inside) == 3, "three calls at once")
        gate.set()
        assert sorted([(await peer.receive())[0] for _ in range(5)]) == [b"0", b"1", b"2", b"3", b"4"]
        assert [process.info.kind for process in processes(node)].count("function") == 3


async def test_all_datagrams_of_a_peer_go_to_one_worker_by_route(peer: UDPPeer) -> None:
    shop, seen = service(), set()

    @shop.udp(**LOCAL, workers=3, route="source", concurrency=1)
    async def echo(packet: meta.MessageUDP) -> bytes:
        seen.add(asyncio.current_task())
        return bytes(packet.data)

    async with shop.started() as node:
        for _ in range(6):
            assert await peer.ask(b"x", await address(node)) == b"x"
        workers = [process for process in processes(node) if process.info.kind == "function"]
        assert sorted(worker.info.messages_in for worker in workers) == [0, 0, 6]


@pytest.mark.parametrize("workers", [None, 2])
async def test_a_function_that_blocks_may_have_a_thread(peer: UDPPeer, workers: int | None) -> None:
    def echo(packet: meta.MessageUDP) -> Any:
        if packet.data == b"bad":
            raise ValueError("bad")
        return END if packet.data == END else [threading.current_thread().name.encode(), b"two"]

    shop = service()
    shop.udp(echo, **LOCAL, workers=workers, worker_options=gen.ProcessOptions(thread=True))
    async with shop.started() as node:
        to = await address(node)
        peer.send(b"bad", to)
        first = await peer.ask(b"x", to)
        assert first != threading.main_thread().name.encode()
        assert (await peer.receive())[0] == b"two"


class Handler(act.Actor):
    """A handler class; "crash" crashes it."""

    def init(self, word: bytes = b"none") -> None:
        self.word = word

    def handle_message(self, sender: Any, message: Any) -> None:
        if message.data == b"crash":
            raise ValueError("crash")
        self.reply(message, self.word)


async def test_a_class_handles_datagrams_beside_functions(peer: UDPPeer) -> None:
    shop = service()
    assert shop.udp(Handler, **LOCAL, args=(b"word",)) is Handler
    shop.udp(bad, **LOCAL)
    async with shop.started() as node:
        assert await peer.ask(b"", await address(node, "shop.Handler")) == b"word"
        assert await peer.ask(END, await address(node, "shop.bad")) == END


async def test_no_other_datagram_is_lost_when_a_class_crashes(peer: UDPPeer) -> None:
    shop = service()
    shop.udp(Handler, **LOCAL)
    async with shop.started() as node:
        to = await address(node, "shop.Handler")
        peer.send(b"crash", to)
        assert await peer.ask(b"", to) == b"none"


async def test_a_class_may_have_workers(peer: UDPPeer) -> None:
    shop = service()
    shop.udp(Handler, **LOCAL, args=(b"word",), workers=2)
    async with shop.started() as node:
        assert await peer.ask(b"", await address(node, "shop.Handler")) == b"word"
        assert [process.info.behavior for process in processes(node)].count("Handler") == 2


class Counting(meta.PeerActor):
    """Counts the datagrams of its peer."""

    def init(self) -> None:
        self.count = 0

    def handle_message(self, sender: Any, message: Any) -> None:
        self.count += 1
        self.peer.send(b"%d" % self.count)


async def test_a_class_may_have_a_process_for_each_peer(peer: UDPPeer) -> None:
    shop = service()
    shop.udp(Counting, **LOCAL, peers=meta.PeerOptions(worker=Counting, unproven_share=1.0))
    async with shop.started() as node:
        to = await address(node, "shop.Counting")
        with UDPPeer() as other:
            assert [await peer.ask(b"", to), await peer.ask(b"", to), await other.ask(b"", to)] == [b"1", b"2", b"1"]
        assert [process.info.behavior for process in processes(node)].count("Counting") == 2
