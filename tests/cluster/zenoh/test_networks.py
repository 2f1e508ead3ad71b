"""Networks that divide, with real programs in namespaces: nodes are down on both sides, and join again."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ...faults.networks import Network, linked
from ...meta.servers import needs_namespaces
from .nodes import Program, Programs

pytestmark = [needs_namespaces, pytest.mark.slow]
A, B = "tcp/10.77.0.1:7447", "tcp/10.77.0.2:7447"


@pytest.fixture
def cable() -> Iterator[list[Network]]:
    with linked() as networks:
        yield networks


async def both(programs: Programs, cable: list[Network], *, mutual: bool) -> tuple[Program, Program]:
    """Two nodes at the ends of a cable. mutual: each dials the other."""
    secret = {"insecure": True}
    first = programs.start("a@h", run=cable[0].do, listen=[A], join=[B] if mutual else [], **secret)
    second = programs.start("b@h", run=cable[1].do, listen=[B], join=[A], **secret)
    await first.event("up", node="b@h")
    await second.event("up", node="a@h")
    return first, second


async def cut_and_heal(
    first: Program, second: Program, cut: Callable[[], Any], heal: Callable[[], Any], seconds: float
) -> None:
    """Both sides are down after the cut, and up again after the heal, within 10 s and by one connection."""
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, cut)
    for program, other in ((first, "b@h"), (second, "a@h")):
        await program.event("down", node=other)
    await asyncio.sleep(seconds)
    healed = loop.time()
    await loop.run_in_executor(None, heal)
    for program, other in ((first, "b@h"), (second, "a@h")):
        await program.event("up", node=other)
    took = loop.time() - healed
    print(f"figure: joined again {took:.1f} s after healing")
    assert took < 15  # 0.2 to 3 s on an idle machine
    first.tell("put", to="b@h", lane=2, text="through")
    await second.event("batch", text="through")
    second.tell("put", to="a@h", lane=2, text="back")
    await first.event("batch", text="back")
    await asyncio.sleep(3)  # longer than the lease: no connection of before ends now
    notices = [[what for what, _ in program.since(0)] for program in (first, second)]
    assert notices == [["up", "down", "up"]] * 2


@pytest.mark.parametrize("mutual", [False, True], ids=["one dials", "both dial"])
async def test_case_41_after_a_link_was_down_the_nodes_join_again(
    programs: Programs, cable: list[Network], mutual: bool
) -> None:
    first, second = await both(programs, cable, mutual=mutual)
    down, up = (lambda: cable[0].run("ip link set va down")), (lambda: cable[0].run("ip link set va up"))
    await cut_and_heal(first, second, down, up, 4)


@pytest.mark.skipif(shutil.which("iptables") is None, reason="iptables is not installed")
@pytest.mark.parametrize("mutual", [False, True], ids=["one dials", "both dial"])
async def test_case_41_after_one_direction_lost_all_packets_the_nodes_join_again(
    programs: Programs, cable: list[Network], mutual: bool
) -> None:
    first, second = await both(programs, cable, mutual=mutual)
    rule = "OUTPUT -d 10.77.0.2 -j DROP"
    await cut_and_heal(
        first,
        second,
        lambda: cable[0].run(f"iptables -A {rule}"),
        lambda: cable[0].run(f"iptables -D {rule}"),
        4,
    )


async def test_case_41_after_an_address_was_away_the_nodes_join_again(programs: Programs, cable: list[Network]) -> None:
    first, second = await both(programs, cable, mutual=True)
    await cut_and_heal(
        first,
        second,
        lambda: cable[0].run("ip addr del 10.77.0.1/24 dev va"),
        lambda: cable[0].run("ip addr add 10.77.0.1/24 dev va"),
        4,
    )


@pytest.mark.skipif(shutil.which("iptables") is None, reason="iptables is not installed")
async def test_case_41_a_network_that_loses_one_packet_in_a_hundred_costs_no_batch_and_no_link(
    programs: Programs, cable: list[Network]
) -> None:
    first, second = await both(programs, cable, mutual=True)
    for network in cable:
        network.run("iptables -A INPUT -m statistic --mode random --probability 0.01 -j DROP")
    for program, to in ((first, "b@h"), (second, "a@h")):
        program.tell("stream", to=to, rate=200, size=20_000, window=16)
    streams: list[dict[str, Any]] = []

    async def report() -> bool:
        streams[:] = [(await second.report())["a@h"], (await first.report())["b@h"]]
        return min(stream["count"] for stream in streams) >= 1000

    await asyncio.sleep(2)
    while not await report():
        await asyncio.sleep(1)
    resent = cable[0].counters("Tcp")["RetransSegs"] + cable[1].counters("Tcp")["RetransSegs"]
    print(f"figure: with one packet in a hundred lost, {resent} of them sent again: {streams}")
    assert resent > 0
    assert [stream["missing"] for stream in streams] == [0, 0]
    assert [[what for what, _ in program.since(0)] for program in (first, second)] == [["up"], ["up"]]
