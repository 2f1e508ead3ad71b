"""The nodes of a cluster in an observer: the request `nodes`, metrics, health."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing.observe import Observer, cluster_requests
from homing.observe.health import Judge
from homing.testing import run_virtual

from .clusters import Clusters, info


@pytest.fixture
def clusters(monkeypatch: pytest.MonkeyPatch) -> Clusters:
    return Clusters(monkeypatch)


async def ask(node: homing.Node, what: str, **fields: Any) -> dict[str, Any]:
    return await Observer(node).ask({"what": what, **fields})


async def test_a_node_in_no_cluster_has_no_nodes(node: homing.Node) -> None:
    assert await ask(node, "nodes") == {"cluster": None, "nodes": [], "total": 0, "more": 0}
    assert (await ask(node, "node"))["cluster"] is None
    assert (await ask(node, "metrics"))["cluster"] is None


async def test_the_node_itself_is_first_and_the_others_follow_by_name(node: homing.Node, clusters: Clusters) -> None:
    member = clusters.join(node, tags=("edge",))
    member.infos = [info("c@h"), info("b@h", up=False, since=0.0, rtt=None, undelivered={"mailbox_full": 2})]
    found = await ask(node, "nodes")
    own, b, c = found["nodes"]
    assert (found["cluster"], own["name"], own["own"], own["tags"]) == ("prod", node.name, True, ["edge"])
    assert (b["name"], b["up"], b["uptime"], b["rtt"], b["undelivered"]) == (
        *("b@h", False, None, None),
        {"mailbox_full": 2},
    )
    assert (c["name"], c["up"], c["rtt"], c["own"]) == ("c@h", True, 0.0002, False)
    assert c["uptime"] >= 5
    assert (await ask(node, "node"))["cluster"] == "prod"


async def test_nodes_are_filtered_by_name_and_tag(node: homing.Node, clusters: Clusters) -> None:
    clusters.join(node).infos = [info("b@h", tags=("Edge",)), info("edge@h"), info("c@h")]
    found = await ask(node, "nodes", filter="edge", limit=1)
    assert ([row["name"] for row in found["nodes"]], found["total"], found["more"]) == (["b@h"], 2, 1)


async def test_metrics_have_the_first_peers_by_name_and_count_all(
    node: homing.Node, clusters: Clusters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_requests, "MOST_PEERS", 2)
    clusters.join(node).infos = [info("c@h"), info("a@h", messages_in=7), info("b@h", up=False)]
    found = (await ask(node, "metrics"))["cluster"]
    assert (found["cluster"], found["nodes"]) == ("prod", 3)
    assert [(peer["peer"], peer["up"], peer["messages_in"]) for peer in found["peers"]] == [
        ("a@h", True, 7),
        ("b@h", False, 0),
    ]


# --- health -------------------------------------------------------------------------------------------------


def reasons(clusters: Clusters, times: list[float], meets_at: float = 1e9, **options: Any) -> list[str | None]:
    """The reasons of the check `cluster` at these times; None: there is no such check."""

    async def main() -> list[str | None]:
        async with homing.start_node("n@localhost") as node:
            judge, member = Judge(node), clusters.join(node, **options)
            found: list[str | None] = []
            for before, now in zip([0.0, *times], times, strict=False):
                await asyncio.sleep(now - before)
                member.infos = [info("b@h")] if now == meets_at else []
                checks = (await judge.judge(False))["ready"]["checks"]
                found.append(next((check["reason"] for check in checks if check["name"] == "cluster"), None))
            return found

    return run_virtual(main)


SEED = {"join": ("tcp/10.0.0.1:7447",)}


def test_a_node_that_was_given_addresses_is_not_ready_until_it_has_reached_one(clusters: Clusters) -> None:
    first, then, later = reasons(clusters, [0, 1, 2], meets_at=1, **SEED)
    assert first == "no node of cluster prod is reached yet, by tcp/10.0.0.1:7447"
    assert (then, later) == ("", "")  # also when that node has gone again


def test_the_first_node_of_a_cluster_is_ready_after_ten_seconds(clusters: Clusters) -> None:
    assert [bool(reason) for reason in reasons(clusters, [0, 9, 10, 11], **SEED)] == [True, True, False, False]


def test_a_node_without_addresses_is_ready_at_once(clusters: Clusters) -> None:
    assert reasons(clusters, [0]) == [""]


async def test_a_node_in_no_cluster_has_no_such_check(node: homing.Node) -> None:
    checks = (await Judge(node).judge(False))["ready"]["checks"]
    assert "cluster" not in [check["name"] for check in checks]
