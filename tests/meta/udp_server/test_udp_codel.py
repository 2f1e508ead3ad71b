"""CoDel: datagrams are dropped where all have waited too long for a time, as RFC 8289 has it."""

from __future__ import annotations

import asyncio
from collections import deque
from math import sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import homing
from homing import act, gen, meta
from homing.meta.udp.codel import Control
from homing.testing import FakeNetwork, run_virtual

from ...faults.figures import figure
from ...support import Probe
from ..servers import balanced, open_server


class Model:
    """The pseudocode of RFC 8289, section 5, on a queue of arrival times."""

    def __init__(self, target: float, interval: float) -> None:
        self.target, self.interval = target, interval
        self.queue: deque[float] = deque()
        self.first_above = self.drop_next = 0.0
        self.count = self.lastcount = 0
        self.dropping = False
        self.dropped: list[float] = []

    def dodequeue(self, now: float) -> tuple[float | None, bool]:
        if not self.queue:
            self.first_above = 0.0
            return None, False
        packet = self.queue.popleft()
        if now - packet < self.target or not self.queue:
            self.first_above = 0.0
        elif self.first_above == 0.0:
            self.first_above = now + self.interval
        else:
            return packet, now >= self.first_above
        return packet, False

    def control_law(self, time: float) -> float:
        return time + self.interval / sqrt(self.count)

    def dequeue(self, now: float) -> float | None:
        packet, ok = self.dodequeue(now)
        if self.dropping:
            if not ok:
                self.dropping = False
            while packet is not None and now >= self.drop_next and self.dropping:
                self.dropped.append(packet)
                self.count += 1
                packet, ok = self.dodequeue(now)
                if not ok:
                    self.dropping = False
                else:
                    self.drop_next = self.control_law(self.drop_next)
        elif ok and packet is not None:
            self.dropped.append(packet)
            packet, _ = self.dodequeue(now)
            self.dropping = True
            delta = self.count - self.lastcount
            recent = now - self.drop_next < 16 * self.interval
            self.count = delta if delta > 1 and recent else 1
            self.drop_next = self.control_law(now)
            self.lastcount = self.count
        return packet


def by_control(arrivals: list[float], service: float) -> list[float]:
    """The arrivals of the datagrams that are dropped, with a handler that takes `service` for each."""
    control = Control(meta.CoDel(target=0.005, interval=0.1))
    waiting = deque(arrivals)
    dropped, now = [], 0.0
    while waiting:
        now = max(now, waiting[0])
        arrived = waiting.popleft()
        behind = bool(waiting) and waiting[0] <= now
        if control.drops(now - arrived, now, not behind):
            dropped.append(arrived)
        else:
            now += service
    return dropped


def by_model(arrivals: list[float], service: float) -> list[float]:
    model = Model(0.005, 0.1)
    coming = deque(arrivals)
    now = 0.0
    while coming or model.queue:
        if not model.queue:
            now = max(now, coming[0])
        while coming and coming[0] <= now:
            model.queue.append(coming.popleft())
        if model.dequeue(now) is not None:
            now += service
    return model.dropped


@given(st.lists(st.floats(0.0001, 0.004), min_size=50, max_size=400), st.floats(0.0001, 0.004))
def test_it_drops_about_as_many_as_the_pseudocode_of_the_rfc(gaps: list[float], service: float) -> None:
    """Where the RFC drops several at one moment, or one as it begins, the first of them is looked at a second time."""
    time, arrivals = 0.0, []
    for gap in gaps:
        time += gap
        arrivals.append(time)
    dropped, wanted = by_control(arrivals, service), by_model(arrivals, service)
    assert dropped[:1] == wanted[:1]
    assert abs(len(dropped) - len(wanted)) <= 1 + len(wanted) // 5


def test_a_burst_passes_and_a_queue_that_stands_is_shortened() -> None:
    assert by_control([0.0] * 90, 0.001) == []
    standing = [number * 0.001 for number in range(3000)]
    dropped = by_control(standing, 0.0012)
    assert len(dropped) > 200
    assert dropped == sorted(set(dropped))


class Steady(act.Actor):
    """Takes 1.2 ms for each datagram, and notes how long it had waited."""

    def init(self, waited: list[float]) -> None:
        self.waited = waited

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.waited.append(asyncio.get_running_loop().time() - message.info.timestamp / 1e9)
        await asyncio.sleep(0.0012)


@pytest.mark.parametrize("codel", [None, meta.CoDel()])
def test_a_server_under_a_load_that_is_too_high_keeps_its_queue_short(codel: meta.CoDel | None) -> None:
    waited: list[float] = []

    async def main() -> meta.Ledger:
        with FakeNetwork(seed=1) as network:
            async with homing.start_node("test@localhost", gen.NodeOptions(handle_signals=False)) as node:
                await node.spawn(Steady, waited, name="steady")
                probe = await Probe.start(node)
                options = {"receive_timestamp": True, "high_water_seconds": None, "receive_buffer": 1 << 22}
                server, alias = await open_server(probe, process="steady", codel=codel, **options)
                peer = network.socket()
                for _ in range(4000):
                    peer.send(b"x", server.local_address)
                    await asyncio.sleep(0.001)
                await asyncio.sleep(2)
                facts = await node.inspect_meta(alias, "dropped_codel")
                assert facts["dropped_codel"] == balanced(server).dropped["codel"]
                return balanced(server)

    ledger = run_virtual(main)
    assert ledger.received == 4000
    assert ledger.delivered == len(waited) == 4000 - ledger.dropped["codel"]
    if codel is None:
        assert ledger.dropped["codel"] == 0
        assert max(waited) > 0.5
    else:
        assert 200 < ledger.dropped["codel"] < 1200
        assert max(waited) < 0.4
    what = "without" if codel is None else "with"
    figure(56, f"longest wait, in ms, under a load that is too high, {what} codel", round(1000 * max(waited)))


@pytest.mark.parametrize("options", [{"target": 0.2}, {"target": 0}, {"interval": -1}])
def test_times_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(gen.BadOption):
        meta.CoDel(**options)


def test_codel_is_a_codel() -> None:
    with pytest.raises(gen.BadOption, match="codel"):
        meta.UDPServerOptions(codel=0.005)  # type: ignore[arg-type]
