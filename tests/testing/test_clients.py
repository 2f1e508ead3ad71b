"""UDP clients run on a fake network unchanged, with their requests, retries and refusals."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.testing import Event, FakeNetwork, run_virtual

from .networks import SERVER, Echo, conserved

QUESTIONS = 40


def number_of(data: Any) -> bytes:
    return bytes(data).partition(b":")[0]


class Asks(act.Actor):
    """Asks many questions at once through a client, and keeps the answers, or why there is none."""

    async def init(self, outcomes: dict[int, Any], options: dict[str, Any]) -> None:
        self.outcomes = outcomes
        given: dict[str, Any] = {"host": SERVER[0], "port": SERVER[1], "local_host": "10.0.0.2", "key": number_of}
        self.client = meta.create_udp_client(meta.UDPClientOptions(**{**given, **options}))
        self.udp = await self.spawn_meta(self.client)

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(QUESTIONS):
                group.create_task(self.ask(number))

    async def ask(self, number: int) -> None:
        try:
            reply = await self.call(self.udp, b"%d:question" % number, timeout=3600)
            self.outcomes[number] = reply.data
        except gen.HomingError as error:
            self.outcomes[number] = error


def ask_all(options: dict[str, Any], *, served: bool = True, **network: Any) -> tuple[dict[int, Any], float, list[str]]:
    """The outcomes of all questions, when the last one came, and all that happened on the network."""
    outcomes: dict[int, Any] = {}
    events: list[Event] = []

    async def main() -> float:
        loop = asyncio.get_running_loop()
        with FakeNetwork(trace=events.append, **network) as made:
            async with homing.start_node("test@localhost") as node:
                if served:
                    await node.spawn(Echo)
                node.send(await node.spawn(Asks, outcomes, options), "ask")
                while len(outcomes) < QUESTIONS:
                    await asyncio.sleep(0.01)
                ended = loop.time()
                await asyncio.sleep(60)
                assert conserved(made)
                return ended

    return outcomes, run_virtual(main), [str(event) for event in events]


BAD: dict[str, Any] = {"loss": 0.3, "duplicate": 0.1, "reorder": 0.2, "delay": (0.001, 0.05)}
ANSWERS = {number: b"%d:question" % number for number in range(QUESTIONS)}


@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("seed", range(1, 11))
def test_over_a_line_that_loses_30_percent_each_request_gets_its_own_answer(seed: int, connected: bool) -> None:
    outcomes, _, _ = ask_all({"retries": 12, "connected": connected}, seed=seed, **BAD)
    assert outcomes == ANSWERS


def test_a_client_s_run_is_the_same_each_time() -> None:
    runs = [ask_all({"retries": 12, "random": random.Random(1).random}, seed=1, **BAD) for _ in range(2)]
    assert runs[0] == runs[1]


def test_where_nobody_has_the_port_requests_fail_at_once() -> None:
    outcomes, ended, _ = ask_all({}, served=False, seed=1)
    assert {type(outcome) for outcome in outcomes.values()} == {gen.PeerRefused}
    assert ended < 0.5


@pytest.mark.parametrize("lost", ["refuse", "loss"])
def test_where_nobody_is_heard_of_requests_time_out_at_their_time(lost: str) -> None:
    network: dict[str, Any] = {"refuse": False} if lost == "refuse" else {"loss": 1.0}
    outcomes, ended, _ = ask_all({"jitter": 0.0}, served=False, seed=1, **network)
    assert {type(outcome) for outcome in outcomes.values()} == {gen.RequestTimeout}
    assert ended == pytest.approx(3.5, abs=0.02)
