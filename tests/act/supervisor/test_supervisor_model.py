"""A supervisor beside a pure model of one: whatever is done to it, both have the same children, and did the same.

Time stands still but when a rule advances it: the event loop's, so that backoff is exact, and the restart window's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import homing
from homing import act, gen

from ...support import examples
from .supervision import (
    ALL,
    DISABLED,
    ONE,
    PERMANENT,
    REST,
    RESTARTING,
    RUNNING,
    TEMPORARY,
    TERMINATED,
    TRANSIENT,
    Given,
)

QUIET = gen.NodeOptions(handle_signals=False)
NAMES = "abcd"
PERIOD = 10.0
BACKOFF = act.Backoff(first=2.0, most=8.0, factor=2.0, jitter=0.0)

KINDS = st.sampled_from([ONE, ALL, REST])
INTENSITIES = st.integers(0, 8)
STRATEGIES = st.sampled_from([PERMANENT, PERMANENT, TRANSIENT, TRANSIENT, TEMPORARY])
FIRST = st.lists(STRATEGIES, min_size=1, max_size=4)


# --- the model --------------------------------------------------------------------------------------------


@dataclass
class Group:
    """Children that are to be started together, at the time `due`, and behind those who wait for longer already."""

    due: float
    turn: int = 0


@dataclass(eq=False)
class Kid:
    name: str
    strategy: act.RestartStrategy
    state: act.ChildState = TERMINATED
    group: Group | None = None
    started: float = 0.0
    streak: list[int] = field(default_factory=lambda: [0])


class Model:
    """What a supervisor does, without processes. `log` has each start (+), failed start (!) and end (-)."""

    def __init__(self, kind: act.SupervisorType, intensity: int, backoff: bool) -> None:
        self.kind, self.intensity, self.backoff = kind, intensity, backoff
        self.kids: list[Kid] = []
        self.broken: set[str] = set()
        self.log: list[str] = []
        self.restarts: list[float] = []
        self.now = 0.0
        self.ended = False
        self.turns = 0
        self.streak = [0]

    def find(self, name: str) -> Kid | None:
        return next((kid for kid in self.kids if kid.name == name), None)

    def begin(self, kid: Kid) -> bool:
        if kid.name in self.broken:
            self.log.append(f"!{kid.name}")
            return False
        self.log.append(f"+{kid.name}")
        kid.state, kid.group, kid.started = RUNNING, None, self.now
        return True

    def finish(self, kids: list[Kid]) -> None:
        self.log += [f"-{kid.name}" for kid in reversed(kids)]

    # what is asked of it: gives the name of the error, or None

    def start(self, name: str, strategy: act.RestartStrategy) -> str | None:
        if self.find(name):
            return "ChildExists"
        kid = Kid(name, strategy, streak=[0] if self.kind is ONE else self.streak)
        if not self.begin(kid):
            return "Broken"
        self.kids.append(kid)
        return None

    def stop(self, name: str, state: act.ChildState) -> str | None:
        kid = self.find(name)
        if kid is None:
            return "ChildUnknown"
        if kid.state is not DISABLED:
            self.finish([kid] if kid.state is RUNNING else [])
            kid.state, kid.group = state, None
            if kid.strategy is TEMPORARY and state is TERMINATED:
                self.kids.remove(kid)
        return None

    def restart(self, name: str) -> str | None:
        kid = self.find(name)
        if kid is None:
            return "ChildUnknown"
        refusal = {RUNNING: "ChildRunning", RESTARTING: "ChildRestarting", DISABLED: "ChildDisabled"}.get(kid.state)
        return refusal or (None if self.begin(kid) else "Broken")

    def delete(self, name: str) -> str | None:
        kid = self.find(name)
        if kid is None or kid.state is RUNNING:
            return "ChildUnknown" if kid is None else "ChildRunning"
        self.kids.remove(kid)
        return None

    def enable(self, name: str) -> str | None:
        kid = self.find(name)
        if kid is None:
            return "ChildUnknown"
        if kid.state is not DISABLED:
            return None
        kid.state = TERMINATED
        return None if self.begin(kid) else "Broken"

    # what happens to it

    def end(self, kid: Kid, orderly: bool) -> None:
        self.finish([kid])
        kid.state = TERMINATED
        if kid.strategy is TEMPORARY:
            self.kids.remove(kid)
        elif kid.strategy is PERMANENT or not orderly:
            delay = self.delay(kid, self.now - kid.started)
            if self.count():
                self.bring_back(self.take_down(kid), delay)

    def take_down(self, ended: Kid) -> Group:
        place = self.kids.index(ended)
        concerned = {ONE: [ended], ALL: self.kids[:], REST: self.kids[place:]}[self.kind]
        self.finish([kid for kid in concerned if kid.state is RUNNING])
        group = Group(self.now)
        for kid in concerned:
            if kid.strategy is TEMPORARY and kid.state is not DISABLED:
                self.kids.remove(kid)
            elif kid.state is not DISABLED:
                kid.state, kid.group = RESTARTING, group
        return group

    def bring_back(self, group: Group, delay: float) -> None:
        while delay == 0 and not self.ended:
            failed = self.start_all(group)
            if failed is None:
                return
            if self.count():
                delay = self.delay(failed, 0.0)
        group.due = self.now + delay
        self.turns += 1
        group.turn = self.turns

    def start_all(self, group: Group) -> Kid | None:
        started: list[Kid] = []
        for kid in [kid for kid in self.kids if kid.group is group]:
            if not self.begin(kid):
                self.finish(started)
                for each in started:
                    each.state, each.group = RESTARTING, group
                return kid
            started.append(kid)
        return None

    def count(self) -> bool:
        self.restarts = [time for time in self.restarts if self.now - time <= PERIOD] + [self.now]
        if len(self.restarts) > self.intensity:
            self.finish([kid for kid in self.kids if kid.state is RUNNING])
            self.ended = True
        return not self.ended

    def delay(self, kid: Kid, lived: float) -> float:
        if not self.backoff:
            return 0.0
        if lived >= BACKOFF.most:
            kid.streak[0] = 0
        kid.streak[0] += 1
        return min(BACKOFF.most, BACKOFF.first * 2 ** (kid.streak[0] - 1))

    def advance(self) -> None:
        """One second passes."""
        self.now += 1
        due: dict[int, Group] = {}
        for kid in self.kids:
            if kid.group is not None and kid.group.due <= self.now:
                due.setdefault(id(kid.group), kid.group)
        for group in sorted(due.values(), key=lambda group: (group.due, group.turn)):
            if not self.ended:
                self.bring_back(group, 0.0)


# --- the real one -----------------------------------------------------------------------------------------


class StillLoop(asyncio.SelectorEventLoop):
    """An event loop whose time stands still but when it is told otherwise. What is due at the same time is done in the
    order in which it was asked for."""

    now = 0.0
    asked = 0

    def __init__(self) -> None:
        super().__init__()
        self._clock_resolution = 0.001

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, *args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        self.asked += 1
        return super().call_at(when + self.asked * 1e-9, *args, **kwargs)


class Broken(Exception):
    """What the `init` of a broken child raises."""


class Kept(act.Actor):
    def init(self, label: str, broken: set[str], log: list[str]) -> None:
        self.label, self.log_ = label, log
        if label in broken:
            log.append(f"!{label}")
            raise Broken
        log.append(f"+{label}")

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        raise message

    def terminate(self, reason: Exception) -> None:
        self.log_.append(f"-{self.label}")


class SupervisorMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = StillLoop()
        self.node = self.run(homing.start_node("model@localhost", QUIET))
        self.log: list[str] = []
        self.broken: set[str] = set()

    def run(self, doing: Any) -> Any:
        async def bounded() -> Any:
            return await doing

        return self.loop.run_until_complete(bounded())

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(10_000):
            if condition():
                return
            await asyncio.sleep(0)
        raise AssertionError("it did not come true")

    alive = precondition(lambda self: not self.model.ended)
    ended = precondition(lambda self: self.model.ended)

    @initialize(kind=KINDS, intensity=INTENSITIES, backoff=st.booleans(), strategies=FIRST)
    def begin(
        self, kind: act.SupervisorType, intensity: int, backoff: bool, strategies: list[act.RestartStrategy]
    ) -> None:
        self.log.clear()
        self.broken.clear()
        self.model = Model(kind, intensity, backoff)
        self.model.now = self.loop.now
        specs = [self.spec(name, strategy) for name, strategy in zip(NAMES, strategies, strict=False)]
        for spec in specs:
            self.model.start(spec.name, spec.restart)
        given = act.SupervisorSpec(
            children=tuple(specs),
            type=kind,
            intensity=intensity,
            period=PERIOD,
            backoff=BACKOFF if backoff else None,
            clock=self.loop.time,
        )
        self.supervisor = self.run(self.node.spawn(Given, given))

    @ended
    @rule(kind=KINDS, intensity=INTENSITIES, backoff=st.booleans(), strategies=FIRST)
    def begin_again(self, **how: Any) -> None:
        self.begin(**how)

    def spec(self, name: str, strategy: act.RestartStrategy) -> act.ChildSpec:
        return act.ChildSpec(name=name, behavior=Kept, args=(name, self.broken, self.log), restart=strategy)

    def ask(self, request: Any, expected: str | None) -> None:
        refused = None
        try:
            self.run(self.node.call(self.supervisor, request))
        except (act.ChildError, Broken) as error:
            refused = type(error).__name__
        assert refused == expected

    name = st.sampled_from(NAMES)

    @alive
    @rule(name=name, strategy=STRATEGIES)
    def start(self, name: str, strategy: act.RestartStrategy) -> None:
        self.ask(act.StartChild(self.spec(name, strategy)), self.model.start(name, strategy))

    @alive
    @rule(name=name)
    def terminate(self, name: str) -> None:
        self.ask(act.TerminateChild(name), self.model.stop(name, TERMINATED))

    @alive
    @rule(name=name)
    def disable(self, name: str) -> None:
        self.ask(act.DisableChild(name), self.model.stop(name, DISABLED))

    @alive
    @rule(name=name)
    def restart(self, name: str) -> None:
        self.ask(act.RestartChild(name), self.model.restart(name))

    @alive
    @rule(name=name)
    def delete(self, name: str) -> None:
        self.ask(act.DeleteChild(name), self.model.delete(name))

    @alive
    @rule(name=name)
    def enable(self, name: str) -> None:
        self.ask(act.EnableChild(name), self.model.enable(name))

    @alive
    @rule(name=name)
    def damage(self, name: str) -> None:
        self.broken ^= {name}
        self.model.broken ^= {name}

    @precondition(lambda self: not self.model.ended and any(kid.state is RUNNING for kid in self.model.kids))
    @rule(
        data=st.data(),
        reason=st.sampled_from(
            [ValueError, ValueError, SystemExit, gen.TerminateNormal, gen.TerminateShutdown, gen.TerminateKill]
        ),
    )
    def end(self, data: st.DataObject, reason: type[BaseException]) -> None:
        kid = data.draw(st.sampled_from([kid for kid in self.model.kids if kid.state is RUNNING]), "child")
        self.model.end(kid, issubclass(reason, (gen.TerminateNormal, gen.TerminateShutdown)))
        self.run(self.really_end(kid.name, reason))

    async def really_end(self, name: str, reason: type[BaseException]) -> None:
        pid = self.node.process_info(name).pid
        if reason is gen.TerminateKill:
            self.node.kill(pid)
        else:
            self.node.send(name, reason())
        await self.until(lambda: pid not in self.node.processes())
        await self.settle()

    async def settle(self) -> None:
        """What there is to do is done."""
        if self.model.ended:
            await self.until(lambda: not self.node.processes())
        else:
            for _ in range(3):  # a request is answered behind what waits in the system lane, such as an attempt
                await asyncio.sleep(0)
                await self.node.call(self.supervisor, act.CountChildren())

    @alive
    @rule(seconds=st.sampled_from([1, 2, 2, 4, 4, 8, 12]))
    def advance(self, seconds: int) -> None:
        for _ in range(seconds):
            if not self.model.ended:
                self.loop.now += 1
                self.model.advance()
                self.run(self.settle())

    @invariant()
    def both_are_the_same(self) -> None:
        if hasattr(self, "model"):
            assert self.log == self.model.log
            if self.model.ended:
                assert self.node.processes() == []
            else:
                found = self.run(self.node.call(self.supervisor, act.WhichChildren()))
                assert [(each.name, each.state) for each in found] == [(kid.name, kid.state) for kid in self.model.kids]
                for each in found:
                    running = self.node.process_info(each.name).pid if each.state is RUNNING else None
                    assert each.pid == running
                assert len(self.node.processes()) == 1 + sum(kid.state is RUNNING for kid in self.model.kids)

    def teardown(self) -> None:
        try:
            assert self.run(self.node.stop()) is True
            if hasattr(self, "model") and not self.model.ended:
                self.model.finish([kid for kid in self.model.kids if kid.state is RUNNING])
                assert self.log == self.model.log
        finally:
            self.run(self.loop.shutdown_asyncgens())
            self.loop.close()


TestSupervisorMachine = SupervisorMachine.TestCase
TestSupervisorMachine.pytestmark = [pytest.mark.thorough]
TestSupervisorMachine.settings = settings(
    max_examples=examples(60, 500),
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
