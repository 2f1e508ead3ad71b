"""What one more costs, among a thousand and among a hundred thousand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import homing
from homing import act, gen

from ..support import DEADLINE, Probe, eventually, examples
from .actors import QUIET, Doer
from .work import Work, work_of

FEW, MANY = 1_000, examples(20_000, 100_000)

Action = Callable[[], Awaitable[Any]]


class Member(act.Actor):
    """One of the crowd: linked to a process, to its alias and to its name, and subscribed to an event."""

    def init(self, *subjects: Any) -> None:
        for subject in subjects:
            self.monitor(subject)

    def handle_event(self, event: gen.MessageEvent) -> None:
        pass


class Crowd(act.Supervisor):
    """Instances of `Member`."""

    def init(self, *subjects: Any) -> act.SupervisorSpec:
        member = act.ChildSpec(name="member", behavior=Member, args=subjects)
        return act.SupervisorSpec(
            children=(member,), type=act.SupervisorType.SIMPLE_ONE_FOR_ONE, intensity=10**6, period=1.0
        )

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        for _ in range(request):
            await self.start_child()


class Scene:
    """A subject with a crowd around it, and the things that one more process may do there."""

    def __init__(self, node: homing.Node) -> None:
        self.node = node

    async def fill(self, count: int) -> None:
        self.subject = await Probe.start(self.node, name="subject")
        self.other = await Probe.start(self.node)

        def prepare(actor: act.Actor) -> tuple[gen.Ref, gen.Alias]:
            for number in range(count):
                actor.send_after(actor.pid, None, 3600)
                actor.register_event(f"event {number}")
            return actor.register_event("topic"), actor.create_alias()

        self.token, self.alias = await self.subject.do(prepare)
        self.event = gen.Event("topic", self.node.name)
        self.crowd = await self.node.spawn(Crowd, self.event, self.subject.pid, self.alias, "subject")
        await self.node.call(self.crowd, count, timeout=10 * DEADLINE)

    def relation(self, way: str, subject: Any) -> Action:
        def there_and_back(actor: act.Actor) -> None:
            getattr(actor, way)(subject)
            getattr(actor, {"link": "unlink", "monitor": "demonitor"}[way])(subject)

        return lambda: self.other.do(there_and_back)

    def in_subject(self, function: Callable[[act.Actor], Any]) -> Action:
        return lambda: self.subject.do(function)

    async def spawn_and_end(self) -> None:
        pid = await self.node.spawn(Doer, name="one more")
        self.node.send_exit(pid, gen.TerminateShutdown)
        await eventually(lambda: not self.node._core.registry.names.get("one more"))

    async def start_and_terminate_child(self) -> None:
        pid = await self.node.call(self.crowd, act.StartChild(args=(), name="one more"))
        assert await self.node.call(self.crowd, act.TerminateChild(pid)) is None

    async def restart_child(self) -> None:
        pid = await self.node.call(self.crowd, act.StartChild(args=(), name="one more"))
        self.node.kill(pid)
        names = self.node._core.registry.names
        await eventually(lambda: (process := names.get("one more")) is not None and process.id != pid)
        await self.node.call(self.crowd, act.TerminateChild("one more"))

    async def wait_for_name(self) -> None:
        registry = self.node._core.registry
        for number in range(self.waiting):
            registry.when_registered("nobody", lambda number=number: None)  # type: ignore[misc]
        self.waiting = 0

        def callback() -> None:
            pass

        registry.when_registered("nobody", callback)
        registry.forget_waiter("nobody", callback)

    waiting = 0

    def actions(self) -> dict[str, Action]:
        subjects = {"event": self.event, "PID": self.subject.pid, "alias": self.alias, "name": "subject"}
        return {
            **{
                f"{way} to the {kind}": self.relation(way, subject)
                for way in ("link", "monitor")
                for kind, subject in subjects.items()
            },
            "an alias": self.in_subject(lambda actor: actor.delete_alias(actor.create_alias())),
            "an event": self.in_subject(lambda actor: (actor.register_event("x"), actor.unregister_event("x"))),
            "a timer": self.in_subject(lambda actor: actor.send_after(actor.pid, None, 60)()),
            "a process": self.spawn_and_end,
            "a child": self.start_and_terminate_child,
            "a restart": self.restart_child,
            "a count of children": lambda: self.node.call(self.crowd, act.CountChildren()),
            "a wait for a name": self.wait_for_name,
        }


async def measure(count: int) -> dict[str, Work]:
    async with homing.start_node("crowd@localhost", QUIET) as node:
        scene = Scene(node)
        scene.waiting = count
        await scene.fill(count)
        works = {name: await work_of(action) for name, action in scene.actions().items()}
        node.kill(scene.crowd)
        async with asyncio.timeout(10 * DEADLINE):
            while len(node.processes()) > 2:
                await asyncio.sleep(0.01)
    return works


@pytest.mark.thorough
@pytest.mark.timeout(600)
async def test_what_one_more_costs_does_not_grow_with_the_number_of_others() -> None:
    few, many = await measure(FEW), await measure(MANY)
    grown = {
        name: (few[name], work)
        for name, work in many.items()
        if work.lines > few[name].lines + 200 or work.octets > few[name].octets + MANY
    }
    assert not grown
