"""The forwarder: no question waits for another, each client gets its own answer, and nothing forged is believed."""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

import homing
from homing import gen
from homing.testing import FakeNetwork, Peer, run_virtual

from ...support import DEADLINE, UDPPeer
from ..fuzz import mutated
from .clients import ask, load, serve, terminate

SERVER = ("10.0.0.1", 53)
ADDRESS = "{name} {seconds} IN A 192.0.2.1"
SOA = "example. 60 IN SOA ns.example. root.example. 1 2 3 4 {seconds}"


def query(name: str, id: int = 7, kind: str | int = "A", edns: bool | int = False) -> bytes:
    return dns.message.make_query(f"{name}.example.", kind, id=id, use_edns=edns).to_wire()


def reply_to(question: bytes, text: str = ADDRESS, seconds: int = 60, section: int = 1, code: int = 0) -> bytes:
    """The upstream's answer to a question: one record."""
    asked = dns.message.from_wire(question)
    reply = dns.message.make_response(asked)
    reply.set_rcode(code)  # type: ignore[arg-type]
    record = text.format(name=asked.question[0].name, seconds=seconds)
    reply.sections[section] += dns.message.from_text(f"id 1\n;ANSWER\n{record}").answer
    return reply.to_wire()


def answer_of(data: bytes) -> str:
    """The records of an answer, in all sections."""
    return "\n".join(rrset.to_text() for section in dns.message.from_wire(data).sections[1:] for rrset in section)


class Scene:
    """A forwarder on a fake network, and a server that takes `seconds` for each answer (None: it never answers)."""

    def __init__(self, network: FakeNetwork, node: homing.Node, port: int, seconds: float | None) -> None:
        self._forwarder = ("127.0.0.1", port)
        self._network = network
        self._socket = network.socket(*SERVER)
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self.node = node
        self.asked: list[bytes] = []
        self.replies: Callable[[bytes], list[bytes]] = lambda question: [reply_to(question)]

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
        client.send(question, self._forwarder)
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
                with contextlib.redirect_stdout(io.StringIO()) as printed:
                    await node.spawn(load("forwarder").Server, 0, *SERVER)  # a free port: that of TCP is real
                scene = Scene(network, node, int(printed.getvalue().split()[-1]), seconds)
                serving = asyncio.create_task(scene.serve())
                await body(scene)
                assert node.info().crashes == 0
                serving.cancel()
                await asyncio.wait([serving])

    run_virtual(main)


def test_two_hundred_questions_take_the_time_of_one_and_what_is_kept_does_not_wait() -> None:
    async def body(scene: Scene) -> None:
        first, seconds = await scene.ask(query("known"))
        assert (answer_of(first), seconds) == ("known.example. 60 IN A 192.0.2.1", 0.02)
        questions = [query(f"name{number}") for number in range(200)]
        waiting = asyncio.gather(*[scene.ask(question) for question in questions])
        await asyncio.sleep(0.001)
        answer, seconds = await scene.ask(query("KnowN", id=9))
        assert answer[:2] + answer[12:] == query("KnowN", id=9)[:2] + query("KnowN")[12:] + first[31:]
        assert seconds < 0.001
        for number, (reply, took) in enumerate(await waiting):
            assert answer_of(reply) == f"name{number}.example. 60 IN A 192.0.2.1"
            assert took < 0.03
        assert len(scene.asked) == 201

    in_virtual_time(body)


def test_clients_who_ask_the_same_cause_one_question_and_each_gets_its_id_and_spelling() -> None:
    async def body(scene: Scene) -> None:
        questions = [query("Name" if number % 2 else "naME", id=number) for number in range(100)]
        for question, (reply, took) in zip(questions, await asyncio.gather(*map(scene.ask, questions)), strict=True):
            assert (reply[:2], reply[12:].startswith(question[12:]), took) == (question[:2], True, 0.02)
        assert len(scene.asked) == 1

    in_virtual_time(body)


def test_types_of_records_that_differ_by_a_letters_case_are_different_questions() -> None:
    async def body(scene: Scene) -> None:
        for kind in (65, 97):
            await scene.ask(query("name", kind=kind))
        assert len(scene.asked) == 2

    in_virtual_time(body)


def test_a_kept_answer_ages_and_ends() -> None:
    async def body(scene: Scene) -> None:
        await scene.ask(query("name"))
        await asyncio.sleep(25.5)
        later, seconds = await scene.ask(query("name"))
        assert (answer_of(later), seconds) == ("name.example. 35 IN A 192.0.2.1", 0)
        await asyncio.sleep(40)
        await scene.ask(query("name"))
        assert len(scene.asked) == 2

    in_virtual_time(body)


@pytest.mark.parametrize("code", [dns.rcode.NXDOMAIN, dns.rcode.NOERROR], ids=["no name", "no record"])
def test_that_there_is_none_is_kept_for_as_long_as_the_soa_says(code: dns.rcode.Rcode) -> None:
    async def body(scene: Scene) -> None:
        scene.replies = lambda question: [reply_to(question, SOA, 30, 2, code)]
        await scene.ask(query("name"))
        await asyncio.sleep(25.5)
        later, seconds = await scene.ask(query("name"))
        assert (answer_of(later), seconds) == (f"{SOA.format(seconds=30).replace('60', '35')}", 0)
        assert dns.message.from_wire(later).rcode() == code
        await asyncio.sleep(10)
        await scene.ask(query("name"))
        assert len(scene.asked) == 2

    in_virtual_time(body)


def test_an_answer_is_kept_for_an_hour_at_most_and_for_a_second_at_least() -> None:
    async def body(scene: Scene) -> None:
        for seconds, least, most in ((1 << 31) - 1, 3599, 3601), (0, 0.9, 1.1):
            scene.replies = lambda question, seconds=seconds: [reply_to(question, seconds=seconds)]
            scene.asked.clear()
            await scene.ask(query(f"for{seconds}"))
            await asyncio.sleep(least)
            await scene.ask(query(f"for{seconds}"))
            assert len(scene.asked) == 1
            await asyncio.sleep(most - least)
            await scene.ask(query(f"for{seconds}"))
            assert len(scene.asked) == 2

    in_virtual_time(body)


def test_a_client_has_extensions_in_its_answer_only_if_it_has_them_itself() -> None:
    async def body(scene: Scene) -> None:
        for edns in (False, 0, 1):
            answer = dns.message.from_wire((await scene.ask(query("name", edns=edns)))[0])
            assert answer.edns == (-1 if edns is False else 0)
            assert answer.flags == dns.flags.QR | dns.flags.RD | dns.flags.RA

    in_virtual_time(body)


def test_without_an_answer_the_client_is_told_that_the_server_failed_and_for_a_second_all_are() -> None:
    async def body(scene: Scene) -> None:
        answer, seconds = await scene.ask(query("name", id=77))
        assert 3 < seconds <= 3.5
        assert answer == b"\0\x4d\x81\x82" + query("name")[4:]
        assert (await scene.ask(query("name", id=77))) == (answer, 0)
        assert len(scene.asked) == 3  # one question, which was sent again

    in_virtual_time(body, seconds=None)


def test_an_answer_with_another_question_or_id_is_not_believed() -> None:
    async def body(scene: Scene) -> None:
        def forge(question: bytes) -> list[bytes]:
            forged = reply_to(question, "{name} 60 IN A 0.0.0.0")
            other = question[:2] + reply_to(query("other"), "{name} 60 IN A 0.0.0.0")[2:]
            wrong = bytes([question[0] ^ 1]) + forged[1:]
            return [other, wrong, question, question[:11], forged[:2] + question[2:3] + forged[3:], reply_to(question)]

        honest, scene.replies = scene.replies, forge
        assert answer_of((await scene.ask(query("name")))[0]) == "name.example. 60 IN A 192.0.2.1"
        scene.replies = honest
        assert answer_of((await scene.ask(query("other")))[0]) == "other.example. 60 IN A 192.0.2.1"

    in_virtual_time(body)


def test_what_is_no_question_is_not_answered_and_harms_nothing() -> None:
    async def body(scene: Scene) -> None:
        chance = random.Random(1)
        clients = [
            scene.client(data)
            for data in (b"", b"\0", query("name")[:11], reply_to(query("name")), b"\0\0\x80" + bytes(9), b"\xff" * 40)
        ]
        for _ in range(200):
            scene.client(mutated(query("name"), chance)[:500])
        await scene.ask(query("name"))
        assert [client.waiting() for client in clients] == [[]] * 6
        assert (await scene.node.inspect("forwarder"))["malformed"] >= 6

    in_virtual_time(body)


def test_a_malformed_question_and_another_operation_get_the_code_that_says_so() -> None:
    async def body(scene: Scene) -> None:
        notify = dns.message.make_query("name.example.", "SOA", id=7)
        notify.set_opcode(dns.opcode.NOTIFY)
        for data, code in ((query("name")[:-1], 1), (bytes(12), 1), (notify.to_wire(), 4)):
            answer, _ = await scene.ask(data)
            found = dns.message.from_wire(answer)
            assert (found.id, found.rcode()) == (int.from_bytes(data[:2]), code)
            assert found.opcode() == data[2] >> 3 & 15
            assert len(answer) == 12

    in_virtual_time(body)


def test_a_flood_of_questions_that_nobody_answers_does_not_end_it() -> None:
    async def body(scene: Scene) -> None:
        for number in range(1200):
            scene.client(query(f"name{number}"))
            if number % 100 == 99:
                await asyncio.sleep(0.001)
        await asyncio.sleep(10)
        assert len({question[12:] for question in scene.asked}) <= 1024

    in_virtual_time(body, seconds=None)


def test_the_answers_that_are_kept_are_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load("forwarder"), "MOST_KEPT", 3)

    async def body(scene: Scene) -> None:
        for name in ("a", "b", "c", "d", "b", "c", "d", "a"):
            await scene.ask(query(name))
        assert len(scene.asked) == 5

    in_virtual_time(body)


@given(
    st.one_of(
        st.binary(max_size=80),
        st.randoms(use_true_random=False).map(lambda chance: mutated(reply_to(query("name")), chance)),
    )
)
def test_whatever_the_server_answers_is_rendered_for_a_client_or_is_a_failure(payload: bytes) -> None:
    module = load("forwarder")
    kept, since, until = module.keep_untrusted(payload, 100.0)
    assert kept in (payload, module.NOTHING[0])
    assert since == 100
    assert 101 <= until <= 3700
    assert len(module.render(query("name"), kept, 5, False)) <= 512


@given(st.one_of(st.binary(max_size=60), st.binary(max_size=40).map(lambda body: query("name")[:12] + body)))
def test_any_bytes_are_a_message_or_a_value_error(data: bytes) -> None:
    try:
        found = load("forwarder").parse_untrusted(data)
    except ValueError:
        return
    assert len(found.question) == 1


# --- forgers, and real clients ---------------------------------------------------------------------------------


async def test_of_ten_thousand_forged_answers_none_is_believed(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    await node.spawn(load("forwarder").Server, 0, *peer.address)
    address = ("127.0.0.1", int(capsys.readouterr().out.split()[-1]))
    with UDPPeer() as client, UDPPeer("127.0.0.2") as stranger:
        client.send(query("victim"), address)
        question, victim = await peer.receive()
        for number in range(40):
            client.send(query(f"name{number}"), address)
        ports = {(await peer.receive())[1] for _ in range(40)} - {victim}
        assert ports
        forged = reply_to(question, "{name} 60 IN A 0.0.0.0")
        other = question[:2] + reply_to(query("other"), "{name} 60 IN A 0.0.0.0")[2:]
        for number in range(2500):
            wrong = int.from_bytes(question[:2], "big") + 1 + number & 0xFFFF
            peer.send(wrong.to_bytes(2, "big") + forged[2:], victim)
            stranger.send(forged, victim)
            peer.send(forged, sorted(ports)[number % len(ports)])
            peer.send(other, victim)
            if number % 10 == 0:
                await asyncio.sleep(0)
        peer.send(reply_to(question), victim)  # right, but it might be the guess that has hit
        answers = [(await client.receive())[0]]
        while dns.message.from_wire(answers[-1]).question[0].name.labels[0] != b"victim":
            answers.append((await client.receive())[0])
    assert [dns.message.from_wire(answer).rcode() for answer in answers] == [dns.rcode.SERVFAIL] * len(answers)
    assert (await node.inspect("forwarder"))["guesses"] > 1000
    assert node.info().crashes == 0


async def test_a_question_that_somebody_guesses_answers_to_is_asked_by_tcp(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    async def by_tcp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        reply = reply_to(await reader.readexactly(size))
        writer.write(len(reply).to_bytes(2, "big") + reply)
        await reader.read()
        writer.close()

    await node.spawn(load("forwarder").Server, 0, *peer.address)
    address = ("127.0.0.1", int(capsys.readouterr().out.split()[-1]))
    async with await asyncio.start_server(by_tcp, *peer.address):
        with UDPPeer() as client:
            client.send(query("name"), address)
            question, source = await peer.receive()
            forged = reply_to(question, "{name} 60 IN A 0.0.0.0")
            for number in range(1, 121):
                peer.send(bytes([question[0] ^ number, question[1]]) + forged[2:], source)
            peer.send(forged, source)  # this guess is right
            answer, _ = await client.receive()
    assert answer_of(answer) == "name.example. 60 IN A 192.0.2.1"


async def test_a_truncated_answer_of_a_server_without_tcp_is_a_failure(
    node: homing.Node, peer: UDPPeer, capsys: pytest.CaptureFixture[str]
) -> None:
    await node.spawn(load("forwarder").Server, 0, *peer.address)
    address = ("127.0.0.1", int(capsys.readouterr().out.split()[-1]))
    with UDPPeer() as client:
        client.send(query("name"), address)
        question, source = await peer.receive()
        reply = reply_to(question)
        peer.send(reply[:2] + bytes([reply[2] | 2]) + reply[3:], source)
        answer, _ = await client.receive()
    assert dns.message.from_wire(answer).rcode() == dns.rcode.SERVFAIL
    assert node.info().crashes == 0


async def test_dig_gets_the_answers_of_the_name_server_through_the_forwarder() -> None:
    async with serve("nameserver") as upstream, serve("forwarder", "127.0.0.1", str(await upstream.port())) as running:
        port = str(await running.port())
        common = ("dig", "-p", port, "@127.0.0.1", f"+timeout={DEADLINE:.0f}", "+tries=1")
        for _ in range(2):  # the second time from what is kept
            output = await ask(*common, "wWw.example", "A", "no.example", "A", "text.example", "TXT")
            assert "wWw.example.\t\t300\tIN\tA\t192.0.2.1" in output.replace("299", "300")
            assert "NXDOMAIN" in output
            output = await ask(*common, "many.example", "A")
            assert "Truncated, retrying in TCP mode" in output
            assert "flags: qr rd ra; QUERY: 1, ANSWER: 100" in output
        assert await terminate(running) == 0
        assert await terminate(upstream) == 0


async def test_dnsperf_loses_nothing(tmp_path: Path) -> None:
    questions = tmp_path / "questions"
    questions.write_text("".join(f"name{number}.wild.example A\n" for number in range(400)) + "no.example A\n" * 100)
    async with serve("nameserver") as upstream, serve("forwarder", "127.0.0.1", str(await upstream.port())) as running:
        load: tuple[Any, ...] = ("-c", "8", "-q", "40", "-n", "4", "-t", f"{DEADLINE:.0f}")
        output = await ask("dnsperf", "-s", "127.0.0.1", "-p", str(await running.port()), "-d", str(questions), *load)
        assert "NOERROR 1600 (80.00%), NXDOMAIN 400 (20.00%)" in output
