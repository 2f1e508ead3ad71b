"""When a request is sent again, and when it fails: exactly, in virtual time, on a network that answers or does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from itertools import cycle
from typing import Any

import pytest

import homing
from homing import gen, meta
from homing.testing import Event, FakeNetwork, run_virtual

from ...support import Probe
from .clients import Asker, check_account

PEER = ("10.0.0.1", 53)
OWN = ("10.0.0.2", 4000)


class Scene:
    """A client on a fake network, and what was sent: `times` of the datagrams to the peer, from the first on."""

    def __init__(self, node: homing.Node, network: FakeNetwork, events: list[Event]) -> None:
        self.node = node
        self.network = network
        self.peer = network.socket(*PEER)
        self._events = events

    async def open(self, **options: Any) -> None:
        given = {"host": PEER[0], "port": PEER[1], "local_host": OWN[0], "local_port": OWN[1], "jitter": 0, **options}
        self.client = meta.create_udp_client(meta.UDPClientOptions(**given))
        probe = await Probe.start(self.node)
        self.alias = await probe.do(lambda actor: actor.spawn_meta(self.client))
        self.start = asyncio.get_running_loop().time()

    def call(self, data: Any = b"question", timeout: float = 1000.0) -> Coroutine[Any, Any, Any]:
        return self.node.call(self.alias, data, timeout=timeout)

    async def error(self, data: Any = b"question", timeout: float = 1000.0) -> Any:
        try:
            await self.call(data, timeout)
        except gen.HomingError as error:
            return error
        raise AssertionError("it was answered")

    def now(self) -> float:
        return round(asyncio.get_running_loop().time() - self.start, 6)

    def times(self) -> list[float]:
        return [
            round(event.time - self.start, 6)
            for event in self._events
            if event.kind == "sent" and event.destination == PEER
        ]

    async def answer(self, which: int, data: bytes = b"answer", after: float = 0.0) -> None:
        """Answers the datagram number `which`, from 1."""
        for _ in range(which):
            _, source = await self.peer.receive()
        await asyncio.sleep(after)
        self.peer.send(data, source)


def play(scene: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    """Runs a scene in virtual time; in the end all was counted."""

    async def main() -> None:
        events: list[Event] = []
        with FakeNetwork(seed=1, trace=events.append) as network:
            options = gen.NodeOptions(handle_signals=False, slow_callback_seconds=None)
            async with homing.start_node("test@localhost", options) as node:
                made = Scene(node, network, events)
                await scene(made)
                check_account(made.client)

    run_virtual(main)


@pytest.mark.parametrize(
    ("options", "times", "end"),
    [
        ({}, [0, 0.5, 1.5], 3.5),
        ({"timeout": 2, "retries": 3}, [0, 2, 6, 14], 30),
        ({"timeout": 1, "retries": 3, "backoff": 1}, [0, 1, 2, 3], 4),
        ({"timeout": 1, "retries": 0}, [0], 1),
        ({"timeout": 1, "retries": 5, "max_timeout": 3}, [0, 1, 3, 6, 9, 12], 15),
        ({"timeout": 5, "retries": 1, "max_timeout": 3}, [0, 5], 10),
        ({"timeout": 0.1, "retries": 1000, "backoff": 1000}, [0, 0.1, 30.1], None),
    ],
)
def test_a_request_without_a_reply_is_sent_again_after_longer_and_longer_waits(
    options: dict[str, Any], times: list[float], end: float | None
) -> None:
    async def scene(s: Scene) -> None:
        await s.open(**options)
        if end is None:
            assert isinstance(await s.error(timeout=50), gen.CallTimeout)
        else:
            error = await s.error()
            assert isinstance(error, gen.RequestTimeout)
            assert isinstance(error, gen.CallTimeout)
            assert isinstance(error, TimeoutError)
            assert (error.attempts, round(error.seconds, 6), error.replies) == (len(times), end, ())
            assert f"{len(times)} attempt" in str(error)
            assert "10.0.0.1:53" in str(error)
            assert s.now() == end
            assert (s.client.statistics().timeouts, s.client.statistics().retransmits) == (1, len(times) - 1)
        assert s.times() == times

    play(scene)


def test_chance_takes_its_part_of_each_wait() -> None:
    numbers: Iterator[float] = cycle([0.0, 1.0, 0.5])

    async def scene(s: Scene) -> None:
        await s.open(timeout=1, retries=3, backoff=2, jitter=0.5, random=lambda: next(numbers))
        error = await s.error()
        # 1 * (1 - 0), 2 * (1 - 0.5), 4 * (1 - 0.25), 8 * (1 - 0)
        assert s.times() == [0, 1, 2, 5]
        assert (s.now(), error.attempts) == (13, 4)

    play(scene)


@pytest.mark.parametrize("which", [1, 2, 3])
def test_it_is_sent_until_a_reply_comes_and_not_once_more(which: int) -> None:
    async def scene(s: Scene) -> None:
        await s.open(timeout=1, retries=5)
        answering = asyncio.create_task(s.answer(which, after=0.25))
        assert (await s.call()).data == b"answer"
        assert s.now() == [0, 1, 3][which - 1] + 0.25
        await asyncio.sleep(100)
        assert s.times() == [0, 1, 3][:which]
        assert s.client.statistics().retransmits == which - 1
        await answering

    play(scene)


@pytest.mark.parametrize(
    ("settings", "times", "end"),
    [
        ({"timeout": 3}, [0, 3], 9),
        ({"retries": 2}, [0, 1, 3], 7),
        ({"backoff": 3}, [0, 1], 4),
        ({"jitter": 0.5}, [0, 0.5], 1.5),
        ({"timeout": 10, "retries": 0}, [0], 10),
    ],
)
def test_a_request_may_have_settings_of_its_own(settings: dict[str, Any], times: list[float], end: float) -> None:
    async def scene(s: Scene) -> None:
        await s.open(timeout=1, retries=1, random=lambda: 1.0)
        await s.error(meta.UDPRequest(b"question", **settings))
        assert (s.times(), s.now()) == (times, end)

    play(scene)


def test_the_calls_own_timeout_is_the_outer_bound_and_nothing_is_sent_after_it() -> None:
    async def scene(s: Scene) -> None:
        await s.open(timeout=1, retries=10, backoff=1)
        error = await s.error(timeout=2.5)
        assert type(error) is gen.CallTimeout
        assert s.now() == 2.5
        await asyncio.sleep(100)
        assert s.times() == [0, 1, 2]
        statistics = s.client.statistics()
        assert (statistics.cancelled, statistics.timeouts, statistics.open) == (1, 0, 0)

    play(scene)


def test_a_call_that_ends_at_the_very_time_of_a_retransmit_sends_nothing_more() -> None:
    async def scene(s: Scene) -> None:
        await s.open(timeout=2.5, retries=10)
        assert type(await s.error(timeout=2.5)) is gen.CallTimeout
        await asyncio.sleep(100)
        assert len(s.times()) <= 2

    play(scene)


def test_nothing_is_sent_after_the_callers_death() -> None:
    async def scene(s: Scene) -> None:
        await s.open(timeout=1, retries=10, backoff=1)
        outcomes: list[Any] = []
        asker = await s.node.spawn(Asker, s.alias, outcomes)
        s.node.send(asker, b"question")
        await asyncio.sleep(2.5)
        s.node.kill(asker)
        await asyncio.sleep(100)
        assert s.times() == [0, 1, 2]
        assert (s.client.statistics().cancelled, outcomes) == (1, [])

    play(scene)


def test_nothing_is_sent_after_the_clients_end() -> None:
    async def scene(s: Scene) -> None:
        await s.open(timeout=1, retries=10, backoff=1)
        calling = asyncio.create_task(s.error())
        await asyncio.sleep(1.5)
        s.client.process.end(gen.TerminateShutdown())
        error = await calling
        assert isinstance(error, gen.MetaTerminated)
        assert isinstance(error.reason, gen.TerminateShutdown)
        assert s.now() == 1.5
        await asyncio.sleep(100)
        assert s.times() == [0, 1]

    play(scene)


def test_a_reply_to_an_earlier_attempt_is_as_good_and_the_other_is_a_duplicate() -> None:
    async def scene(s: Scene) -> None:
        await s.open(timeout=1, retries=5, key=lambda data: data[:2])
        calling = asyncio.create_task(s.call(b"01"))
        sources = [(await s.peer.receive())[1] for _ in range(2)]
        for source in sources:
            s.peer.send(b"01 answer", source)
        assert (await calling).data == b"01 answer"
        await asyncio.sleep(1)
        statistics = s.client.statistics()
        assert (statistics.duplicate, statistics.late, statistics.retransmits) == (1, 0, 1)

    play(scene)


def test_without_a_key_what_comes_half_a_minute_after_a_request_is_no_reply_to_it() -> None:
    async def scene(s: Scene) -> None:
        await s.open(timeout=1, retries=1)
        await s.error()
        for wait, late, stray in ((0, 1, 0), (29, 2, 0), (2, 2, 1)):
            await asyncio.sleep(wait)
            s.peer.send(b"something", OWN)
            await asyncio.sleep(0.1)
            assert (s.client.statistics().late, s.client.statistics().stray) == (late, stray)
            s.client._exchange.requests.matcher.memory.others[0].left = 1

    play(scene)


# --- more than one reply ----------------------------------------------------------------------------------


def test_a_request_that_collects_is_sent_again_while_replies_are_missing() -> None:
    async def scene(s: Scene) -> None:
        await s.open(timeout=1, retries=5)
        calling = asyncio.create_task(s.call(meta.UDPRequest(b"question", collect=2)))
        await s.answer(1, b"part 1")
        await s.answer(1, b"part 1")
        await s.answer(1, b"part 2")
        assert [reply.data for reply in await calling] == [b"part 1", b"part 2"]
        assert s.times() == [0, 1, 3]
        assert s.client.statistics().duplicate == 1

    play(scene)


def test_a_request_with_a_time_waits_for_all_of_it_and_is_sent_again_until_enough_have_come() -> None:
    async def scene(s: Scene) -> None:
        await s.open(timeout=1, retries=5, backoff=1)
        calling = asyncio.create_task(s.call(meta.UDPRequest(b"question", within=4.5, at_least=2)))
        await s.answer(2, b"part 1")
        await s.answer(1, b"part 2")
        await asyncio.sleep(2)
        s.peer.send(b"part 3", OWN)
        assert [reply.data for reply in await calling] == [b"part 1", b"part 2", b"part 3"]
        assert (s.times(), s.now()) == ([0, 1, 2], 4.5)

    play(scene)


@pytest.mark.parametrize(("within", "times"), [(2.5, [0, 1, 2]), (10, [0, 1, 2, 3]), (0.5, [0])])
def test_a_time_without_replies_ends_when_it_is_over(within: float, times: list[float]) -> None:
    async def scene(s: Scene) -> None:
        await s.open(timeout=1, retries=3, backoff=1)
        error = await s.error(meta.UDPRequest(b"question", within=within))
        assert isinstance(error, gen.RequestTimeout)
        assert (s.times(), s.now(), error.attempts) == (times, within, len(times))

    play(scene)


def test_as_many_replies_as_are_wanted_end_a_time_early() -> None:
    async def scene(s: Scene) -> None:
        await s.open()
        calling = asyncio.create_task(s.call(meta.UDPRequest(b"question", within=10, collect=1)))
        await s.answer(1, after=0.25)
        assert len(await calling) == 1
        assert s.now() == 0.25

    play(scene)


def test_no_more_replies_are_collected_than_memory_is_meant_for() -> None:
    async def scene(s: Scene) -> None:
        await s.open(receive_buffer=10_000_000)
        calling = asyncio.create_task(s.call(meta.UDPRequest(b"question", within=10)))
        await s.peer.receive()
        for number in range(1500):
            s.peer.send(b"%d" % number, OWN)
        assert len(await calling) == 1024
        assert s.now() == 0

    play(scene)


# --- a peer that is not there -------------------------------------------------------------------------------


def test_a_closed_port_fails_a_request_at_once_and_not_at_the_timeout() -> None:
    async def main() -> None:
        with FakeNetwork(seed=1, refuse=True) as network:
            async with homing.start_node("test@localhost", gen.NodeOptions(handle_signals=False)) as node:
                s = Scene(node, network, [])
                await s.open(timeout=60)
                s.peer.close()
                error = await s.error()
                assert isinstance(error, gen.PeerRefused)
                assert s.now() == 0
                check_account(s.client)

    run_virtual(main)


# --- an answer that is announced ------------------------------------------------------------------------------


def separate(request: bytes, reply: meta.MessageUDP) -> object:
    """As of CoAP: an empty acknowledgement has the request's number, the answer its token."""
    if reply.data[:1] == b"A":
        return meta.HEARD if reply.data[1:3] == request[1:3] else False
    return reply.data[3:] == request[3:]


def test_a_request_that_was_heard_waits_on_and_is_not_sent_again() -> None:
    async def scene(made: Scene) -> None:
        await made.open(match=separate)
        task = asyncio.create_task(made.call(b"Q01token"))
        await made.answer(2, b"A01")
        await asyncio.sleep(1.9)
        assert made.times() == [0.0, 0.5]
        made.peer.send(b"R99token", OWN)
        assert (await task).data == b"R99token"
        counts = made.client.statistics()
        assert (counts.replies, counts.heard, counts.retransmits, counts.stray) == (2, 1, 1, 0)

    play(scene)


def test_a_request_that_was_heard_and_not_answered_fails_when_its_attempts_would_have_been_over() -> None:
    async def scene(made: Scene) -> None:
        await made.open(match=separate)
        task = asyncio.create_task(made.error(b"Q01token"))
        await made.answer(1, b"A01")
        error = await task
        assert isinstance(error, gen.RequestTimeout)
        assert (error.attempts, made.now(), made.times()) == (1, 3.5, [0.0])
        made.peer.send(b"A01", OWN)
        made.peer.send(b"R99token", OWN)
        await asyncio.sleep(1)
        counts = made.client.statistics()
        assert (counts.late, counts.stray, counts.heard) == (2, 0, 1)

    play(scene)


def test_being_heard_twice_counts_as_a_duplicate_and_concerns_that_request_only() -> None:
    async def scene(made: Scene) -> None:
        await made.open(match=separate)
        tasks = [asyncio.create_task(made.call(b"Q0%dtoken%d" % (number, number))) for number in range(2)]
        await made.peer.receive()
        for _ in range(2):
            made.peer.send(b"A01", OWN)
        await asyncio.sleep(0.6)
        assert made.times() == [0.0, 0.0, 0.5]
        for number in range(2):
            made.peer.send(b"R77token%d" % number, OWN)
        assert [(await task).data[-1:] for task in tasks] == [b"0", b"1"]
        counts = made.client.statistics()
        assert (counts.replies, counts.heard, counts.duplicate) == (3, 1, 1)

    play(scene)
