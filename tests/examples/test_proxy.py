"""The proxy: no question waits for another, each client gets its own answer, and nothing forged gets into the cache."""

from __future__ import annotations

import asyncio
import random
import shutil
import struct
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import homing
from homing import gen
from homing.testing import FakeNetwork, Peer, run_virtual

from ..support import DEADLINE, UDPPeer
from .fuzz import SEEDS, load, mutated
from .test_examples import dns_answer, program

SERVER, PROXY = ("10.0.0.1", 53), ("127.0.0.1", 5353)
ADDRESS = bytes([192, 0, 2, 1])


@cache
def example() -> Any:
    return load("proxy")


def query(name: bytes, id: int = 7, kind: int = 1) -> bytes:
    header = struct.pack("!6H", id, 0x0100, 1, 0, 0, 0)
    return header + bytes([len(name)]) + name + b"\7example\0" + struct.pack("!2H", kind, 1)


class Scene:
    """A proxy on a fake network, and a server that takes `seconds` for each answer (None: it never answers)."""

    def __init__(self, network: FakeNetwork, node: homing.Node, seconds: float | None) -> None:
        self._network = network
        self._socket = network.socket(*SERVER)
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self.node = node
        self.asked: list[bytes] = []
        self.replies: Callable[[bytes], list[bytes]] = lambda question: [dns_answer(question, ADDRESS)]

    async def serve(self) -> None:
        while True:
            question, source = await self._socket.receive()
            self.asked.append(question)
            if self._seconds is not None:
                for reply in self.replies(question):
                    self._loop.call_later(self._seconds, self._socket.send, reply, source)

    def client(self, question: bytes) -> Peer:
        """A client that has asked."""
        client = self._network.socket("10.0.0.3", 0)
        client.send(question, PROXY)
        return client

    async def ask(self, question: bytes) -> tuple[bytes, float]:
        """Returns the answer, and how long it took."""
        start = self._loop.time()
        answer, _ = await self.client(question).receive()
        return answer, round(self._loop.time() - start, 6)


def in_virtual_time(body: Callable[[Scene], Awaitable[None]], seconds: float | None = 0.02) -> None:
    async def main() -> None:
        options = gen.NodeOptions(handle_signals=False, slow_callback_seconds=None)
        with FakeNetwork(seed=1) as network:
            async with homing.start_node("test@localhost", options) as node:
                scene = Scene(network, node, seconds)
                serving = asyncio.create_task(scene.serve())
                await node.spawn(example().Proxy, PROXY[1], *SERVER)
                await body(scene)
                assert node.info().crashes == 0
                serving.cancel()
                await asyncio.wait([serving])

    run_virtual(main)


def test_two_hundred_questions_take_the_time_of_one_and_what_is_cached_does_not_wait() -> None:
    async def body(scene: Scene) -> None:
        assert await scene.ask(query(b"known")) == (dns_answer(query(b"known"), ADDRESS), 0.02)
        questions = [query(b"name%d" % number) for number in range(200)]
        waiting = asyncio.gather(*[scene.ask(question) for question in questions])
        await asyncio.sleep(0.001)
        answer, seconds = await scene.ask(query(b"KnowN", id=9))
        assert answer == dns_answer(query(b"KnowN", id=9), ADDRESS)
        assert seconds < 0.001
        for question, (reply, took) in zip(questions, await waiting, strict=True):
            assert reply == dns_answer(question, ADDRESS)
            assert took < 0.03
        assert len(scene.asked) == 201

    in_virtual_time(body)


def test_clients_who_ask_the_same_cause_one_question_and_each_gets_its_id_and_spelling() -> None:
    async def body(scene: Scene) -> None:
        questions = [query(b"Name" if number % 2 else b"naME", id=number) for number in range(100)]
        for question, (reply, took) in zip(questions, await asyncio.gather(*map(scene.ask, questions)), strict=True):
            assert (reply, took) == (dns_answer(question, ADDRESS), 0.02)
        assert len(scene.asked) == 1

    in_virtual_time(body)


def test_types_of_records_that_differ_by_a_letters_case_are_different_questions() -> None:
    async def body(scene: Scene) -> None:
        for kind in (65, 97):
            await scene.ask(query(b"name", kind=kind))
        assert len(scene.asked) == 2

    in_virtual_time(body)


def test_a_cached_answer_ages_and_ends() -> None:
    async def body(scene: Scene) -> None:
        first, _ = await scene.ask(query(b"name"))
        await asyncio.sleep(25.5)
        later, seconds = await scene.ask(query(b"name"))
        assert seconds == 0
        assert [struct.unpack_from("!I", answer, len(first) - 10)[0] for answer in (first, later)] == [60, 35]
        await asyncio.sleep(40)
        await scene.ask(query(b"name"))
        assert len(scene.asked) == 2

    in_virtual_time(body)


def test_without_an_answer_the_client_is_told_that_the_server_failed() -> None:
    async def body(scene: Scene) -> None:
        answer, seconds = await scene.ask(query(b"name", id=77))
        assert 3 < seconds <= 3.5
        assert answer == struct.pack("!6H", 77, 0x8182, 1, 0, 0, 0) + query(b"name")[12:]

    in_virtual_time(body, seconds=None)


def test_an_answer_with_another_question_or_id_is_not_believed() -> None:
    async def body(scene: Scene) -> None:
        def forge(question: bytes) -> list[bytes]:
            other = dns_answer(question[:2] + query(b"other")[2:], bytes(4))
            wrong = bytes([question[0] ^ 1]) + dns_answer(question, bytes(4))[1:]
            return [other, wrong, question, question[:11], dns_answer(question, ADDRESS)]

        honest, scene.replies = scene.replies, forge
        assert (await scene.ask(query(b"name")))[0] == dns_answer(query(b"name"), ADDRESS)
        scene.replies = honest
        assert (await scene.ask(query(b"other")))[0] == dns_answer(query(b"other"), ADDRESS)

    in_virtual_time(body)


def test_what_is_no_question_is_not_answered_and_harms_nothing() -> None:
    async def body(scene: Scene) -> None:
        chance = random.Random(1)
        answer = dns_answer(query(b"name"), ADDRESS)
        clients = [scene.client(data) for data in (b"", b"\0", query(b"name")[:-1], answer, bytes(12), b"\xff" * 40)]
        for _ in range(200):
            scene.client(mutated(query(b"name"), chance)[:500])
        await scene.ask(query(b"name"))
        assert [client.waiting() for client in clients] == [[]] * 6

    in_virtual_time(body)


@given(
    st.one_of(st.binary(max_size=80), st.randoms(use_true_random=False).map(lambda c: mutated(SEEDS["proxy"][0], c)))
)
def test_whatever_the_server_answers_is_kept_as_it_is_or_not_at_all(payload: bytes) -> None:
    kept = example().Cache()
    try:
        question = example().question_of(payload)
    except ValueError:
        return
    kept.put(payload, 0.0)
    found = kept.get(question, 0.0)
    assert found in (None, payload)


def test_the_cache_is_bounded() -> None:
    kept = example().Cache()
    for number in range(example().MOST_ENTRIES + 5):
        kept.put(dns_answer(query(b"%d" % number), ADDRESS), 0.0)
    assert len(kept.entries) == example().MOST_ENTRIES
    assert kept.get(example().question_of(query(b"0")), 0.0) is None


@pytest.mark.skipif(shutil.which("dig") is None, reason="dig is not installed")
async def test_dig_gets_its_answer_through_the_proxy(peer: UDPPeer) -> None:
    async with program("examples/proxy.py", "0", peer.address[0], str(peer.address[1])) as running:
        port = await running.port()
        for number in range(2):  # the second answer comes from the cache
            client = await asyncio.create_subprocess_exec(
                "dig", "-p", str(port), "@127.0.0.1", "WWW.example", "+short", stdout=asyncio.subprocess.PIPE
            )
            if number == 0:
                question, source = await peer.receive()
                peer.send(dns_answer(question, ADDRESS), source)
            async with asyncio.timeout(2 * DEADLINE):
                printed, _ = await client.communicate()
            assert (client.returncode, printed) == (0, b"192.0.2.1\n")
