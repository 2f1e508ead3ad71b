"""Requests against a model: whatever order answers, errors, timeouts, cancellations, deaths and restarts come in, each
request has exactly one response, the right one, and none after it was cancelled or its sender has ended."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import homing
from homing import act, gen
from homing.testing import run_virtual

from ...support import examples
from ..actors import QUIET

CALLEES = 2
STEPS = st.one_of(
    st.tuples(st.just("send"), st.integers(0, CALLEES - 1), st.sampled_from([0.5, 1.0, 2.0, 5.0])),
    st.tuples(st.sampled_from(["answer", "error", "cancel", "cancel queued"]), st.integers(0, 30)),
    st.tuples(st.just("kill callee"), st.integers(0, CALLEES - 1)),
    st.tuples(st.sampled_from(["crash sender"])),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.25, 0.75, 3.0])),
)


class Sender(act.Actor):
    """Does as it is told; keeps its responses, each with its label."""

    def init(self, world: World) -> None:
        self.world = world

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        message(self)

    def handle_response(self, label: int, answer: Any) -> None:
        self.world.got.append((label, answer))


class Callee(act.Actor):
    """Answers when it is told to."""

    def init(self, world: World) -> None:
        self.world = world

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: int) -> Any:
        self.world.taken[request] = (sender, ref)
        return gen.NO_REPLY


class Top(act.Supervisor):
    """Restarts the sender, with its mailbox, and the callees."""

    def init(self, world: World) -> act.SupervisorSpec:
        keep = gen.ProcessOptions(preserve_mailbox=True)
        children = [act.ChildSpec(name="sender", behavior=Sender, args=(world,), options=keep)]
        children += [act.ChildSpec(name=f"callee{n}", behavior=Callee, args=(world,)) for n in range(CALLEES)]
        return act.SupervisorSpec(children=tuple(children), intensity=10_000)


class World:
    """The node, and the model: for each request what its response must be; None: there must be none."""

    def __init__(self, node: homing.Node) -> None:
        self.node = node
        self.got: list[tuple[int, Any]] = []
        self.taken: dict[int, tuple[gen.PID, gen.Ref]] = {}
        self.expected: dict[int, Any] = {}
        self.open: dict[int, tuple[float, int, gen.Ref]] = {}

    async def step(self, what: str, *args: Any) -> None:
        await getattr(self, what.replace(" ", "_"))(*args)
        await self.settle()

    async def settle(self) -> None:
        for _ in range(8):
            await asyncio.sleep(0)
        now = asyncio.get_running_loop().time()
        for number, (due, _, _) in tuple(self.open.items()):
            if due <= now:
                self.close(number, "CallTimeout")

    def close(self, number: int, answer: Any) -> None:
        del self.open[number]
        self.expected[number] = answer

    def pick(self, at: int) -> int | None:
        numbers = sorted(self.taken)
        return numbers[at % len(numbers)] if numbers else None

    async def send(self, callee: int, seconds: float) -> None:
        number = len(self.expected) + len(self.open)

        def ask(actor: Sender) -> None:
            ref = actor.send_request(f"callee{callee}", number, number, seconds)
            self.open[number] = (asyncio.get_running_loop().time() + seconds, callee, ref)

        self.node.send("sender", ask)

    async def answer(self, at: int) -> None:
        await self._finish(at, ("answer", at))

    async def error(self, at: int) -> None:
        await self._finish(at, KeyError(at))

    async def _finish(self, at: int, answer: Any) -> None:
        number = self.pick(at)
        if number is None:
            return
        ref = self.taken[number][1]
        if isinstance(answer, Exception):
            self.node._core.calls.fail(ref, answer)
        else:
            self.node._core.calls.answer(ref, answer)
        if number in self.open:  # otherwise it comes too late
            self.close(number, answer)

    async def cancel(self, at: int) -> None:
        number = self.pick(at)
        if number is None:
            return

        def cancel(actor: Sender) -> None:
            ref = self.taken[number][1]
            assert actor.cancel_request(ref) is (number in self.open)
            if number in self.open:
                self.close(number, None)

        self.node.send("sender", cancel)

    async def cancel_queued(self, at: int) -> None:
        """The answer waits in the mailbox already when the request is cancelled."""
        number = self.pick(at)
        if number is None:
            return

        def cancel(actor: Sender) -> None:
            ref = self.taken[number][1]
            self.node._core.calls.answer(ref, "queued")
            assert actor.cancel_request(ref) is (number in self.open)
            if number in self.open:
                self.close(number, None)

        self.node.send("sender", cancel)

    async def kill_callee(self, callee: int) -> None:
        self.node.kill(self.node.process_info(f"callee{callee}").pid)
        for number, (_, at, _) in tuple(self.open.items()):
            if at == callee:
                self.close(number, "ProcessTerminated")

    async def crash_sender(self) -> None:
        def crash(actor: Sender) -> None:
            for number in tuple(self.open):
                self.close(number, None)
            raise ValueError("a bug")

        self.node.send("sender", crash)

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def shown(answer: Any) -> Any:
    return type(answer).__name__ if isinstance(answer, (gen.CallTimeout, gen.ProcessTerminated)) else answer


async def play(steps: list[tuple[Any, ...]]) -> None:
    async with homing.start_node("test@localhost", QUIET) as node:
        world = World(node)
        await node.spawn(Top, world)
        for what, *args in steps:
            await world.step(what, *args)
        await asyncio.sleep(10)
        await world.settle()
        want = {number: answer for number, answer in world.expected.items() if answer is not None}
        assert sorted(number for number, _ in world.got) == sorted(want)
        assert {number: shown(answer) for number, answer in world.got} == want
        assert (world.open, node.info().open_calls, len(node._core.calls.deadlines) <= 64) == ({}, 0, True)


@settings(max_examples=examples(60, 3000))
@given(st.lists(STEPS, max_size=40))
def test_each_request_has_exactly_one_response_and_none_once_it_was_cancelled(steps: list[tuple[Any, ...]]) -> None:
    run_virtual(play, steps)
