"""In a handler, over a network that loses 30 % of the datagrams, doubles some and holds others back."""

from __future__ import annotations

import asyncio
import dataclasses
import random
import zlib
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.testing import Event, FakeNetwork, run_virtual

from .chunks import check_account, read, written

SERVER = ("10.0.0.1", 12201)
BAD: dict[str, Any] = {
    "loss": 0.3,
    "duplicate": 0.2,
    "reorder": 0.3,
    "delay": (0.001, 0.05),
    "reorder_delay": (0.01, 0.4),
}
TIMEOUT = 1.0
SEEDS = [*range(1, 6), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(6, 51))]


class Collector(act.Actor):
    """Hands what arrives to an assembler or a filter of duplicates, by the clock of the loop."""

    async def init(self, subject: Any, taken: list[Any]) -> None:
        self.subject, self.taken = subject, taken
        self.clock = asyncio.get_running_loop().time
        await meta.listen_udp(self, host=SERVER[0], port=SERVER[1])

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        if isinstance(self.subject, meta.Dedupe):
            if self.subject.fresh(message.data, message.addr, self.clock()):
                self.taken.append((message.addr, bytes(message.data)))
        elif (whole := self.subject.add(message.data, message.addr, self.clock())) is not None:
            self.taken.append((message.addr, whole))

    def handle_inspect(self, sender: gen.PID, *items: str) -> dict[str, Any]:
        return dataclasses.asdict(self.subject.counters)


def collected(subject: Any, sent: list[tuple[str, bytes]], **network: Any) -> tuple[list[Any], list[Event], Any]:
    """What a handler has taken of the datagrams that these hosts sent, what the network did, and an inspection."""
    taken: list[Any] = []
    events: list[Event] = []
    inspected: list[Any] = []

    async def main() -> None:
        with FakeNetwork(trace=events.append, **network) as net:
            async with homing.start_node("test@localhost", gen.NodeOptions(handle_signals=False)) as node:
                pid = await node.spawn(Collector, subject, taken)
                peers = {host: net.socket(host, 9) for host in {host for host, _ in sent}}
                for number, (host, data) in enumerate(sent):
                    peers[host].send(data, SERVER)
                    if number % 5 == 0:
                        await asyncio.sleep(0.004)
                await asyncio.sleep(10)
                inspected.append(await node.inspect(pid))

    run_virtual(main)
    return taken, [event for event in events if event.kind == "delivered" and event.destination == SERVER], inspected[0]


def messages(seed: int) -> dict[tuple[str, int], list[bytes]]:
    """The chunks of 200 messages of four hosts, by host and id."""
    chance = random.Random(seed)
    found = {}
    for number in range(200):
        host, identifier = f"10.0.1.{number % 4}", number // 4
        packed = zlib.compress(b"%d of %s: " % (number, host.encode()) + chance.randbytes(chance.randrange(600)))
        step = chance.choice((len(packed), 300, 100))
        parts = [packed[at : at + step] for at in range(0, len(packed), step)]
        found[host, identifier] = [written(identifier, place, len(parts), part) for place, part in enumerate(parts)]
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_exactly_the_messages_of_which_every_chunk_arrives_in_time_come_out_whole_and_once(seed: int) -> None:
    subject = meta.Assembler(parse=read, timeout=TIMEOUT, decompress="zlib")
    sent = messages(seed)
    order = [(host, data) for (host, _), chunks in sent.items() for data in chunks]
    taken, delivered, inspected = collected(subject, order, seed=seed, **BAD)
    arrived: dict[Any, list[tuple[float, bytes]]] = {}
    for event in delivered:
        arrived.setdefault((event.source[0], event.data[1]), []).append((event.time, event.data))
    expected = []
    for name, chunks in sent.items():
        came = arrived.get(name, [])
        in_time = {data for when, data in came if when < came[0][0] + TIMEOUT}
        if in_time == set(chunks):
            expected.append((name[0], zlib.decompress(b"".join(data[6:] for data in chunks))))
    assert sorted((addr[0], whole) for addr, whole in taken) == sorted(expected)
    assert 20 < len(expected) < 180
    check_account(subject.counters)
    assert (inspected["completed"], inspected["conflicting"]) == (len(taken), 0)
    assert inspected["datagrams"] == len(delivered)


@pytest.mark.parametrize("seed", SEEDS)
def test_each_number_that_arrives_is_handed_on_once_and_the_others_are_counted(seed: int) -> None:
    subject = meta.Dedupe(key=lambda data, addr: int.from_bytes(data, "big"), bits=16, window=1024)
    order = [(f"10.0.1.{number % 4}", ((65_300 + number // 4) % 65_536).to_bytes(2, "big")) for number in range(2000)]
    taken, delivered, inspected = collected(subject, order, seed=seed, **BAD)
    first_of_each = list(dict.fromkeys((event.source, event.data) for event in delivered))
    assert [(addr, data) for addr, data in taken] == first_of_each
    assert len(delivered) > len(taken) > 1000
    assert inspected["duplicates"] == len(delivered) - len(taken)
    assert (inspected["old"], inspected["streams"]) == (0, 4)


def test_over_a_perfect_network_everything_comes_out() -> None:
    subject = meta.Assembler(parse=read, decompress="zlib")
    sent = messages(1)
    taken, _, inspected = collected(subject, [(host, data) for (host, _), chunks in sent.items() for data in chunks])
    assert (len(taken), inspected["completed"], inspected["expired"]) == (200, 200, 0)
