"""What the tests of kept states share: a process with a state, under a supervisor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import homing
from homing import act, gen

from ...support import eventually

NAME = "counter"


class Counter(act.Actor):
    """Does what it is sent, a function of itself. Its state is whatever is in `state`."""

    state: Any

    def init(self) -> None:
        self.state = {}
        self.loads = 0

    def handle_message(self, sender: gen.PID, message: Any) -> Any:
        return message(self)

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return self.state if request is None else request(self)

    def dump_state(self) -> Any:
        return self.state

    def load_state(self, state: Any) -> Any:
        self.loads += 1
        self.state = state


class Service(act.Supervisor):
    """Keeps one process alive. preserve: what waits at it passes to its successor."""

    def init(
        self, state: gen.StateOptions | None, behavior: type[act.Actor] = Counter, name: str = NAME, **more: Any
    ) -> act.SupervisorSpec:
        options = gen.ProcessOptions(state=state, preserve_mailbox=True, **more)
        child = act.ChildSpec(name=name, behavior=behavior, options=options)
        return act.SupervisorSpec(children=(child,), intensity=1000)


def count(counter: Any) -> None:
    counter.state = {"n": counter.state.get("n", 0) + 1}


def fail(counter: Any) -> None:
    raise RuntimeError("on request")


def half(counter: Any) -> None:
    """Changes the state, and fails before that is complete."""
    counter.state["half"] = True
    raise RuntimeError("half done")


def put(state: Any) -> Callable[[Any], None]:
    """Sets the state."""

    def function(counter: Any) -> None:
        counter.state = state

    return function


async def state(node: homing.Node, name: str = NAME) -> Any:
    """The state of the process of that name."""
    return await node.call(name, None)


def info(node: homing.Node, name: str = NAME) -> gen.StateInfo:
    """What is told of its kept state."""
    kept = node.process_info(name).kept
    assert kept is not None
    return kept


async def again(node: homing.Node, before: gen.PID, name: str = NAME) -> None:
    """Its successor has started."""

    def started() -> bool:
        try:
            found = node.process_info(name)
        except gen.HomingError:
            return False
        return found.pid != before and found.state is not gen.ProcessState.INIT

    await eventually(started, "a successor")


async def crash(node: homing.Node, how: Callable[[Any], Any] = fail, name: str = NAME) -> None:
    """Crashes the process, and waits for its successor."""
    before = node.process_info(name).pid
    node.send(name, how)
    await again(node, before, name)
