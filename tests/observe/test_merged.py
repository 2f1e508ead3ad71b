"""Several nodes as one: their answers, merged; and a node that does not answer, named."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import Any

import pytest

import homing
from homing import act, gen
from homing.observe import RequestRefused, open_control
from homing.observe.control import remote
from homing.observe.control.server import listen
from homing.observe.merged import MergedObserver
from homing.observe.merging import merge

from ..support import eventually

NAMES = ("shop-1@h", "shop-2@h")


@pytest.fixture
async def nodes(runtime: Path) -> AsyncIterator[list[homing.Node]]:
    """Two nodes; each has a process `worker`, and the first has one more."""
    async with AsyncExitStack() as stack:
        started = []
        for name in NAMES:
            node = await stack.enter_async_context(homing.start_node(name, gen.NodeOptions(handle_signals=False)))
            await node.spawn(act.Actor, name="worker")
            await open_control(node, allow=True)
            started.append(node)
        await started[0].spawn(act.Actor, name="single")
        yield started


@pytest.fixture
def merged() -> MergedObserver:
    return MergedObserver("shop@h", NAMES, allow=True)


async def test_counters_of_the_nodes_are_summed(nodes: list[homing.Node], merged: MergedObserver) -> None:
    found = await merged.ask({"what": "node"})
    assert (found["name"], found["state"], found["processes"], found["missing"]) == ("shop@h", "running", 3, {})
    assert [(record["name"], record["processes"]) for record in found["nodes"]] == [("shop-1@h", 2), ("shop-2@h", 1)]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"sort": "name"}, ["single", "worker", "worker"]),
        ({"sort": "name", "limit": 1}, ["single"]),
        ({"sort": "name", "limit": 2, "last": True}, ["worker", "worker"]),
        ({"sort": "id"}, ["worker", "single", "worker"]),
        ({"sort": "id", "reverse": True}, ["worker", "single", "worker"]),
        ({"node": "shop-2@h"}, ["worker"]),
        ({"filter": "SINGLE"}, ["single"]),
        ({"sort": "oldest"}, ["worker", "single", "worker"]),
    ],
)
async def test_tables_are_merged_sorted_and_cut_as_one(
    nodes: list[homing.Node], merged: MergedObserver, query: dict[str, Any], expected: list[str]
) -> None:
    found = await merged.ask({"what": "processes", **query})
    if query.get("sort") != "oldest":
        assert [row["name"] for row in found["processes"]] == expected
    assert sorted(row["name"] for row in found["processes"]) == sorted(expected)
    assert found["total"] == len(found["processes"]) + found["more"]


@pytest.mark.parametrize("what", ["sockets", "pools", "routers", "supervisors", "applications", "events"])
async def test_every_table_can_be_merged(nodes: list[homing.Node], merged: MergedObserver, what: str) -> None:
    found = await merged.ask({"what": what})
    assert (found["total"], found["more"], found["missing"]) == (0, 0, {})


async def test_the_tree_has_the_processes_of_all(nodes: list[homing.Node], merged: MergedObserver) -> None:
    found = await merged.ask({"what": "tree"})
    assert [row["node"] for row in found["processes"]] == ["shop-1@h", "shop-1@h", "shop-2@h"]
    assert found["node"]["processes"] == 3


async def test_a_request_for_one_process_goes_to_the_node_that_has_it(
    nodes: list[homing.Node], merged: MergedObserver
) -> None:
    assert (await merged.ask({"what": "process", "target": "single"}))["process"]["node"] == "shop-1@h"
    pid = nodes[1].processes()[0]
    assert (await merged.ask({"what": "process", "target": str(pid)}))["process"]["node"] == "shop-2@h"
    await merged.ask({"what": "kill", "target": "worker", "node": "shop-2@h"})
    assert [len(node.processes()) for node in nodes] == [2, 0]


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        ({"what": "kill", "target": "worker"}, "bad_request", "several nodes have 'worker': shop-1@h, shop-2@h; give"),
        ({"what": "kill", "target": "nobody"}, "unknown_target", "no process has the name 'nobody'"),
        ({"what": "node", "node": "shop-3@h"}, "bad_request", "node='shop-3@h': give one of shop-1@h, shop-2@h"),
        ({"what": "processes", "limit": -1}, "bad_request", "limit=-1: give an integer"),
        ({"what": "nothing"}, "bad_request", "what='nothing': give one of"),
        ({"what": "cluster", "ask": {"what": "node"}}, "failed", "node shop-1@h is in no cluster"),
        ({"what": "watch"}, "bad_request", "watch is a stream"),
        ({"what": "kill", "target": "<other@h.7>"}, "unknown_target", "belongs to node other@h"),
    ],
)
async def test_what_does_not_fit_is_refused(
    nodes: list[homing.Node], merged: MergedObserver, request_: dict[str, Any], code: str, text: str
) -> None:
    with pytest.raises(RequestRefused, match=text) as refused:
        await merged.ask(request_)
    assert refused.value.code == code


async def test_it_reads_only_unless_allowed(nodes: list[homing.Node]) -> None:
    with pytest.raises(RequestRefused, match="drain changes the node"):
        await MergedObserver("shop@h", NAMES).ask({"what": "drain"})


async def test_a_node_that_does_not_answer_is_named_and_not_waited_for(
    nodes: list[homing.Node], runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "ANSWER_TIMEOUT", 0.1)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(runtime / "homing" / "shop-3@h.sock"))
        silent.listen()
        found = await MergedObserver("shop@h", (*NAMES, "shop-3@h", "shop-4@h")).ask({"what": "processes"})
    assert found["total"] == 3
    assert found["missing"] == {
        "shop-3@h": "node shop-3@h did not answer within 0.1 s",
        "shop-4@h": "connecting to node shop-4@h failed: No such file or directory",
    }


async def test_without_any_node_it_fails_with_the_reasons(runtime: Path, merged: MergedObserver) -> None:
    with pytest.raises(RequestRefused, match=r"shop-1@h failed: .*; connecting to node shop-2@h failed") as refused:
        await merged.ask({"what": "node"})
    assert refused.value.code == "failed"


async def test_a_watch_shows_all_nodes(nodes: list[homing.Node], merged: MergedObserver) -> None:
    async with aclosing(merged.stream({"what": "watch", "interval": 0.1, "processes": {}})) as items:
        state = (await anext(items))["snapshot"]
        assert len(state["processes"]["rows"]) == 3
        await nodes[1].spawn(act.Actor)
        assert (await anext(items))["delta"]["node"]["processes"] == 4


async def test_the_items_of_other_streams_come_with_their_node(
    nodes: list[homing.Node], merged: MergedObserver
) -> None:
    seen: set[str] = set()
    async with aclosing(merged.stream({"what": "logs", "level": "warning"})) as items:
        reading = asyncio.create_task(read_nodes(items, seen))
        while not reading.done():
            for node in nodes:
                node.log.warning("hello")
            await asyncio.sleep(0.01)
    assert seen == set(NAMES)


async def read_nodes(items: Any, seen: set[str]) -> None:
    async for item in items:
        seen.add(item["node"])
        if len(seen) == len(NAMES):
            return


async def test_the_last_log_records_of_all_nodes_are_in_order(nodes: list[homing.Node], merged: MergedObserver) -> None:
    for number in range(6):
        nodes[number % 2].log.warning("record %d", number)
        await asyncio.sleep(0.002)  # the time of a record is in milliseconds
    request = {"what": "logs", "level": "warning", "last": 3}
    items = [item async for item in merged.stream(request)]
    assert [item["message"] for item in items] == ["record 3", "record 4", "record 5"]
    assert {item["node"] for item in items} == set(NAMES)
    async with aclosing(merged.stream({**request, "follow": True})) as stream:
        assert [(await anext(stream))["message"] for _ in range(3)] == ["record 3", "record 4", "record 5"]
        nodes[0].log.warning("new")
        assert (await anext(stream))["message"] == "new"


async def test_a_node_without_log_is_named_behind_the_records_of_the_others(nodes: list[homing.Node]) -> None:
    nodes[0].log.warning("hello")
    merged = MergedObserver("shop@h", (*NAMES, "shop-3@h"))
    *records, last = [item async for item in merged.stream({"what": "logs"})]
    assert "hello" in [record["message"] for record in records]
    assert last == {"missing": {"shop-3@h": "connecting to node shop-3@h failed: No such file or directory"}}


@pytest.mark.parametrize("what", ["logs", "trace"])
async def test_a_stream_that_no_node_has_is_refused(runtime: Path, merged: MergedObserver, what: str) -> None:
    with pytest.raises(RequestRefused, match=r"shop-1@h failed: .*; connecting to node shop-2@h failed"):
        await anext(merged.stream({"what": what}))


@pytest.mark.parametrize("what", ["logs", "trace"])
async def test_a_target_that_one_node_has_is_enough(
    nodes: list[homing.Node], merged: MergedObserver, what: str
) -> None:
    limits = {"seconds": 0.01} if what == "trace" else {}
    async for item in merged.stream({"what": what, "target": "single", **limits}):
        assert not item.get("missing")
    with pytest.raises(RequestRefused, match="no process has the name 'nobody'"):
        await anext(merged.stream({"what": what, "target": "nobody"}))


@pytest.mark.parametrize(("limit", "ended"), [(3, "limit"), (100, "seconds")])
async def test_traces_of_all_nodes_have_one_limit_and_one_summary(
    nodes: list[homing.Node], merged: MergedObserver, limit: int, ended: str
) -> None:
    async def send() -> None:
        while True:
            for node in nodes:
                node.send("worker", "hello")
            await asyncio.sleep(0.01)

    sending = asyncio.create_task(send())
    request = {"what": "trace", "target": "worker", "limit": limit, "seconds": 0.3}
    *found, summary = [item async for item in merged.stream(request)]
    sending.cancel()
    assert [item["number"] for item in found] == list(range(1, len(found) + 1))
    assert (summary["ended"], summary["count"], summary["missing"]) == (ended, len(found), {})
    assert len(found) == limit or ended == "seconds"
    assert {item["node"] for item in found} == set(NAMES)
    assert summary["queue_p50"] is not None


async def test_one_control_socket_answers_for_all(
    nodes: list[homing.Node], merged: MergedObserver, runtime: Path
) -> None:
    control = await listen("shop@h", merged)
    found = await remote.RemoteObserver("shop@h").ask({"what": "node"})
    assert found["processes"] == 3
    control.close()
    await eventually(lambda: not control.path.exists())


def test_equal_rows_of_a_merged_table_keep_the_order_of_their_nodes_and_numbers() -> None:
    rows = [{"node": node, "id": number, "waiting": 0} for node in ("one", "two") for number in (1, 2)]
    answers = {"two": {"processes": rows[2:], "total": 2}, "one": {"processes": rows[:2], "total": 2}}
    for reverse in (False, True):
        query = {"what": "processes", "sort": "waiting", "reverse": reverse, "limit": 10, "last": False}
        assert merge("app", query, answers)["processes"] == rows
