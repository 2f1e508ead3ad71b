"""The example of a cluster answers while one of its nodes is killed, and again when that is back."""

from __future__ import annotations

import os
import secrets
import signal
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from examples.cluster import ask, service
from hypothesis import given
from hypothesis import strategies as st

from ..support import UDPPeer, free_port
from .test_examples import Program, program, terminate

pytest.importorskip("zenoh", reason="zenoh is not installed (pip install 'homing[cluster]')")

NAMES = st.lists(st.binary(min_size=1, max_size=63), min_size=1, max_size=3)


async def answers(peer: UDPPeer, port: int) -> list[str]:
    """Who answers four queries, one after the other."""
    found = []
    for _ in range(4):
        query = ask.query()
        found.append(ask.who(query, await peer.ask(query, ("127.0.0.1", port))))
    return found


@asynccontextmanager
async def in_order(running: Program) -> AsyncIterator[None]:
    """Ends the program so that it ends its nodes, also when the test fails."""
    try:
        yield
    finally:
        await terminate(running)


async def started(running: Program, name: str) -> int:
    """The number of the process of a node."""
    return int((await running.line_with(f"{name}: started")).split()[-1])


async def test_two_workers_answer_and_one_goes_on_alone_while_the_other_is_killed(
    peer: UDPPeer, tmp_path: Path
) -> None:
    port, runtime = free_port(), tmp_path / "run"
    runtime.mkdir(mode=0o700)
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime)}
    async with program("-m", "examples.cluster", str(port), env=environment) as running, in_order(running):
        processes = {name: await started(running, name) for name in ("edge", "worker-1", "worker-2")}
        await running.line_with("2 to choose from")
        assert sorted(await answers(peer, port)) == ["worker-1", "worker-1", "worker-2", "worker-2"]

        os.kill(processes["worker-1"], signal.SIGKILL)
        await running.line_with("worker-1@localhost is gone: 1 to choose from")
        assert await answers(peer, port) == ["worker-2"] * 4
        await running.line_with("worker-1@localhost came: 2 to choose from")
        assert set(await answers(peer, port)) == {"worker-1", "worker-2"}

        os.kill(processes["edge"], signal.SIGKILL)
        await running.line_with("2 to choose from")  # of the edge that was started in its place
        assert set(await answers(peer, port)) == {"worker-1", "worker-2"}
    assert running.process.returncode == 0
    with pytest.raises(ProcessLookupError):
        os.kill(processes["worker-2"], 0)


def test_an_edge_without_workers_says_that_it_failed() -> None:
    query = ask.query()
    assert ask.who(query, service.reply_to(query, service.SERVER_FAILED)) == "server failure"


@given(data=st.binary(max_size=80))
def test_no_datagram_is_answered_that_is_no_query(data: bytes) -> None:
    try:
        reply = service.reply_to(data, service.NO_ERROR, "text")
    except ValueError:
        return
    assert reply[:2] == data[:2]
    with pytest.raises(ValueError, match="no DNS query"):
        service.reply_to(reply, service.NO_ERROR, "text")


@given(labels=NAMES, kind=st.sampled_from([service.TXT, 1, 28]), more=st.binary(max_size=30))
def test_a_query_is_answered_with_its_question_and_a_text_if_it_asks_for_texts(
    labels: list[bytes], kind: int, more: bytes
) -> None:
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    question = name + struct.pack("!2H", kind, service.IN)
    number = secrets.token_bytes(2)
    reply = service.reply_to(
        number + struct.pack("!5H", 0x0100, 1, 0, 0, 0) + question + more, service.NO_ERROR, "text"
    )
    assert reply.startswith(number + struct.pack("!5H", 0x8500, 1, kind == service.TXT, 0, 0) + question)
    assert reply.endswith(b"\4text") == (kind == service.TXT)
