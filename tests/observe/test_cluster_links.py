"""An observer that asks other nodes over links, through a network in memory and in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from homing.cluster import MemoryNetwork
from homing.observe import Observer, answer_cluster
from homing.testing import run_virtual

from ..cluster.nodes import Member, members

ASK = {"what": "cluster", "ask": {"what": "processes", "filter": "keeper"}}
NAMES = ("a", "b", "c")


def found_when(break_it: Any, **options: Any) -> tuple[list[str], dict[str, str], float]:
    """Asks three nodes after `break_it(network, members)`. Returns the nodes in the answer, why others are missing, and
    the seconds that it took."""

    async def main() -> tuple[list[str], dict[str, str], float]:
        network = MemoryNetwork()
        async with members(*NAMES, network=network, **options) as nodes:
            for one in nodes:
                if one.cluster.options.inspect:
                    await answer_cluster(one.node)
            break_it(network, nodes)
            began = asyncio.get_running_loop().time()
            found = await Observer(nodes[0].node).ask(ASK)
            seconds = asyncio.get_running_loop().time() - began
            network.heal()
            network.thaw("b@localhost")
            return [row["node"] for row in found["processes"]], found["missing"], seconds

    return run_virtual(main)


def nothing(network: MemoryNetwork, nodes: list[Member]) -> None:
    """Breaks nothing."""


def test_all_nodes_answer_at_once() -> None:
    names, missing, seconds = found_when(nothing, inspect=True)
    assert (names, missing) == (["a@localhost", "b@localhost", "c@localhost"], {})
    assert seconds < 0.1


@pytest.mark.parametrize(
    "break_it",
    [
        lambda network, nodes: network.freeze("b@localhost"),
        lambda network, nodes: network.partition("a@localhost", "b@localhost"),
    ],
)
def test_a_node_that_is_not_reached_delays_the_answer_by_two_seconds_at_most(break_it: Any) -> None:
    names, missing, seconds = found_when(break_it, inspect=True)
    assert (names, list(missing)) == (["a@localhost", "c@localhost"], ["b@localhost"])
    assert seconds <= 2.01


def test_nodes_that_do_not_allow_it_are_named_with_what_to_do() -> None:
    names, missing, _ = found_when(nothing)
    assert names == ["a@localhost"]
    assert all("--cluster-inspect" in why for why in missing.values())
    assert sorted(missing) == ["b@localhost", "c@localhost"]


def test_the_connections_are_counted() -> None:
    async def main() -> dict[str, Any]:
        async with members("a", "b", inspect=True) as nodes:
            await answer_cluster(nodes[1].node)
            observer = Observer(nodes[0].node)
            await observer.ask(ASK)
            return await observer.ask({"what": "nodes"})

    own, other = run_virtual(main)["nodes"]
    assert (own["name"], own["own"], other["name"], other["up"]) == ("a@localhost", True, "b@localhost", True)
    assert other["bytes_out"] > 0
    assert other["bytes_in"] > 0
