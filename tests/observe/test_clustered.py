"""The request `cluster`: other requests, answered by all nodes of a cluster."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import homing
from homing import act, gen
from homing.observe import Observer, RequestRefused, answer_cluster, clustered

from .clusters import Clusters

TABLES = ("processes", "sockets", "pools", "routers", "supervisors", "applications", "events", "nodes")


@pytest.fixture
def clusters(monkeypatch: pytest.MonkeyPatch) -> Clusters:
    return Clusters(monkeypatch)


@pytest.fixture
async def nodes(clusters: Clusters) -> AsyncIterator[list[homing.Node]]:
    """Two nodes, each with a process `worker`."""
    async with clusters.running("a@h", "b@h") as nodes:
        for node in nodes:
            await node.spawn(act.Actor, name="worker")
        yield nodes


async def ask(node: homing.Node, what: str, **fields: Any) -> dict[str, Any]:
    return await Observer(node).ask({"what": "cluster", "ask": {"what": what, **fields}})


async def test_the_processes_of_all_nodes_are_one_table(nodes: list[homing.Node]) -> None:
    found = await ask(nodes[0], "processes", sort="name", filter="worker")
    assert [(row["node"], row["name"]) for row in found["processes"]] == [("a@h", "worker"), ("b@h", "worker")]
    assert (found["total"], found["missing"]) == (2, {})


async def test_the_limit_is_that_of_the_whole_table(nodes: list[homing.Node]) -> None:
    found = await ask(nodes[0], "processes", filter="worker", limit=1)
    assert (len(found["processes"]), found["total"], found["more"]) == (1, 2, 1)


@pytest.mark.parametrize("what", TABLES)
async def test_every_table_can_be_asked_for(nodes: list[homing.Node], what: str) -> None:
    assert (await ask(nodes[0], what))["missing"] == {}


async def test_the_tree_and_the_counters_are_of_all_nodes(nodes: list[homing.Node]) -> None:
    tree = await ask(nodes[0], "tree")
    assert sorted({row["node"] for row in tree["processes"]}) == ["a@h", "b@h"]
    record = await ask(nodes[0], "node")
    assert (record["name"], [one["name"] for one in record["nodes"]]) == ("prod", ["a@h", "b@h"])


async def test_one_process_is_asked_for_where_it_is(nodes: list[homing.Node]) -> None:
    there = str(nodes[1].process_info("worker").pid)
    assert (await ask(nodes[0], "process", target=there))["process"]["pid"] == there
    assert (await ask(nodes[0], "process", target="worker"))["process"]["node"] == "a@h"
    with pytest.raises(RequestRefused, match="the cluster has no node c@h"):
        await ask(nodes[0], "process", target="<c@h.1001>")


async def test_a_watch_shows_the_tables_of_all_nodes(nodes: list[homing.Node]) -> None:
    async for item in Observer(nodes[0]).stream({"what": "watch", "cluster": True, "processes": {"filter": "worker"}}):
        assert [row["node"] for row in item["snapshot"]["processes"]["rows"].values()] == ["a@h", "b@h"]
        break


# --- nodes that do not answer -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (gen.CallTimeout(gen.ProcessID(clustered.NAME, "b@h"), 2.0), "it has not answered within 2 s"),
        (gen.NodeDown("b@h", "b@h", "it was killed"), "it was killed"),
        (gen.ProcessUnknown("homing.observer"), "it lets no other node look into it"),
        (gen.RemoteError("ProcessUnknown", "no such name"), "it lets no other node look into it"),
        ("too many rows", "too many rows"),
        (b"garbage", "its answer is not understood"),
        (b'{"processes": [{"pid": 1}], "total": 1, "more": 0}', "its answer is not understood"),
        ({"processes": []}, "its answer is not understood"),
    ],
)
async def test_a_node_without_an_answer_is_named_with_the_reason(
    clusters: Clusters, nodes: list[homing.Node], answer: Any, why: str
) -> None:
    clusters.answers["b@h"] = answer
    found = await ask(nodes[0], "processes", filter="worker")
    assert [row["node"] for row in found["processes"]] == ["a@h"]
    assert why in found["missing"]["b@h"]


async def test_a_node_that_does_not_let_others_look_into_it_is_named(clusters: Clusters) -> None:
    async with clusters.running("a@h", "b@h", inspect=False) as nodes:
        found = await ask(nodes[0], "node")
        assert "--cluster-inspect" in found["missing"]["b@h"]
        with pytest.raises(gen.NotAllowed, match="inspect=True"):
            await answer_cluster(nodes[0])


async def test_a_node_that_is_not_connected_is_not_waited_for(clusters: Clusters, nodes: list[homing.Node]) -> None:
    member = clusters.members["a@h"]
    member.infos = [gen.RemoteNodeInfo(**{**_fields(member.infos[0]), "up": False})]
    assert (await ask(nodes[0], "node"))["missing"] == {"b@h": "it is not connected"}


def _fields(info: gen.RemoteNodeInfo) -> dict[str, Any]:
    return {name: getattr(info, name) for name in info.__dataclass_fields__}


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["kill", "send", "drain", "log_level", "reload", "cluster", "metrics", 7, None])
async def test_other_nodes_read_only(nodes: list[homing.Node], what: Any) -> None:
    with pytest.raises(RequestRefused, match="give one of node"):
        await ask(nodes[0], what)
    answer = await nodes[1].call(clustered.NAME, json.dumps({"what": what, "target": "worker"}))
    assert "give one of node" in answer
    assert nodes[1].process_info("worker").state is not gen.ProcessState.TERMINATED


async def test_a_node_in_no_cluster_says_so(node: homing.Node, clusters: Clusters) -> None:
    with pytest.raises(RequestRefused, match="is in no cluster"):
        await ask(node, "processes")
    with pytest.raises(gen.NotAllowed, match="is in no cluster"):
        await answer_cluster(node)


@pytest.mark.parametrize("request_", ["", "[]", "{", "{}", '{"what": 1}', "[" * 5000, b"{}", None, 7])
async def test_garbage_from_another_node_is_answered_and_harms_nothing(nodes: list[homing.Node], request_: Any) -> None:
    assert type(await nodes[1].call(clustered.NAME, request_)) is str
    assert (await ask(nodes[0], "node"))["missing"] == {}


async def test_an_answer_that_no_message_can_hold_asks_for_fewer_rows(clusters: Clusters) -> None:
    async with homing.start_node("a@h") as node:
        clusters.join(node, inspect=True, max_message=1024 + 100)
        await answer_cluster(node)
        assert "ask for fewer rows" in await node.call(clustered.NAME, '{"what": "node"}')


@given(st.binary(max_size=200) | st.text(max_size=50) | st.none() | st.integers())
def test_an_answer_of_another_node_is_understood_or_refused(found: Any) -> None:
    for what in clustered.ANSWERS:
        with pytest.raises(RequestRefused):
            clustered.parse_untrusted(what, found)
