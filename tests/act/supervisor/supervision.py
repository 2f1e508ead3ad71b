"""What the tests of the supervisor share: children that note their starts and ends, and supervisors made of a spec."""

from __future__ import annotations

import asyncio
from typing import Any

import homing
from homing import act, gen

from ...support import eventually

ONE, ALL, REST, SIMPLE = (
    act.SupervisorType.ONE_FOR_ONE,
    act.SupervisorType.ALL_FOR_ONE,
    act.SupervisorType.REST_FOR_ONE,
    act.SupervisorType.SIMPLE_ONE_FOR_ONE,
)
PERMANENT, TRANSIENT, TEMPORARY = (
    act.RestartStrategy.PERMANENT,
    act.RestartStrategy.TRANSIENT,
    act.RestartStrategy.TEMPORARY,
)
RUNNING, RESTARTING, TERMINATED, DISABLED = (
    act.ChildState.RUNNING,
    act.ChildState.RESTARTING,
    act.ChildState.TERMINATED,
    act.ChildState.DISABLED,
)


class Clock:
    """Tells the time that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Child(act.Actor):
    """Notes its start and its end in a list. Ends as the message says."""

    def init(self, events: list[str], label: str) -> None:
        self.events = events
        self.label = label
        events.append(f"+{label}")

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        if isinstance(message, BaseException):
            raise message

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return (self.pid, self.name)

    def terminate(self, reason: Exception) -> Any:
        self.events.append(f"-{self.label}")


class Failing(Child):
    def init(self, events: list[str], label: str) -> None:
        raise RuntimeError(f"{label} cannot start")


class FailsAgain(Child):
    """Starts once; every restart fails."""

    def init(self, events: list[str], label: str) -> None:
        if f"+{label}" in events:
            events.append(f"!{label}")
            raise RuntimeError("not again")
        super().init(events, label)


class FailsSometimes(Child):
    """Its `init` raises what stands first in a list of the test's, until that is empty."""

    def init(self, events: list[str], label: str, errors: list[BaseException]) -> None:
        if errors:
            events.append(f"!{label}")
            raise errors.pop(0)
        super().init(events, label)


class HangsAgain(Child):
    """Starts once; every restart hangs, until the test lets it."""

    async def init(self, events: list[str], label: str, let: asyncio.Event) -> None:
        if f"+{label}" in events and not let.is_set():
            events.append(f"?{label}")
            await let.wait()
        super().init(events, label)


class Deaf(Child):
    """Takes no exit signal while it handles a message, and forbids nothing to `kill`."""

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await asyncio.Event().wait()


class Given(act.Supervisor):
    """A supervisor of just what it is given."""

    def init(self, spec: act.SupervisorSpec) -> act.SupervisorSpec:
        return spec


def child(
    events: list[str], label: str, behavior: type[act.Actor] = Child, *args: Any, **options: Any
) -> act.ChildSpec:
    return act.ChildSpec(name=label, behavior=behavior, args=(events, label, *args), **options)


def nested(name: str, spec: act.SupervisorSpec, **options: Any) -> act.ChildSpec:
    """A child that is a supervisor itself."""
    return act.ChildSpec(name=name, behavior=Given, args=(spec,), shutdown=None, **options)


async def supervise(node: homing.Node, *children: act.ChildSpec, **options: Any) -> gen.PID:
    return await node.spawn(Given, act.SupervisorSpec(children=children, **options), name="supervisor")


async def end(node: homing.Node, who: str | gen.PID, reason: BaseException) -> gen.PID:
    """Ends a process for `reason`; gives the PID that it had."""
    pid = node.process_info(who).pid
    if isinstance(reason, gen.TerminateKill):
        node.kill(pid)
    else:
        node.send(pid, reason)
    await eventually(lambda: pid not in node.processes(), f"the end of {who}")
    return pid


async def crash(node: homing.Node, who: str | gen.PID) -> gen.PID:
    return await end(node, who, RuntimeError("crash"))


async def children(node: homing.Node, supervisor: gen.PID | str = "supervisor") -> dict[str, act.ChildInfo]:
    """What the supervisor tells of its children once it has done what there was to do."""
    found = await node.call(supervisor, act.WhichChildren())
    return {info.name or str(info.pid): info for info in found}


async def states(node: homing.Node, supervisor: gen.PID | str = "supervisor") -> dict[str, act.ChildState]:
    return {name: info.state for name, info in (await children(node, supervisor)).items()}


async def pids(node: homing.Node, supervisor: gen.PID | str = "supervisor") -> dict[str, gen.PID | None]:
    return {name: info.pid for name, info in (await children(node, supervisor)).items()}
