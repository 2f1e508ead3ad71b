"""What waits at a process that ends abnormally goes to its successor; the message in hand is a dead letter."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import homing
from homing import act, gen

from ...support import Probe, eventually
from ..actors import Doer

NAME = "worker"


class Poison(Exception):
    """What a worker dies of."""


class Worker(act.Actor):
    """Notes what it handles in a list that outlives it. Waits at a message until its gate is open; dies of poison."""

    def init(self, seen: list[Any], gate: asyncio.Event, fail_inits: list[Exception] | None = None) -> None:
        if fail_inits:
            raise fail_inits.pop()
        self.seen = seen
        self.gate = gate

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        if message == "wait":
            await self.gate.wait()
        if isinstance(message, Exception):
            raise message
        self.seen.append(message)

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        await self.handle_message(sender, request)
        return ("done by", self.pid)


class Keeper(act.Supervisor):
    def init(self, options: gen.ProcessOptions, *args: Any, **child: Any) -> act.SupervisorSpec:
        spec = act.ChildSpec(name=NAME, behavior=Worker, args=args, options=options, **child)
        return act.SupervisorSpec(children=(spec,), intensity=100)


class Once(Keeper):
    """Allows no restart."""

    def init(self, options: gen.ProcessOptions, *args: Any, **child: Any) -> act.SupervisorSpec:
        return act.SupervisorSpec(children=super().init(options, *args, **child).children, intensity=0)


class Temporary(Keeper):
    def init(self, options: gen.ProcessOptions, *args: Any, **child: Any) -> act.SupervisorSpec:
        return super().init(options, *args, restart=act.RestartStrategy.TEMPORARY)


class Bench:
    """A supervised worker, held at its first message, so that a test can fill its mailbox before it goes on."""

    def __init__(self, node: homing.Node) -> None:
        self.node = node
        self.seen: list[Any] = []
        self.gate = asyncio.Event()
        self.supervisor: gen.PID

    async def start(self, options: gen.ProcessOptions, keeper: type[act.Supervisor] = Keeper, *more: Any) -> gen.PID:
        self.supervisor = await self.node.spawn(keeper, options, self.seen, self.gate, *more)
        self.node.send(NAME, "wait")
        await eventually(lambda: self.seen or self.node.process_info(NAME).state is gen.ProcessState.RUNNING)
        return self.pid

    @property
    def pid(self) -> gen.PID:
        return self.node.process_info(NAME).pid

    def send(self, *messages: Any) -> None:
        for message in messages:
            self.node.send(NAME, message)

    async def handled(self, count: int) -> list[Any]:
        await eventually(lambda: len(self.seen) >= count, f"{count} messages in {self.seen}")
        return self.seen


@pytest.fixture
def bench(node: homing.Node) -> Bench:
    return Bench(node)


PRESERVE = gen.ProcessOptions(preserve_mailbox=True)


def letters(target: gen.Target, **more: Any) -> gen.ProcessOptions:
    return gen.ProcessOptions(dead_letters=target, **more)


async def test_what_waits_at_a_crash_goes_to_the_restarted_child_in_order(bench: Bench) -> None:
    first = await bench.start(PRESERVE)
    bench.send(1, Poison("x"), 2, Poison("y"), 3)
    bench.gate.set()
    assert await bench.handled(4) == ["wait", 1, 2, 3]
    assert bench.pid != first


async def test_the_message_in_hand_is_not_replayed_but_counted(bench: Bench) -> None:
    await bench.start(PRESERVE)
    bench.send(Poison("once"), 1)
    bench.gate.set()
    assert await bench.handled(2) == ["wait", 1]
    info = bench.node.info()
    assert (info.dead_letters, info.discarded, info.crashes) == (1, 0, 1)


async def test_without_the_option_what_waits_is_discarded_and_counted(bench: Bench) -> None:
    await bench.start(gen.ProcessOptions())
    bench.send(Poison("x"), 1, 2)
    bench.gate.set()
    await eventually(lambda: bench.node.info().discarded == 2)
    assert bench.seen == ["wait"]


async def test_each_lane_keeps_its_own(bench: Bench) -> None:
    await bench.start(PRESERVE)
    bench.send(Poison("x"), "main")
    bench.node.send(NAME, Poison("first"), gen.MessagePriority.MAX)
    bench.node.send(NAME, "system", gen.MessagePriority.HIGH)
    bench.node.send(NAME, "urgent", gen.MessagePriority.MAX)
    bench.gate.set()
    assert await bench.handled(4) == ["wait", "urgent", "system", "main"]


async def test_the_dead_letter_process_gets_the_message_in_hand_with_the_reason(bench: Bench, probe: Probe) -> None:
    pid = await bench.start(letters(probe.pid, preserve_mailbox=True))
    poison = Poison("of this")
    bench.send(poison, 1)
    bench.gate.set()
    _, sender, letter = await probe.next()
    assert letter == gen.MessageDeadLetter(pid, NAME, bench.node.pid, poison, poison, True)
    assert sender == pid
    assert await bench.handled(2) == ["wait", 1]


async def test_killing_makes_the_message_in_hand_a_dead_letter_and_keeps_the_others(bench: Bench, probe: Probe) -> None:
    pid = await bench.start(letters(probe.pid, preserve_mailbox=True))
    bench.send(1, 2)
    bench.node.kill(pid)
    letter = await probe.get()
    assert (letter.message, letter.in_hand, str(letter.reason)) == ("wait", True, "kill")
    assert await bench.handled(2) == [1, 2]


async def test_a_process_killed_while_it_sleeps_has_nothing_in_hand(bench: Bench) -> None:
    bench.gate.set()
    pid = await bench.start(PRESERVE)
    await bench.handled(1)
    bench.node.kill(pid)
    await eventually(lambda: bench.node.info().spawned >= 3)
    assert bench.node.info().dead_letters == 0


async def test_a_request_that_waits_is_answered_by_the_successor(bench: Bench) -> None:
    first = await bench.start(PRESERVE)
    bench.send(Poison("x"))
    answer = asyncio.create_task(bench.node.call(NAME, "please"))
    await eventually(lambda: bench.node.process_info(NAME).mailbox.main == 2)
    bench.gate.set()
    assert await answer == ("done by", bench.pid)
    assert bench.pid != first


async def test_a_request_in_hand_fails_at_once_and_is_a_dead_letter(bench: Bench, probe: Probe) -> None:
    await bench.start(letters(probe.pid, preserve_mailbox=True))
    bench.gate.set()
    with pytest.raises(gen.ProcessTerminated):
        await bench.node.call(NAME, poison := Poison("x"))
    assert (await probe.get()).message is poison


async def test_an_inspection_that_waits_is_answered_by_the_successor(bench: Bench) -> None:
    pid = await bench.start(PRESERVE)
    answer = asyncio.create_task(bench.node.inspect(NAME))
    await eventually(lambda: bench.node.process_info(NAME).mailbox.urgent == 1)
    bench.node.kill(pid)
    assert await answer == {}


@pytest.mark.parametrize("reason", [gen.TerminateNormal, gen.TerminateShutdown])
async def test_an_orderly_end_discards_what_waits(bench: Bench, probe: Probe, reason: type[Exception]) -> None:
    await bench.start(letters(probe.pid, preserve_mailbox=True))
    bench.send(reason(), 1, 2)
    bench.gate.set()
    await eventually(lambda: bench.node.info().discarded == 2)
    assert (bench.seen, probe.queue.empty()) == (["wait"], True)


async def test_a_signal_to_the_predecessor_does_not_end_the_successor(bench: Bench) -> None:
    pid = await bench.start(PRESERVE)
    bench.send(1)
    bench.node.send_exit(pid, Poison("first"))
    bench.node.send_exit(pid, Poison("second"))
    bench.gate.set()
    assert await bench.handled(2) == ["wait", 1]
    assert bench.node.info().spawned == 3


class Watcher(Worker):
    """Is told of the end of a process that it monitors, while it waits."""

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        if isinstance(message, gen.PID):
            self.monitor(message)
        else:
            await super().handle_message(sender, message)


class WatcherKeeper(Keeper):
    def init(self, options: gen.ProcessOptions, *args: Any, **child: Any) -> act.SupervisorSpec:
        spec = act.ChildSpec(name=NAME, behavior=Watcher, args=args, options=options)
        return act.SupervisorSpec(children=(spec,))


async def test_what_the_monitors_of_the_predecessor_brought_is_not_handed_on(bench: Bench, probe: Probe) -> None:
    bench.gate.set()
    await bench.start(PRESERVE, WatcherKeeper)
    bench.send(probe.pid)
    await bench.node.call(NAME, "monitoring")
    bench.gate.clear()
    bench.send("wait")
    await eventually(lambda: bench.node.process_info(NAME).state is gen.ProcessState.RUNNING)
    bench.node.kill(probe.pid)
    await eventually(lambda: bench.node.process_info(NAME).mailbox.system == 1)
    bench.send(1)
    bench.node.kill(bench.pid)
    assert await bench.handled(3) == ["wait", "monitoring", 1]


async def test_mail_waits_through_starts_that_fail(bench: Bench) -> None:
    fails: list[Exception] = []
    await bench.start(PRESERVE, Keeper, fails)
    fails += [RuntimeError("1"), RuntimeError("2"), RuntimeError("3")]
    bench.send(1, 2)
    bench.node.kill(bench.pid)
    assert await bench.handled(2) == [1, 2]
    assert not fails


class Slow(Worker):
    """Its second start takes messages by its name and then fails; the third succeeds."""

    async def init(self, *args: Any) -> None:  # type: ignore[override]
        *rest, starts = args
        super().init(*rest)
        starts.append(self.pid)
        if len(starts) == 2:
            await self.gate.wait()
            raise RuntimeError("the second start fails")


class SlowKeeper(Keeper):
    def init(self, options: gen.ProcessOptions, *args: Any, **child: Any) -> act.SupervisorSpec:
        return act.SupervisorSpec(
            children=(act.ChildSpec(name=NAME, behavior=Slow, args=args, options=options),), intensity=9
        )


async def test_what_comes_to_a_start_that_fails_waits_for_the_next_behind_what_waited_before(bench: Bench) -> None:
    starts: list[gen.PID] = []
    pid = await bench.start(PRESERVE, SlowKeeper, starts)
    bench.send(1, 2)
    bench.node.kill(pid)
    await eventually(lambda: len(starts) == 2)
    bench.send(3, 4)
    answer = asyncio.create_task(bench.node.call(NAME, 5))
    await eventually(lambda: bench.node.process_info(NAME).mailbox.main == 3)
    bench.gate.set()
    assert await bench.handled(5) == [1, 2, 3, 4, 5]
    assert await answer == ("done by", starts[2])


async def test_mail_that_nobody_inherits_goes_to_the_dead_letter_process(bench: Bench, probe: Probe) -> None:
    await bench.start(letters(probe.pid, preserve_mailbox=True), Once)
    answer = asyncio.create_task(bench.node.call(NAME, "please"))
    bench.send(poison := Poison("x"), 1)
    await eventually(lambda: bench.node.process_info(NAME).mailbox.main == 3)
    bench.node.kill(bench.pid)
    got = [await probe.get() for _ in range(4)]
    assert [letter.message for letter in got] == ["wait", poison, 1, "please"]
    assert [letter.in_hand for letter in got] == [True, False, False, False]
    with pytest.raises(gen.ProcessTerminated):
        await answer
    assert (bench.node.info().dead_letters, bench.node.info().discarded) == (4, 0)


@pytest.mark.parametrize("keeper", [Once, Temporary])
async def test_mail_that_nobody_inherits_or_wants_is_counted(bench: Bench, keeper: type[act.Supervisor]) -> None:
    await bench.start(PRESERVE, keeper)
    bench.send(1, 2, 3)
    bench.node.kill(bench.pid)
    await eventually(lambda: bench.node.info().discarded == 3)
    assert bench.node.info().dead_letters == 1


async def test_a_process_without_a_supervisor_leaves_its_mail_to_the_dead_letter_process(
    node: homing.Node, probe: Probe
) -> None:
    gate = asyncio.Event()
    pid = await node.spawn(Worker, [], gate, options=letters(probe.pid, preserve_mailbox=True))
    for message in ("wait", 1, 2):
        node.send(pid, message)
    await eventually(lambda: node.process_info(pid).state is gen.ProcessState.RUNNING)
    node.kill(pid)
    assert [(await probe.get()).message for _ in range(3)] == ["wait", 1, 2]


async def test_a_dead_letter_that_finds_nobody_is_counted(bench: Bench) -> None:
    await bench.start(letters("nobody"))
    bench.send(1)
    bench.node.kill(bench.pid)
    await eventually(lambda: bench.node.info().discarded == 1)
    assert bench.node.info().dead_letters == 1


async def test_dead_letters_to_ever_other_processes_that_have_gone_leave_nothing_behind(node: homing.Node) -> None:
    log = node._core.limited_log
    for _ in range(20):
        gone = await node.spawn(Doer)
        node.kill(gone)
        pid = await node.spawn(Doer, options=letters(gone))
        with pytest.raises(gen.ProcessTerminated):
            await node.call(pid, lambda actor: 1 / 0)
    assert node.info().dead_letters == 20
    assert len(log._last) + len(log._held_back) <= 2


async def test_a_bounded_mailbox_keeps_what_it_held(bench: Bench) -> None:
    pid = await bench.start(gen.ProcessOptions(preserve_mailbox=True, mailbox_size=2))
    bench.send(1, 2)
    with pytest.raises(gen.MailboxFull):
        bench.send(3)
    bench.node.kill(pid)
    assert await bench.handled(2) == [1, 2]


async def test_the_crash_is_logged_with_the_type_of_the_message_but_not_its_content(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.start(PRESERVE)
    bench.send(Poison("secret"))
    with caplog.at_level("ERROR", logger="homing"):
        bench.gate.set()
        await eventually(lambda: caplog.records)
    assert "crashed, handling a Poison: " in caplog.records[0].message


@pytest.mark.parametrize("option", ["preserve_mailbox", "dead_letters"])
def test_an_option_that_cannot_work_is_refused_by_name(option: str) -> None:
    with pytest.raises(gen.BadOption, match=option):
        gen.ProcessOptions(**{option: 1})  # type: ignore[arg-type]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["", "poison", "kill"])), max_size=60))
def test_every_message_is_handled_once_in_order_or_is_a_dead_letter(script: list[tuple[int, str]]) -> None:
    """Whatever is sent to whichever lane, wherever it crashes and is killed."""
    asyncio.run(_conserves(script))


async def _conserves(script: list[tuple[int, str]]) -> None:
    async with homing.start_node("law@localhost", gen.NodeOptions(handle_signals=False)) as node:
        probe = await Probe.start(node)
        bench = Bench(node)
        await bench.start(letters(probe.pid, preserve_mailbox=True), Many)
        bench.gate.set()
        sent: dict[int, list[Any]] = {0: [], 1: [], 2: []}
        for number, (lane, event) in enumerate(script):
            message = Poison(number) if event == "poison" else number
            sent[lane].append(message)
            node.send(NAME, message, gen.MessagePriority(lane))
            if event == "kill":
                node.kill(bench.pid)
                await eventually(lambda: NAME in node._core.registry.routes)
        wanted = 1 + len(script)
        await eventually(lambda: len(bench.seen) + probe.queue.qsize() == wanted)
        dead = [probe.queue.get_nowait()[2].message for _ in range(probe.queue.qsize())]
        for lane, messages in sent.items():
            handled = [message for message in bench.seen if message in messages]
            assert handled == [message for message in messages if message not in dead], lane
        assert len(bench.seen) == len(set(bench.seen))
        assert node.info().discarded == 0


class Many(Keeper):
    def init(self, options: gen.ProcessOptions, *args: Any, **child: Any) -> act.SupervisorSpec:
        return act.SupervisorSpec(children=super().init(options, *args).children, intensity=1000)
