"""Nothing gets lost in a router: all that it took in was forwarded, discarded, has failed or waits, whatever is done
to its routes meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import homing
from homing import act, gen

from ...support import Probe, eventually
from .routing import HIGH, owned, start, until


class Ledger:
    """What the routes of one run have handled, and what has crashed them."""

    def __init__(self) -> None:
        self.handled: list[int] = []
        self.crashed = 0


class Clerk(act.Actor):
    """Enters what it gets into the ledger. Crashes on negative numbers."""

    def init(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def handle_message(self, sender: gen.PID, message: tuple[Any, int]) -> None:
        if message[1] < 0:
            self.ledger.crashed += 1
            raise RuntimeError("as asked")
        self.ledger.handled.append(message[1])

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: tuple[Any, int]) -> Any:
        self.ledger.handled.append(request[1])
        return request[1]


class AsyncClerk(Clerk):
    async def handle_message(self, sender: gen.PID, message: tuple[Any, int]) -> None:
        await asyncio.sleep(0)
        super().handle_message(sender, message)


NAMES = st.sampled_from(["a", "b", "c"])
BEHAVIORS = st.sampled_from([Clerk, AsyncClerk])
STEPS = st.one_of(
    st.tuples(st.just("send"), NAMES, st.integers(1, 30)),
    st.tuples(st.just("send"), st.sampled_from(["nowhere", None, ("a", "b"), ("c", "nowhere")]), st.integers(1, 3)),
    st.tuples(st.just("call"), st.sampled_from(["a", "b", "nowhere", None]), st.just(1)),
    st.tuples(st.just("crash"), NAMES, st.just(1)),
    st.tuples(st.sampled_from(["add", "replace"]), NAMES, BEHAVIORS),
    st.tuples(st.sampled_from(["remove", "disable", "enable"]), NAMES, st.none()),
    st.tuples(st.just("run"), st.none(), st.integers(1, 5)),
)


class Run:
    """One run of random steps against one router."""

    def __init__(self, node: homing.Node, router: gen.PID, ledger: Ledger, mailbox_size: int) -> None:
        self.node = node
        self.router = router
        self.ledger = ledger
        self.mailbox_size = mailbox_size
        self.entries = 0  # deliveries that the router is to account for
        self.calls: list[asyncio.Task[Any]] = []
        self.requests: list[asyncio.Task[Any]] = []

    def spec(self, name: str, behavior: type[Clerk]) -> act.RouteSpec:
        options = gen.ProcessOptions(mailbox_size=self.mailbox_size)
        return act.RouteSpec(name=name, behavior=behavior, args=(self.ledger,), options=options)

    async def step(self, what: str, name: Any, detail: Any) -> None:
        match what:
            case "send":
                for _ in range(detail):
                    self.node.send(self.router, (name, self.entries))
                    self.entries += len(name) if isinstance(name, tuple) else 1
            case "call":
                self.calls.append(asyncio.create_task(self.node.call(self.router, (name, self.entries), timeout=60)))
                self.entries += 1
            case "crash":
                self.node.send(self.router, (name, -1))
                self.entries += 1
            case "add":
                await self.ask(act.AddRoute(self.spec(name, detail)))
            case "replace":
                await self.ask(act.ReplaceRoute(name, self.spec(name, detail)))
            case "remove":
                await self.ask(act.RemoveRoute(name))
            case "disable":
                await self.ask(act.DisableRoute(name))
            case "enable":
                await self.ask(act.EnableRoute(name))
            case "run":
                for _ in range(detail):
                    await asyncio.sleep(0)

    async def ask(self, request: Any) -> None:
        """Asks for something that may make no sense now."""
        try:
            await self.node.call(self.router, request, priority=HIGH)
        except (act.RouteUnknown, gen.BadOption):
            pass


def idle(node: homing.Node) -> bool:
    """True if nothing waits and no callback runs."""
    infos = [node.process_info(pid) for pid in node.processes()]
    return all(info.state is gen.ProcessState.SLEEP and info.mailbox.main == 0 for info in infos)


async def play(steps: list[tuple[str, Any, Any]], overflow: str, mailbox_size: int) -> None:
    options = gen.NodeOptions(handle_signals=False)
    async with homing.start_node("conservation@localhost", options) as node:
        ledger, probe = Ledger(), await Probe.start(node)
        router = await start(node, probe, overflow=overflow)
        run = Run(node, router, ledger, mailbox_size)
        for step in steps:
            await run.step(*step)
        answers = await asyncio.gather(*run.calls, return_exceptions=True)
        facts = await until(node, router, lambda facts: facts["messages_waiting"] + facts["routes_ending"] == 0)
        await eventually(lambda: idle(node))
        accounted = facts["messages_forwarded"] + facts["messages_discarded"] + facts["messages_failed"]
        assert accounted == run.entries
        failed = sum((Counter(route["failed"]) for route in facts["routes"].values()), Counter[str]())
        assert failed <= Counter(facts["failures"])
        lost = facts["messages_forwarded"] - len(ledger.handled) - ledger.crashed
        assert 0 <= lost <= node.info().discarded  # what waited at a process that crashed
        assert ledger.crashed or lost == 0
        assert all(isinstance(answer, (int, gen.HomingError)) for answer in answers)


@given(st.lists(STEPS, max_size=40), st.sampled_from(["wait", "drop"]), st.sampled_from([0, 1, 5]))
@settings(max_examples=60)
def test_a_router_accounts_for_all_it_took_whatever_is_done_to_its_routes(
    steps: list[tuple[str, Any, Any]], overflow: str, mailbox_size: int
) -> None:
    asyncio.run(play(steps, overflow, mailbox_size))


async def test_routes_that_crash_under_load_are_started_again_and_all_is_accounted_for(
    node: homing.Node, probe: Probe
) -> None:
    router = await start(node, probe, routes=owned(probe, "a", "b", mailbox_size=0))
    crash = ("a", ("raise", RuntimeError("as asked")))
    for number in range(5000):
        node.send(router, ("ab"[number % 2], number))
        if number % 1000 == 500:
            node.send(router, crash)
            await asyncio.sleep(0)
    facts = await until(
        node, router, lambda facts: facts["messages_waiting"] == 0 and facts["routes"]["a"]["state"] == "enabled"
    )
    assert facts["messages_forwarded"] + facts["messages_failed"] == 5005
    assert 1 <= facts["routes"]["a"]["restarts"] <= 5
    await eventually(lambda: idle(node))
    got = probe.waiting()
    assert [number for label, number in got if label == "b"] == list(range(1, 5000, 2))
    numbers = [number for label, number in got if label == "a"]
    assert numbers == sorted(numbers)
    assert len(got) + node.info().crashes + node.info().discarded == facts["messages_forwarded"]
