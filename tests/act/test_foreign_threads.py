"""Threads: what belongs to the node's thread is refused at once on any other, and leaves no trace."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ..support import Probe, in_thread

READ = {
    *("pid", "name", "parent", "leader", "node", "env", "log", "trap_exit", "split_handle", "requests", "idle_timeout"),
    "server_address",
}
"""What only tells something of a process can be asked for on any thread."""


class Plain(act.Actor):
    """Has nothing of its own."""


class Workers(act.Pool):
    def init(self) -> act.PoolOptions:
        return act.PoolOptions(worker=Plain, pool_size=1)


class Routes(act.Router):
    def init(self) -> act.RouterOptions:
        return act.RouterOptions(routes=(act.RouteSpec(name="route", behavior=Plain),))

    def route_message(self, sender: gen.PID, message: Any) -> str:
        return "route"


class Children(act.Supervisor):
    def init(self) -> act.SupervisorSpec:
        return act.SupervisorSpec(children=(act.ChildSpec(name="child", behavior=Plain),))


KINDS: dict[type[act.Actor], type[act.Actor]] = {
    act.Actor: Plain,
    act.Pool: Workers,
    act.Router: Routes,
    act.Supervisor: Children,
}


def methods(kind: type[act.Actor]) -> list[str]:
    """The public methods of a base that are no callbacks."""
    known = set(dir(act.Actor)) if kind is not act.Actor else set()
    callbacks = {name for name in dir(kind) if name.startswith(("handle_", "route_"))}
    callbacks |= {"init", "terminate", "dump_state", "load_state"}
    return sorted(
        name for name in set(dir(kind)) - known - callbacks - READ if not name.startswith("_") and name != "options"
    )


ALL = [(kind, name) for kind in KINDS for name in methods(kind)]


def arguments(function: Callable[..., Any], actor: act.Actor, other: gen.PID, alias: gen.Alias) -> dict[str, Any]:
    """What a method takes, of the right type: nothing but the thread is wrong."""
    known: dict[str, Any] = {
        "to": other,
        "pid": other,
        "alias": alias,
        "node": "other@localhost",
        "name": "child" if isinstance(actor, act.Supervisor) else "route",
        "child": "child",
        "subject": other,
        "event": gen.Event("tick", "test@localhost"),
        "message": "message",
        "data": b"data",
        "request": "request",
        "answer": "answer",
        "error": ValueError(),
        "ok": True,
        "reason": gen.TerminateNormal,
        "priority": gen.MessagePriority.HIGH,
        "seconds": 60.0,
        "sender": other,
        "ref": gen.Ref("test@localhost", 1, 1),
        "token": gen.Ref("test@localhost", 1, 1),
        "behavior": Plain,
        "spec": act.RouteSpec(name="route", behavior=Plain),
        "kind": dict,
        "n": 1,
    }
    found = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            found[parameter.name] = known[parameter.name]
    if function.__name__ == "start_child":
        return {"args": (act.ChildSpec(name="new", behavior=Plain),)}
    if function.__name__ == "reply":
        found["message"] = meta.MessageUDP(alias, ("127.0.0.1", 9), b"asked")
    if function.__name__ == "spawn_meta":
        found["behavior"] = gen.MetaBehavior()
    if function.__name__ in ("link_name", "monitor_name", "unlink_name", "demonitor_name", "send_name"):
        found = {name: "probe" if name in ("subject", "to") else value for name, value in found.items()}
    if function.__name__ in ("link_alias", "monitor_alias", "unlink_alias", "demonitor_alias", "send_alias"):
        found = {name: alias if name in ("subject", "to") else value for name, value in found.items()}
    if function.__name__ in ("link_event", "monitor_event", "unlink_event", "demonitor_event"):
        found["subject"] = known["event"]
    return found


def call(function: Callable[..., Any], given: dict[str, Any]) -> Any:
    """Calls it on another thread, which awaits it if need be."""

    def body() -> Any:
        result = function(*given.pop("args", ()), **given)
        return asyncio.run(result) if inspect.iscoroutine(result) else result

    return in_thread(body)


@pytest.mark.parametrize(("kind", "name"), ALL, ids=[f"{kind.__name__}.{name}" for kind, name in ALL])
async def test_a_method_of_a_process_is_refused_on_another_thread_and_changes_nothing(
    node: homing.Node, kind: type[act.Actor], name: str
) -> None:
    probe = await Probe.start(node, name="probe")
    alias = await probe.do(lambda actor: actor.create_alias())
    found: list[act.Actor] = []

    class Mine(KINDS[kind]):  # type: ignore[misc]
        def init(self) -> Any:
            found.append(self)
            return super().init()

    pid = await node.spawn(Mine)
    before = node.process_info(pid), node.process_info(probe.pid), node.info()
    function = getattr(found[0], name)
    given = arguments(function, found[0], probe.pid, alias)
    with pytest.raises(gen.NotAllowed, match="thread of node 'test@localhost'"):
        call(function, given)
    after = node.process_info(pid), node.process_info(probe.pid), node.info()
    for then, now in zip(before, after, strict=True):
        assert {field for field in vars_of(then) if vars_of(then)[field] != vars_of(now)[field]} <= {
            "uptime",
            "running_time",
        }


def vars_of(info: Any) -> dict[str, Any]:
    return {name: getattr(info, name) for name in type(info).__dataclass_fields__}


@pytest.mark.backends
async def test_a_datagram_is_answered_from_another_thread_by_send_threadsafe_only(node: homing.Node, peer: Any) -> None:
    errors: list[type[BaseException]] = []

    class Echo(act.Actor):
        async def init(self) -> None:
            options = meta.UDPServerOptions(host="127.0.0.1", port=0)
            self.server = meta.create_udp_server(options)
            await self.spawn_meta(self.server)
            self.address = self.server.local_address

        async def handle_message(self, sender: gen.PID, message: Any) -> None:
            try:
                await asyncio.to_thread(self.send, message.id, message.reply(b"by send"))
            except gen.NotAllowed as error:
                errors.append(type(error))
            await asyncio.to_thread(node.send_threadsafe, message.id, message.reply(b"by send_threadsafe"))

        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return self.address

    pid = await node.spawn(Echo)
    assert await peer.ask(b"hello", await node.call(pid, "where")) == b"by send_threadsafe"
    assert errors == [gen.NotAllowed]
