"""No server that we show answers answers: one datagram with a false source does not make two of them talk for ever."""

from __future__ import annotations

import ast
import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..cli.test_demo import COMMAND, ports
from ..examples.test_examples import program
from ..support import UDPPeer, free_port
from ..test_readme import BLOCKS
from .pages import FENCE, PAGES, ROOT, line_of, name_of

MOST = 100
"""Answers that a talk of two servers may have."""

QUIET = 0.3
"""Seconds without an answer after which it is over. A slow machine may let pass what should fail, never fail a test."""


def shown() -> Iterator[tuple[str, str]]:
    """Each program that we show: where it stands, and its source."""
    for path in (ROOT / "README.md", *PAGES):
        text = path.read_text()
        for block in FENCE.finditer(text):
            if block[1] == "python":
                yield f"{name_of(path)}:{line_of(text, block.start())}", block[2]
    for path in (*sorted((ROOT / "examples").rglob("*.py")), ROOT / "src" / "homing" / "cli" / "demo.py"):
        yield path.name, path.read_text()


PROGRAMS = dict(shown())


def answers(source: str) -> bool:
    """True if a program sends something to where a datagram came from."""
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            if call.func.attr == "reply":
                return True
            if call.func.attr == "MessageUDP" and "address(" in ast.unparse(call):
                return True
    return any(map(_is_answering_function, ast.walk(ast.parse(source))))


def _is_answering_function(node: ast.AST) -> bool:
    """True if it is a function of a service, `@service.udp(...)`, that returns something."""
    return (
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and any(".udp(" in ast.unparse(decorator) for decorator in node.decorator_list)
        and any(isinstance(inner, ast.Return) and inner.value is not None for inner in ast.walk(node))
    )


def guarded(source: str) -> bool:
    return any(isinstance(node, ast.keyword) and node.arg == "reply_guard" for node in ast.walk(ast.parse(source)))


DNS = bytes.fromhex("0100 0001 0000 0000 0000") + b"\3www\7example\0" + bytes.fromhex("0001 0001")
TOLD_APART = {
    "nameserver.py": (b"id", b"id" + DNS, b"no\x81" + DNS[1:]),
    "forwarder.py": (b"id", b"id" + DNS, b"no\x81" + DNS[1:]),
    "ntp.py": (b"12345678", b"\x23" + bytes(39) + b"12345678", b"\x24" + bytes(39) + b"87654321"),
}
"""Programs whose protocol tells answers from questions, by the bit QR of DNS or the mode of NTP, and that answer no
answer. For each a question with its number, and an answer with another one."""


BY_UDP = re.compile(r"listen_udp|create_udp_server|UDPServerOptions|\.udp\(|both=")
"""How a program gets datagrams. A peer of TCP or DTLS has proven its address before it gets an answer."""


ONLY_BY_TCP = {"statsd.py"}
"""Programs that get datagrams too, and answer none of them."""


@pytest.mark.parametrize(
    "where", [where for where, source in PROGRAMS.items() if answers(source) and BY_UDP.search(source)]
)
def test_a_program_that_answers_has_a_guard(where: str) -> None:
    assert where in TOLD_APART or where in ONLY_BY_TCP or guarded(PROGRAMS[where]), (
        f"{where} answers whatever comes: give its server reply_guard=meta.ReplyGuard()"
    )


@pytest.mark.parametrize("where", sorted(TOLD_APART))
async def test_a_program_that_tells_answers_from_questions_answers_no_answer(where: str, peer: UDPPeer) -> None:
    number, question, answer = TOLD_APART[where]
    async with program(f"examples/servers/{where}", "0") as running:
        address = ("127.0.0.1", await running.port())
        peer.send(answer, address)
        assert number in await peer.ask(question, address)


def test_programs_that_answer_are_found() -> None:
    assert sum(map(answers, PROGRAMS.values())) > 20
    assert answers("self.send(batch.id, meta.MessageUDP(None, batch.address(-1), b''))")
    assert answers("@service.udp(port=5)\ndef echo(packet):\n    return packet.data")
    assert not answers("@service.udp(port=5)\ndef sink(packet):\n    return")
    assert not answers("self.send(udp, meta.MessageUDP(None, ('192.0.2.1', 9), b''))")
    assert not guarded("reply_guard = 5")


# --- and it works -----------------------------------------------------------------------------------------


async def talk(peer: UDPPeer, address: tuple[str, int], constant: bytes | None) -> int:
    """Plays another server, which answers whatever comes with the same, or with `constant`: the number of answers until
    nothing more comes, or `MOST` + 1."""
    data, source = await first(peer, address, constant or b"hello")
    for count in range(1, MOST + 1):
        peer.send(data if constant is None else constant, source)
        try:
            async with asyncio.timeout(QUIET):
                data, source = await peer.receive()
        except TimeoutError:
            return count
    return MOST + 1


async def first(peer: UDPPeer, address: tuple[str, int], question: bytes) -> tuple[bytes, tuple[str, int]]:
    """The first answer of a program that is being started."""
    for _ in range(1000):
        peer.send(question, address)
        try:
            async with asyncio.timeout(0.05):
                data, (host, port) = await peer.receive()
                return data, (host, port)
        except TimeoutError:
            continue
    raise AssertionError("no answer")


PEERS = pytest.mark.parametrize("constant", [None, b"1234"], ids=["an echo", "always the same"])


@PEERS
@pytest.mark.parametrize("block", range(3))
async def test_a_program_of_the_readme_ends_the_talk_with_another_server(
    peer: UDPPeer, tmp_path: Path, block: int, constant: bytes | None
) -> None:
    if "numpy" in BLOCKS[block]:
        pytest.importorskip("numpy")
    port = free_port()
    source = tmp_path / "program.py"
    source.write_text(BLOCKS[block].replace("2345", str(port)) + "\n")
    async with program(str(source)):
        assert await talk(peer, ("127.0.0.1", port), constant) <= MOST


@PEERS
@pytest.mark.parametrize("name", ["echo", "service"])
async def test_an_example_ends_the_talk_with_another_server(peer: UDPPeer, name: str, constant: bytes | None) -> None:
    async with program(f"examples/{name}.py", "0") as running:
        assert await talk(peer, ("127.0.0.1", await running.port()), constant) <= MOST


@PEERS
@pytest.mark.parametrize("which", [0, 1])
async def test_the_demo_ends_the_talk_with_another_server(peer: UDPPeer, which: int, constant: bytes | None) -> None:
    async with program(*COMMAND) as running:
        found = await ports(running)
        assert await talk(peer, ("127.0.0.1", found[which]), constant) <= MOST


async def test_a_stranger_that_crashes_the_demo_again_and_again_does_not_end_it(peer: UDPPeer) -> None:
    port = free_port()
    async with program("-m", "homing", "demo", "--port", str(port)) as running:
        await ports(running)
        for number in range(1, 9):
            peer.send(b"crash", ("127.0.0.1", port))
            await running.line_with(f"restarts {number}")
        assert (await first(peer, ("127.0.0.1", port), b"hello"))[0] == b"OK: hello"
