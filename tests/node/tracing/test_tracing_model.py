"""Whatever is traced, and whenever a trace begins and ends: messages come once and in order, and calls are answered."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import homing
from homing import act, gen, observe
from homing.node.node import internals
from homing.testing import run_virtual

from ...support import examples
from ..actors import QUIET

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["send", "high", "call", "request", "forward", "trace", "close", "rest"]), st.integers(0, 2)
    ),
    max_size=40,
)


class Front(act.Actor):
    """Passes on what it is told, to the back."""

    def init(self, back: gen.PID, answers: list[Any]) -> None:
        self.back = back
        self.answers = answers

    def handle_message(self, sender: Any, message: tuple[str, int]) -> Any:
        kind, number = message
        match kind:
            case "high":
                self.send_with_priority(self.back, ("high", number), gen.MessagePriority.HIGH)
            case "call":
                return self.asks(number)
            case "request":
                self.send_request(self.back, number)
            case "forward":
                self.send("pool", ("main", number))
            case _:
                self.send(self.back, ("main", number))
        return None

    async def asks(self, number: int) -> None:
        self.answers.append(await self.call(self.back, number))

    def handle_response(self, label: Any, answer: Any) -> None:
        self.answers.append(answer)


class Back(act.Actor):
    def init(self, kept: list[Any], name: str | None = None) -> None:
        self.kept = kept
        if name is not None:
            self.register_name(name)

    def handle_message(self, sender: Any, message: Any) -> None:
        self.kept.append(message)

    async def handle_call(self, sender: Any, ref: Any, request: int) -> int:
        await asyncio.sleep(0.001)
        return request


@settings(max_examples=examples(40, 2000))
@given(ACTIONS)
def test_a_trace_changes_nothing_that_processes_see(actions: list[tuple[str, int]]) -> None:
    class Pool(act.Pool):
        def init(self) -> act.PoolOptions:
            return act.PoolOptions(worker=Back, worker_args=(pooled,), pool_size=1)

    kept: list[Any] = []
    pooled: list[Any] = []
    answers: list[Any] = []

    async def main() -> None:
        async with homing.start_node("model@localhost", QUIET) as node:
            core = internals(node).core
            plain = core.delivery, core.calls, core.inlet_kind
            back = await node.spawn(Back, kept)
            await node.spawn(Pool, name="pool")
            worker = node.processes()[-1]
            front = await node.spawn(Front, back, answers)
            targets = (front, back, worker)
            streams: list[observe.TraceStream] = []
            for number, (action, which) in enumerate(actions):
                if action == "trace":
                    streams.append(observe.trace(node, targets[which], seconds=60))
                elif action == "close":
                    for stream in streams[which : which + 1]:
                        stream.close()
                elif action == "rest":
                    await asyncio.sleep(0.002 * which)
                else:
                    node.send(front, (action, number))
            await asyncio.sleep(1)
            for stream in streams:
                stream.close()
                assert stream.summary()["lost"] == 0
            assert (core.delivery, core.calls, core.inlet_kind) == plain
            assert all(process.routes is core.registry.routes for process in core.processes.values())
            assert all(core.processes[pid].handler is None for pid in targets)

    run_virtual(main)
    expected: dict[str, list[int]] = {}
    for number, (action, _) in enumerate(actions):
        expected.setdefault(action, []).append(number)
    assert [number for kind, number in kept if kind == "main"] == expected.get("send", [])
    assert [number for kind, number in kept if kind == "high"] == expected.get("high", [])
    assert [number for _, number in pooled] == expected.get("forward", [])
    assert sorted(answers) == sorted(expected.get("call", []) + expected.get("request", []))
