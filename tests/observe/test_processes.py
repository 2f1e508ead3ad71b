"""The requests `processes` and `process`: filters, orders, bounds, and processes that end or misbehave meanwhile."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable
from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.observe import Observer, RequestRefused, process_requests, selecting
from homing.observe.plain import LONGEST_TEXT, MOST_FACTS

from ..hostile import Hostile, HostileError, HostileText
from ..node.actors import Gate, Meta, hang
from ..support import Probe
from .test_sampler import longest_step


async def table(node: homing.Node, **query: Any) -> dict[str, Any]:
    """The answer, as JSON carries it."""
    answer: dict[str, Any] = json.loads(json.dumps(await Observer(node).ask({"what": "processes", **query})))
    assert answer["total"] == len(answer["processes"]) + answer["more"]
    return answer


async def names(node: homing.Node, **query: Any) -> list[str]:
    return [process["name"] for process in (await table(node, **query))["processes"]]


@pytest.fixture
async def busy(node: homing.Node) -> homing.Node:
    """A node with processes `b`, `a` and `c`, at which 2, 3 and 1 messages wait."""
    for name, count in (("b", 2), ("a", 3), ("c", 1)):
        await node.spawn(Gate, [], asyncio.Event(), name=name)
        for _ in range(count + 1):
            node.send(name, 1)
    return node


async def test_a_process_that_does_not_answer_is_asked_once(node: homing.Node, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answer = [], asyncio.Event()

    class Slow(act.Actor):
        async def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
            asked.append(items)
            await answer.wait()
            return {"asked": len(asked)}

    monkeypatch.setattr("homing.observe.inspecting.TIMEOUT", 0.02)
    observer, query = Observer(node), {"what": "process", "target": "slow"}
    await node.spawn(Slow, name="slow")
    for _ in range(3):
        assert (await observer.ask(query))["facts_error"] == "it did not answer within 0.02 s"
    assert len(asked) == 1
    answer.set()
    for _ in range(2):  # the first may get the answer to the open question
        facts = (await observer.ask(query))["facts"]
    assert facts == {"asked": len(asked)}


async def test_without_a_query_it_is_the_first_fifty_in_the_order_of_their_start(node: homing.Node) -> None:
    pids = [str(await node.spawn(act.Actor)) for _ in range(60)]
    answer = await table(node)
    assert [process["pid"] for process in answer["processes"]] == pids[:50]
    assert (answer["total"], answer["more"]) == (60, 10)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"sort": "name"}, "abc"),
        ({"sort": "name", "reverse": True}, "cba"),
        ({"sort": "name", "limit": 2}, "ab"),
        ({"sort": "name", "limit": 2, "last": True}, "bc"),
        ({"sort": "waiting"}, "abc"),
        ({"sort": "waiting", "reverse": True}, "cba"),
        ({"sort": "waiting", "limit": 1}, "a"),
        ({"sort": "waiting", "limit": 1, "last": True}, "c"),
        ({"sort": "id"}, "bac"),
        ({"sort": "id", "last": True, "limit": 1}, "c"),
        ({"sort": "stalls"}, "bac"),
        ({"sort": "stalls", "reverse": True}, "bac"),
        ({"limit": 0}, ""),
    ],
)
async def test_the_node_sorts_and_cuts(busy: homing.Node, query: dict[str, Any], expected: str) -> None:
    assert await names(busy, **query) == list(expected)
    await busy.stop(0)


@pytest.mark.parametrize("sort", process_requests.SORTS)
async def test_every_order_works_with_names_and_without(busy: homing.Node, sort: str) -> None:
    await busy.spawn(act.Actor)
    forward, backward = await table(busy, sort=sort), await table(busy, sort=sort, reverse=True)
    assert forward["total"] == backward["total"] == 4
    last = await table(busy, sort=sort, last=True, limit=4)
    assert [row["pid"] for row in last["processes"]] == [row["pid"] for row in forward["processes"]]
    await busy.stop(0)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"filter": "GATE"}, "bac"),
        ({"filter": "b"}, "b"),
        ({"filter": "localhost"}, ""),
        ({"filter": "<test@localhost.100"}, "bac"),
        ({"filter": "1001"}, "b"),
        ({"filter": "nothing"}, ""),
        ({"state": "running"}, "bac"),
        ({"state": "sleep"}, ""),
        ({"kind": "pool"}, ""),
        ({"kind": "actor", "filter": "c"}, "c"),
        ({"application": "none"}, ""),
    ],
)
async def test_the_node_filters(busy: homing.Node, query: dict[str, Any], expected: str) -> None:
    assert await names(busy, **query) == list(expected)
    await busy.stop(0)


async def test_a_process_has_the_restarts_and_the_last_reason_that_its_supervisor_knows(node: homing.Node) -> None:
    class Top(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            return act.SupervisorSpec(children=(act.ChildSpec(name="child", behavior=act.Actor),))

    class Workers(act.Pool):
        def init(self) -> act.PoolOptions:
            return act.PoolOptions(worker=act.Actor, pool_size=1)

    await node.spawn(Top, name="top")
    await node.spawn(Workers)
    for row in (await table(node))["processes"]:
        if row["restarts"] == 0:
            node.send_exit(gen.PID(node.name, row["id"], node.pid.creation), RuntimeError("boom"))
    async with asyncio.timeout(20):
        while len(found := [row for row in (await table(node))["processes"] if row["restarts"]]) < 2:
            await asyncio.sleep(0)
    assert [(row["restarts"], row["last_reason"]) for row in found] == [(1, "RuntimeError('boom')")] * 2
    (top,) = (await table(node, filter="top"))["processes"]
    assert (top["restarts"], top["last_reason"]) == (None, None)


# --- large tables -------------------------------------------------------------------------------------------


async def test_a_large_table_is_looked_at_in_portions(node: homing.Node, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    monkeypatch.setattr(process_requests, "class_name", looked.append)
    monkeypatch.setattr(process_requests, "process_record", lambda process, sampler: {})
    ask = Observer(node).ask({"what": "processes", "sort": "restarts", "limit": 10_000})
    longest = await longest_step(node, monkeypatch, ask, process_requests, "restarts_of")
    assert longest <= selecting.PORTION


async def test_records_are_made_in_portions(node: homing.Node, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = Observer(node).ask({"what": "processes", "limit": 10_000})
    assert await longest_step(node, monkeypatch, ask, process_requests, "process_record") <= selecting.BUILT


@pytest.mark.parametrize("last", [False, True])
async def test_the_garbage_collector_has_no_object_to_visit_for_each_row_that_is_looked_at(last: bool) -> None:
    rows = [object() for _ in range(1000)]
    referrers: list[str] = []

    def matches(row: object) -> bool:
        if row is rows[-1]:
            gc.collect()  # it visits plain tuples of numbers once, and never again
            referrers.extend(type(one).__name__ for one in gc.get_referrers(rows[-2]))
        return True

    chosen, total = await selecting.select(rows, lambda row: 0, matches=matches, limit=1000, last=last)
    assert (chosen, total) == (rows, 1000)
    assert set(referrers) == {"list"}


async def test_processes_that_end_and_start_between_two_portions_do_no_harm(node: homing.Node) -> None:
    pids = [await node.spawn(act.Actor) for _ in range(1000)]
    asking = asyncio.create_task(table(node, limit=10_000))
    while not asking.done():
        if pids:
            node.kill(pids.pop())
            await node.spawn(act.Actor, name=f"new {len(pids)}")
        await asyncio.sleep(0)
    answer = await asking
    assert 500 < answer["total"] <= 1100


async def test_the_most_rows_are_bounded(node: homing.Node) -> None:
    with pytest.raises(RequestRefused, match="limit=10001: give an integer from 0 to 10,000"):
        await Observer(node).ask({"what": "processes", "limit": 10_001})


# --- one process --------------------------------------------------------------------------------------------


async def detail(node: homing.Node, target: str) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(json.dumps(await Observer(node).ask({"what": "process", "target": target})))
    return answer


async def test_one_process_with_all_that_it_has(node: homing.Node, probe: Probe) -> None:
    other = await node.spawn(act.Actor)

    async def settle(actor: act.Actor) -> gen.Alias:
        actor.create_alias()
        actor.register_event("news")
        actor.link(other)
        actor.monitor(other)
        await actor.spawn(act.Actor)
        return await actor.spawn_meta(Meta())

    alias = await probe.do(settle)
    found = await detail(node, str(probe.pid.id))
    assert found["process"]["pid"] == str(probe.pid)
    assert found["links"] == found["monitors"] == [str(other)]
    assert found["events"] == ["Event<test@localhost.'news'>"]
    assert [meta["alias"] for meta in found["metas"]] == [str(alias)]
    assert [child["parent"] for child in found["children"]] == [str(probe.pid)]
    assert (len(found["aliases"]), found["trap_exit"], found["facts"]) == (1, True, {})
    assert set(found["more"].values()) == {0}


async def test_names_of_the_environment_are_shown_and_no_values(node: homing.Node) -> None:
    pid = await node.spawn(act.Actor, options=gen.ProcessOptions(env={"PASSWORD": "secret"}))
    found = await detail(node, str(pid))
    assert found["env"] == ["PASSWORD"]
    assert "secret" not in json.dumps(found)


async def test_a_process_whose_environment_has_names_that_raise_is_shown(node: homing.Node) -> None:
    class Name(str):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    pid = await node.spawn(act.Actor, options=gen.ProcessOptions(env={Name("one"): 1, "two": 2}))
    found = await detail(node, str(pid))
    assert len(found["env"]) == 2
    assert "two" in found["env"]


async def test_lists_are_bounded_and_tell_how_many_are_left_out(node: homing.Node, probe: Probe) -> None:
    async def settle(actor: act.Actor) -> None:
        for _ in range(process_requests.MOST_LISTED + 5):
            actor.create_alias()
            await actor.spawn(act.Actor)

    await probe.do(settle)
    found = await detail(node, str(probe.pid))
    assert len(found["aliases"]) == len(found["children"]) == process_requests.MOST_LISTED
    assert (found["more"]["aliases"], found["more"]["children"]) == (5, 5)


class Telling(act.Actor):
    """Its `handle_inspect` returns or raises what it was given."""

    def init(self, told: Any) -> None:
        self.told = told

    def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
        if isinstance(self.told, type) and issubclass(self.told, BaseException):
            raise self.told
        return self.told


@pytest.mark.parametrize(
    ("told", "error"),
    [
        (ValueError, r"handle_inspect raised ValueError\(\)"),
        (HostileError, "handle_inspect raised <HostileError, whose repr raises HostileMethod>"),
        (None, "handle_inspect returned NoneType, no readable mapping"),
        ([1], "handle_inspect returned list, no readable mapping"),
    ],
)
async def test_a_process_that_tells_nothing_readable_is_shown_with_the_reason(
    node: homing.Node, told: Any, error: str
) -> None:
    pid = await node.spawn(Telling, told)
    found = await detail(node, str(pid))
    assert (found["facts"], found["facts_error"]) == (None, error.replace("\\", ""))
    assert found["process"]["pid"] == str(pid)


@pytest.mark.parametrize(
    "socket",
    [
        lambda: meta.create_udp_server(
            meta.UDPServerOptions(host="127.0.0.1", peers=meta.PeerOptions(worker=act.Actor))
        ),
        lambda: meta.create_udp_client(meta.UDPClientOptions(host="127.0.0.1", port=9)),
    ],
    ids=["server", "client"],
)
async def test_no_fact_of_a_socket_is_left_out(node: homing.Node, probe: Probe, socket: Callable[[], Any]) -> None:
    alias = await probe.do(lambda actor: actor.spawn_meta(socket()))
    facts = (await detail(node, str(alias)))["facts"]
    assert facts.keys() == (await node.inspect_meta(alias)).keys()


async def test_what_a_process_tells_is_bounded_and_made_plain(node: homing.Node) -> None:
    many = {f"key {number}": number for number in range(1000)}
    odd = {"big": 10**5000, "nan": float("nan"), "hostile": Hostile(), HostileText("k"): 1}
    told = {"text": "x" * 10_000, **odd, **many}
    pid = await node.spawn(Telling, told)
    facts = (await detail(node, str(pid)))["facts"]
    assert len(facts) == MOST_FACTS
    assert facts["text"] == "x" * LONGEST_TEXT
    assert facts["nan"] is None
    assert "raises" in facts["hostile"]
    assert "raises ValueError" in facts["big"]


async def test_a_process_that_does_not_answer_is_waited_for_briefly(
    node: homing.Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stuck(act.Actor):
        async def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
            await hang(self)

    monkeypatch.setattr("homing.observe.inspecting.TIMEOUT", 0.02)
    pid = await node.spawn(Stuck)
    assert (await detail(node, str(pid)))["facts_error"] == "it did not answer within 0.02 s"
    await node.stop(0)


async def test_a_process_that_ends_while_it_is_asked_is_unknown_or_shown_as_it_was(node: homing.Node) -> None:
    class Leaving(act.Actor):
        def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
            node.kill(self.pid)
            return {}

    pid = await node.spawn(Leaving)
    found = await detail(node, str(pid))
    assert found["process"]["pid"] == str(pid)
