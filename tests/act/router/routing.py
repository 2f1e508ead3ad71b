"""What the tests of the router share: workers that tell what they get, a router that is told how to route."""

from __future__ import annotations

import asyncio
from typing import Any

import homing
from homing import act, gen

from ...support import Probe

HIGH = gen.MessagePriority.HIGH


class Worker(act.Actor):
    """Tells the probe what it gets, as (its label, sender, message). Raises what is sent as ("raise", error)."""

    def init(self, probe: Probe, label: str) -> None:
        self.probe = probe
        self.label = label

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        match message:
            case (_, ("raise", error)):
                raise error
        self.probe.queue.put_nowait((self.label, sender, message))

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        match request:
            case (_, "never"):
                return gen.NO_REPLY
            case (_, ("raise", error)):
                raise error
        return (self.label, sender, request)


class Routing(act.Router):
    """Routes (where, what) to where; hands what comes to its own lanes to the probe, and runs functions sent as
    requests of priority."""

    def init(self, probe: Probe, options: dict[str, Any] | None = None) -> act.RouterOptions:
        self.probe = probe
        self.failures: list[tuple[str, gen.PID, Any, Exception]] = []
        return act.RouterOptions(**(options or {}))

    def route_message(self, sender: gen.PID, message: Any) -> str | tuple[str, ...] | None:
        where, _ = message
        if isinstance(where, Exception):
            raise where
        return where

    def handle_route_failed(self, route: str, sender: gen.PID, message: Any, error: gen.HomingError) -> None:
        self.failures.append((route, sender, message, error))

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.probe.queue.put_nowait(("router", sender, message))

    def handle_event(self, event: gen.MessageEvent) -> None:
        self.probe.queue.put_nowait(("event", None, event.message))

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        if not callable(request):
            return await super().handle_call(sender, ref, request)
        result = request(self)
        return await result if asyncio.iscoroutine(result) else result


async def start(
    node: homing.Node, probe: Probe, behavior: type[act.Router] = Routing, *, name: str | None = None, **options: Any
) -> gen.PID:
    """Starts a router with these `act.RouterOptions`."""
    return await node.spawn(behavior, probe, options, name=name)


def owned(probe: Probe, *names: str, behavior: type[Worker] = Worker, **options: Any) -> tuple[act.RouteSpec, ...]:
    """Owned routes whose workers have the routes' names as labels."""
    given = {} if not options else {"options": gen.ProcessOptions(**options)}
    return tuple(act.RouteSpec(name=name, behavior=behavior, args=(probe, name), **given) for name in names)


async def do(node: homing.Node, router: gen.Target, function: Any) -> Any:
    """Runs `function(router)` in the router's process."""
    return await node.call(router, function, priority=HIGH)


async def ask(node: homing.Node, router: gen.Target, request: Any) -> Any:
    """Sends an administrative request."""
    return await node.call(router, request, priority=HIGH)


async def failures(node: homing.Node, router: gen.Target) -> list[tuple[str, Any, type[Exception]]]:
    """What `handle_route_failed` was told: route, message, class of the error."""
    found = await do(node, router, lambda actor: actor.failures)
    return [(route, message, type(error)) for route, _, message, error in found]


async def pid_of(node: homing.Node, router: gen.Target, name: str) -> gen.PID | None:
    """The process of an owned route."""
    return next(info.pid for info in await ask(node, router, act.WhichRoutes()) if info.name == name)


async def until(node: homing.Node, router: gen.Target, condition: Any) -> dict[str, Any]:
    """Waits until `condition(facts)` is true of what the router's inspection tells, and gives the facts."""
    async with asyncio.timeout(5):
        while not condition(facts := await node.inspect(router)):
            await asyncio.sleep(0)
    assert isinstance(facts, dict)
    return facts
