"""The stream `watch`: a snapshot, and merge patches that lead from each state to the next."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import homing
from homing import act, gen, testing
from homing.observe import Observer, RequestRefused
from homing.observe.watching import apply, difference

ROW = st.dictionaries(st.sampled_from("xyz"), st.none() | st.integers(0, 3) | st.just([1]))
ROWS = st.dictionaries(st.sampled_from("abcdef"), ROW, max_size=5)
TABLE = st.fixed_dictionaries({"order": st.lists(st.integers(0, 3)), "rows": ROWS}) | st.just({"error": 1})
NODE = st.dictionaries(st.sampled_from("pq"), st.integers(0, 3))
STATES = st.fixed_dictionaries({"node": NODE}, optional={"table": TABLE})


def known(value: Any) -> Any:
    """A state without the fields that are null: one that is absent is null."""
    if not isinstance(value, dict):
        return value
    return {name: known(item) for name, item in value.items() if item is not None}


@given(STATES, STATES)
def test_a_change_leads_from_one_state_to_the_next(before: dict[str, Any], now: dict[str, Any]) -> None:
    patch = json.loads(json.dumps(asyncio.run(difference(before, now))))
    assert known(apply(before, patch)) == known(now)


@given(STATES)
def test_nothing_has_changed_if_the_states_are_equal(state: dict[str, Any]) -> None:
    assert asyncio.run(difference(state, json.loads(json.dumps(state)))) == {}


async def test_a_table_that_is_watched_has_the_rows_in_their_order(node: homing.Node) -> None:
    first = await node.spawn(act.Actor, name="first")
    async with aclosing(Observer(node).stream({"what": "watch", "interval": 0.1, "processes": {}})) as items:
        state = (await anext(items))["snapshot"]
        assert state["processes"]["order"] == [str(first)]
        second = await node.spawn(act.Actor, name="second")
        node.kill(first)
        state = apply(state, (await anext(items))["delta"])
        assert state["processes"]["order"] == [str(second)]
        assert {row["name"] for row in state["processes"]["rows"].values()} == {"second"}


async def test_a_process_that_ends_while_it_is_watched_is_an_error_in_its_part(node: homing.Node) -> None:
    pid = await node.spawn(act.Actor, name="short")
    request = {"what": "watch", "interval": 0.1, "process": {"target": "short"}, "events": {}}
    async with aclosing(Observer(node).stream(request)) as items:
        state = (await anext(items))["snapshot"]
        node.kill(pid)
        state = apply(state, (await anext(items))["delta"])
    assert known(state["process"]) == {
        "error": {"code": "unknown_target", "message": "no process has the name 'short'; no process has a name"}
    }
    assert state["events"]["total"] == 0


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"interval": 0}, "interval=0: give a number from 0.1 to 3,600"),
        ({"processes": {"limit": -1}}, "limit=-1"),
        ({"processes": 5}, "processes=5: give an object, or null"),
        ({"process": {"target": "nobody"}}, "no process has the name 'nobody'"),
        ({"tree": {}}, "there is no field 'tree'"),
    ],
)
async def test_a_request_that_does_not_fit_is_refused_before_the_first_item(
    node: homing.Node, request_: dict[str, Any], text: str
) -> None:
    items = Observer(node).stream({"what": "watch", **request_})
    with pytest.raises(RequestRefused, match=text):
        await anext(items)


def test_a_page_left_open_for_an_hour_keeps_nothing() -> None:
    async def main() -> tuple[int, int]:
        async with homing.start_node("v@localhost", gen.NodeOptions(handle_signals=False)) as node:
            await node.spawn(act.Actor)
            observer = Observer(node)
            sizes, items = [], 0
            async with aclosing(observer.stream({"what": "watch", "interval": 10, "processes": {}})) as stream:
                async for item in stream:
                    items += 1
                    sizes.append(len(json.dumps(item)))
                    if observer.core.loop.time() > 3600:
                        break
            return items, max(sizes[1:])

    items, largest = testing.run_virtual(main)
    assert 350 < items < 370
    assert largest < 1000


async def test_the_stream_ends_with_the_node() -> None:
    async with homing.start_node("short@localhost", gen.NodeOptions(handle_signals=False)) as node:
        items = Observer(node).stream({"what": "watch", "interval": 0.1})
        await anext(items)
        await node.stop()
        assert [item async for item in items][-1]["delta"]["node"]["state"] == "stopped"
