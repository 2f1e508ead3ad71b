"""Threads: the methods of a node are refused at once on any other thread than that of its loop."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

import homing
from homing import act, gen

from ..support import Probe, in_thread

ANYWHERE = {"name", "pid", "env", "log", "send_threadsafe"}
"""What only tells something of the node, and the one method that is for other threads."""

METHODS = sorted(name for name in dir(homing.Node) if not name.startswith("_") and name not in ANYWHERE)


@pytest.mark.parametrize("name", METHODS)
async def test_a_method_of_the_node_is_refused_on_another_thread_and_changes_nothing(
    node: homing.Node, probe: Probe, name: str
) -> None:
    known: dict[str, Any] = {
        "to": probe.pid,
        "target": probe.pid,
        "pid": probe.pid,
        "alias": await probe.do(lambda actor: actor.create_alias()),
        "name": "name",
        "message": "message",
        "request": "request",
        "reason": gen.TerminateNormal,
        "behavior": act.Actor,
        "application": gen.Application,
        "callback": print,
        "level": "debug",
        "kind": dict,
        "ok": True,
    }
    is_property = isinstance(getattr(homing.Node, name), property)
    function = (lambda: getattr(node, name)) if is_property else getattr(node, name)
    parameters = inspect.signature(function).parameters.values()
    given = {
        each.name: known[each.name]
        for each in parameters
        if each.default is each.empty and each.kind is not each.VAR_POSITIONAL
    }

    def body() -> Any:
        result = function(**given)
        return asyncio.run(result) if inspect.iscoroutine(result) else result

    with pytest.raises(gen.NotAllowed, match="thread of node 'test@localhost'"):
        in_thread(body)
    assert (node.info().state, node.processes(), probe.waiting()) == ("running", [probe.pid], [])


async def test_the_node_tells_its_name_and_takes_messages_on_any_thread(node: homing.Node, probe: Probe) -> None:
    told = await asyncio.to_thread(lambda: (node.name, node.pid, dict(node.env), repr(node)))
    assert told == ("test@localhost", node.pid, {}, repr(node))
    await asyncio.to_thread(node.send_threadsafe, probe.pid, "hello")
    assert await probe.get() == "hello"
