"""A server with all protections as several OS processes, and in upgrades: each process has its own queues and budgets,
a cookie is valid in all, and a successor continues with proofs and state."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ..examples.test_examples import Program
from ..support import DEADLINE, UDPPeer, free_port
from .nodes import run
from .test_shared_sockets import NAME, serves

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 on its loopback")
HOST = "127.0.0.1"


def arguments(count: int, port: int, *more: str) -> list[str]:
    """The options of `count` processes, which the first byte of a datagram selects."""
    several = [f"--processes={count}", f"--env=count={count}"] if count > 1 else []
    return ["protected:Service", *several, NAME, f"--env=port={port}", "--log-level=warning", *more]


class Client(UDPPeer):
    """Speaks to one process of the service, from one address."""

    def __init__(self, port: int, process: int, host: str = HOST) -> None:
        super().__init__(host)
        self._server = (HOST, port)
        self._first = bytes([process])

    def tell(self, words: bytes) -> None:
        self.send(self._first + words, self._server)

    async def say(self, words: bytes) -> bytes:
        return await self.ask(self._first + words, self._server)

    def to(self, process: int) -> None:
        """Speaks to another process from now on."""
        self._first = bytes([process])

    async def facts(self) -> dict[str, Any]:
        """The facts of the process, for which the question is long enough."""
        found: dict[str, Any] = json.loads(await self.say(b"facts".ljust(300)))
        return found


async def refused(client: Client, observer: Client, words: bytes) -> None:
    """The process refuses the answer to this question."""
    before = (await observer.facts())["limited"]
    client.tell(words)

    async def more() -> bool:
        return bool((await observer.facts())["limited"] == before + 1)

    async with asyncio.timeout(DEADLINE):
        while not await more():
            await asyncio.sleep(0.01)


async def test_a_cookie_of_one_process_is_a_proof_in_each_and_budgets_are_apart(runtime: Path) -> None:
    port = free_port()
    async with run(runtime, *arguments(2, port)) as running:
        await serves(running, 2)
        with Client(port, 0) as client, Client(port, 0) as observer:
            cookie = await client.say(b"cookie")
            await refused(client, observer, b"long")
            assert await client.say(cookie) == b"proven"
            assert len(await client.say(b"long")) == 1000
            client.to(1)
            observer.to(1)
            await refused(client, observer, b"long")
            assert await client.say(cookie) == b"proven"
            assert len(await client.say(b"long")) == 1000


@pytest.mark.parametrize("count", [1, 2])
async def test_in_each_process_a_flood_costs_its_source_and_each_loss_is_marked(runtime: Path, count: int) -> None:
    port = free_port()
    async with run(runtime, *arguments(count, port)) as running:
        await serves(running, count)
        for process in range(count):
            with Client(port, process, "127.0.0.2") as flooder, Client(port, process, "127.0.0.3") as quiet:
                for _ in range(200):
                    flooder.tell(b"slow")
                for _ in range(5):
                    quiet.tell(b"slow")
                assert [(await quiet.receive())[0] for _ in range(5)] == [b"slow"] * 5
                await settled(quiet)
                facts = await quiet.facts()
                assert facts["dropped"]["unfair"] == facts["marked"] > 100
                assert sum(facts["dropped"].values()) == facts["marked"]


async def settled(client: Client) -> None:
    """Waits until all that had come before was handled: the markers behind it too."""
    before = -1
    while (now := (await client.facts())["marked"]) != before:
        before = now


async def test_of_those_with_one_key_the_newest_is_handled(runtime: Path) -> None:
    port = free_port()
    async with run(runtime, *arguments(1, port)) as running:
        await serves(running, 1)
        with Client(port, 0) as client:
            client.tell(b"slow")
            for _ in range(3):
                client.tell(b"=")
            assert (await client.receive())[0] == b"slow"
            facts = await client.facts()
            assert facts["count"] + facts["dropped"]["conflated"] == 5


@asynccontextmanager
async def upgraded(runtime: Path, running: Program, count: int, port: int) -> AsyncIterator[list[int]]:
    """The OS processes that have taken over: from several one by one, from one by a second command."""
    if count > 1:
        running.process.send_signal(signal.SIGUSR2)
        yield await serves(running, count)
        return
    async with run(runtime, *arguments(1, port), "--takeover") as new:
        yield await serves(new, 1)


@pytest.mark.parametrize("count", [1, 2])
async def test_an_upgrade_keeps_proofs_limits_and_state_of_each_process(runtime: Path, count: int) -> None:
    port = free_port()
    with ExitStack() as stack:
        proven, watching, spent = ([stack.enter_context(Client(port, key)) for key in range(count)] for _ in "123")
        async with run(runtime, *arguments(count, port)) as running:
            former = await serves(running, count)
            handled = []
            for one, other, last in zip(proven, watching, spent, strict=True):
                assert await one.say(await one.say(b"cookie")) == b"proven"
                assert len(await last.say(b"cookie")) == 16  # of 21 bytes
                facts = [await other.facts() for _ in range(20)][-1]
                assert facts["pid"] in former
                handled.append(facts["count"])
            async with upgraded(runtime, running, count, port) as successors:
                for one, other, last, before in zip(proven, watching, spent, handled, strict=True):
                    await answered_by(other, successors)
                    assert (await other.facts())["count"] > before
                    assert len(await one.say(b"long")) == 1000
                    await refused(last, other, b"long")


async def answered_by(client: Client, processes: list[int]) -> None:
    async with asyncio.timeout(DEADLINE):
        while (await client.facts())["pid"] not in processes:
            await asyncio.sleep(0.01)
