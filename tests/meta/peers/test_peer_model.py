"""The table of peers beside a plain model: random arrivals, silence, proofs, moves, crashes and evictions."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import homing
from homing import gen, meta
from homing.testing import FakeNetwork, Peer, run_virtual

from ...support import Probe, examples
from .players import Player, facts_of, open_peers, ups_and_downs

pytestmark = [pytest.mark.backends("native")]

SERVER = ("10.0.0.1", 53)
IDLE = 10.25
"""Never a sum of the times that the test sleeps: an idle peer may live a little longer."""
MOST, MOST_UNPROVEN, QUEUE = 4, 2, 3


@dataclass
class ModelPeer:
    """What the model knows of one peer."""

    address: Any
    last: float
    proven: bool = False
    handled: list[bytes] = field(default_factory=list)


class Model:
    """A table as a list, the most recently used last; every rule is a loop over it."""

    def __init__(self) -> None:
        self.peers: dict[Any, ModelPeer] = {}
        self.counts = dict.fromkeys(
            ("received", "dropped_refused", "dropped_full", "down_idle", "down_evicted", "down_normal", "restarts"), 0
        )
        self.events: list[Any] = []
        self.handled: dict[Any, list[bytes]] = {}

    def down(self, key: Any, way: str, name: str) -> None:
        peer = self.peers.pop(key)
        self.counts[way] += 1
        self.events.append((name, peer.address))

    def unproven(self) -> list[Any]:
        """The unproven peers, the least recently used first."""
        return sorted(
            (key for key, peer in self.peers.items() if not peer.proven), key=lambda key: self.peers[key].last
        )

    def sleep(self, now: float) -> None:
        for key, peer in sorted(self.peers.items(), key=lambda item: item[1].last):
            if peer.last + IDLE <= now:
                self.down(key, "down_idle", "PeerIdle")

    def arrive(self, key: Any, address: Any, data: bytes, now: float) -> None:
        self.counts["received"] += 1
        peer = self.peers.get(key)
        if peer is None:
            if data.startswith(b"spam"):
                self.counts["dropped_refused"] += 1
                return
            unproven = self.unproven()
            if unproven and (len(unproven) >= MOST_UNPROVEN or len(self.peers) >= MOST):
                self.down(unproven[0], "down_evicted", "PeerEvicted")
            if len(self.peers) >= MOST:
                self.counts["dropped_full"] += 1
                return
            peer = self.peers[key] = ModelPeer(address, now)
            self.events.append(("up", address))
        peer.last = now
        self.handled.setdefault(key, []).append(data)
        match data.split()[0]:
            case b"prove":
                peer.proven = True
            case b"bye":
                self.down(key, "down_normal", "TerminateNormal")
            case b"crash":
                self.counts["restarts"] += 1
            case b"move":
                peer.address = address


kinds = st.sampled_from([b"hello", b"hello", b"hello", b"prove", b"bye", b"crash", b"spam", b"quiet", b"move"])
steps = st.lists(
    st.one_of(
        st.tuples(kinds, st.integers(0, 7), st.integers(0, 1)),
        st.tuples(st.just(b"sleep"), st.sampled_from([0.5, 4.0, 11.5, 30.0]), st.just(0)),
    ),
    max_size=60,
)


def session_of(message: meta.MessageUDP) -> bytes:
    """The second word."""
    return bytes(message.data).split()[1]


@pytest.mark.once
@pytest.mark.thorough
@settings(max_examples=examples(30, 300))
@given(steps=steps)
def test_the_table_does_what_the_model_does(steps: list[Any]) -> None:
    run_virtual(follow, steps)


async def follow(steps: list[Any]) -> None:
    with FakeNetwork(seed=1) as network:
        options = gen.NodeOptions(handle_signals=False, slow_callback_seconds=None)
        async with homing.start_node("test@localhost", options) as node:
            probe = await Probe.start(node)
            told: list[tuple[Any, bytes]] = []
            _, alias = await open_peers(
                probe,
                worker_args=(told,),
                idle=IDLE,
                most=MOST,
                unproven_share=MOST_UNPROVEN / MOST,
                notify=probe.pid,
                accept=lambda message: not message.data.startswith(b"spam"),
                key=session_of,
                intensity=1000,
                server={"host": SERVER[0], "port": SERVER[1]},
            )
            sockets = {
                (number, side): network.socket(f"10.0.{side}.9", 1000 + number)
                for number in range(8)
                for side in (0, 1)
            }
            model, events = Model(), list[Any]()
            loop = asyncio.get_running_loop()
            for count, (kind, number, side) in enumerate(steps):
                await asyncio.sleep(0.001)  # so that no two peers are used at the same time
                if kind == b"sleep":
                    await asyncio.sleep(number)
                    model.sleep(loop.time())
                else:
                    sock, data = sockets[number, side], b"%b %d %d" % (kind, number, count)
                    sock.send(data, SERVER)
                    model.arrive(b"%d" % number, sock.address, data, loop.time())
                await settle(sockets.values())
                events += ups_and_downs(probe)  # now, as a peer may move later
                facts = await facts_of(probe, alias)
                assert {name: facts[name] for name in model.counts} == model.counts
                assert (facts["peers"], facts["unproven"]) == (len(model.peers), len(model.unproven()))
                assert facts["received"] == facts["forwarded"] + sum(
                    number for name, number in facts.items() if name.startswith("dropped_") and name != "dropped_ended"
                )
                assert facts["forwarded"] == len(told) + facts["dropped_ended"]
            assert events == model.events
            by_key: dict[Any, list[bytes]] = {}
            for _, data in told:
                by_key.setdefault(data.split()[1], []).append(data)
            assert by_key == model.handled


async def settle(sockets: Any) -> None:
    """Lets everything that was sent be handled, and drops the answers."""
    await asyncio.sleep(0.001)
    for sock in sockets:
        assert isinstance(sock, Peer)
        sock.waiting()


@pytest.mark.once
@pytest.mark.thorough
@settings(max_examples=examples(20, 200))
@given(
    burst=st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from([b"hello", b"quiet", b"crash", b"bye", b"prove"])), max_size=80
    ),
    preserve=st.booleans(),
)
def test_each_datagram_of_a_burst_is_handled_in_order_or_counted(
    burst: list[tuple[int, bytes]], preserve: bool
) -> None:
    run_virtual(send_burst, burst, preserve)


async def send_burst(burst: list[tuple[int, bytes]], preserve: bool) -> None:
    class Waits(Player):
        async def handle_message(self, sender: Any, message: Any) -> None:  # type: ignore[override]
            await asyncio.sleep(0.01)
            super().handle_message(sender, message)

    with FakeNetwork(seed=1) as network:
        options = gen.NodeOptions(handle_signals=False, slow_callback_seconds=None)
        async with homing.start_node("test@localhost", options) as node:
            probe = await Probe.start(node)
            told: list[tuple[Any, bytes]] = []
            server, alias = await open_peers(
                probe,
                Waits,
                worker_args=(told,),
                most=MOST,
                queue=QUEUE,
                worker_options=gen.ProcessOptions(preserve_mailbox=preserve),
                server={"host": SERVER[0], "port": SERVER[1]},
            )
            sockets = [network.socket("10.0.0.9", 1000 + number) for number in range(6)]
            for count, (number, kind) in enumerate(burst):
                sockets[number].send(b"%b %d" % (kind, count), SERVER)
                if count % 7 == 0:
                    await asyncio.sleep(0.005)
            await asyncio.sleep(100)
            facts = await facts_of(probe, alias)
            assert facts["received"] == len(burst)
            assert facts["forwarded"] == len(told) + facts["dropped_ended"]
            dropped = sum(number for name, number in facts.items() if name.startswith("dropped_"))
            assert len(told) + dropped == len(burst)
            statistics = server.statistics()
            assert (statistics.delivered, statistics.dropped_newest) == (len(told), dropped)
            for sock in sockets:
                counts = [int(data.split()[1]) for addr, data in told if addr == sock.address]
                assert counts == sorted(counts), "the order of one peer"
