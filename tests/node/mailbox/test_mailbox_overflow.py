"""`ProcessOptions.overflow`: what finds a mailbox full is refused, or dropped, or takes the place of the oldest."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import DEADLINE, Probe, eventually

SIZE = 5
DROPPING = ["drop_newest", "drop_oldest"]


class Slow(act.Actor):
    """Keeps what it gets, and waits at the gate with each."""

    def init(self, gate: asyncio.Semaphore, got: list[Any] | None = None) -> None:
        self.gate = gate
        self.got = [] if got is None else got

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.got.append(message)
        await self.gate.acquire()

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        if request == "got":
            return self.got
        self.got.append(request)
        await self.gate.acquire()
        return ("answer", request)

    async def handle_event(self, event: gen.MessageEvent) -> None:
        self.got.append(event.message)
        await self.gate.acquire()


class Held:
    """A slow process that has a message in hand, "first"."""

    def __init__(self, node: homing.Node, pid: gen.PID, gate: asyncio.Semaphore) -> None:
        self.node = node
        self.pid = pid
        self.gate = gate

    @property
    def info(self) -> gen.ProcessInfo:
        return self.node.process_info(self.pid)

    @property
    def dropped(self) -> tuple[int, int]:
        return self.info.dropped_newest, self.info.dropped_oldest

    async def let(self) -> list[Any]:
        """Lets all pass, and gives what came."""
        for _ in range(1000):
            self.gate.release()
        await eventually(lambda: self.info.mailbox == gen.MailboxInfo(urgent=0, system=0, main=0, log=0))
        got: list[Any] = await self.node.call(self.pid, "got")
        return got


async def hold(node: homing.Node, overflow: Any, **options: Any) -> Held:
    gate = asyncio.Semaphore(0)
    options = {"mailbox_size": SIZE, **options}
    pid = await node.spawn(Slow, gate, options=gen.ProcessOptions(overflow=overflow, **options))
    node.send(pid, "first")
    held = Held(node, pid, gate)
    await eventually(lambda: held.info.mailbox.main == 0)
    return held


async def test_by_default_the_sender_is_told_and_nothing_is_dropped(node: homing.Node) -> None:
    assert gen.ProcessOptions().overflow == gen.MetaOptions().overflow == "raise"
    held = await hold(node, "raise")
    for number in range(SIZE):
        node.send(held.pid, number)
    with pytest.raises(gen.MailboxFull):
        node.send(held.pid, "too much")
    assert held.dropped == (0, 0)
    assert await held.let() == ["first", *range(SIZE)]


@pytest.mark.parametrize("overflow", DROPPING)
@pytest.mark.parametrize("priority", list(gen.MessagePriority))
async def test_what_is_too_much_is_dropped_and_counted_in_each_lane(
    overflow: str, priority: gen.MessagePriority, node: homing.Node, probe: Probe
) -> None:
    held = await hold(node, overflow)
    for number in range(20):
        await probe.do(lambda actor, number=number: actor.send_with_priority(held.pid, number, priority))
    assert held.info.mailbox in [
        gen.MailboxInfo(urgent=0, system=0, main=SIZE, log=0),
        gen.MailboxInfo(urgent=0, system=SIZE, main=0, log=0),
        gen.MailboxInfo(urgent=SIZE, system=0, main=0, log=0),
    ]
    newest = overflow == "drop_newest"
    assert held.dropped == ((20 - SIZE, 0) if newest else (0, 20 - SIZE))
    assert await held.let() == ["first", *(range(SIZE) if newest else range(20 - SIZE, 20))]


@pytest.mark.parametrize("overflow", DROPPING)
async def test_by_name_by_timer_and_from_another_thread_it_is_the_same(
    overflow: str, node: homing.Node, probe: Probe
) -> None:
    held = await hold(node, overflow)
    for number in range(SIZE):
        node.send(held.pid, number)
    await probe.do(lambda actor: actor.send_after(held.pid, "timer", 0.001) and None)
    await eventually(lambda: sum(held.dropped) == 1)
    await asyncio.to_thread(node.send_threadsafe, held.pid, "thread")
    await eventually(lambda: sum(held.dropped) == 2)
    info = node.info()
    assert (info.timer_failures, info.threadsafe_failures) == (0, 0)
    expected = ["first", *range(SIZE)] if overflow == "drop_newest" else ["first", 2, 3, 4, "timer", "thread"]
    assert await held.let() == expected


# --- requests -----------------------------------------------------------------------------------------------


async def test_a_request_that_is_dropped_fails_its_caller_at_once(node: homing.Node) -> None:
    held = await hold(node, "drop_newest")
    for number in range(SIZE):
        node.send(held.pid, number)
    with pytest.raises(gen.MailboxFull):
        await node.call(held.pid, "too much", timeout=DEADLINE)
    assert held.dropped == (1, 0)
    await held.let()


async def test_a_request_that_gives_way_fails_its_caller_at_once(node: homing.Node) -> None:
    held = await hold(node, "drop_oldest")
    call = asyncio.create_task(node.call(held.pid, "request", timeout=DEADLINE))
    await eventually(lambda: held.info.mailbox.main == 1)
    for number in range(SIZE):
        node.send(held.pid, number)
    with pytest.raises(gen.MailboxFull) as caught:
        await call
    assert (caught.value.target, caught.value.limit) == (held.pid, SIZE)
    assert held.dropped == (0, 1)
    assert await held.let() == ["first", *range(SIZE)]
    assert node.info().late_responses == 0


async def test_a_request_takes_the_place_of_the_oldest(node: homing.Node) -> None:
    held = await hold(node, "drop_oldest")
    for number in range(SIZE):
        node.send(held.pid, number)
    call = asyncio.create_task(node.call(held.pid, "request", timeout=DEADLINE))
    await eventually(lambda: held.dropped == (0, 1))
    assert await held.let() == ["first", 1, 2, 3, 4, "request"]
    assert await call == ("answer", "request")


async def test_a_request_that_is_forwarded_may_take_a_place_too(node: homing.Node, probe: Probe) -> None:
    held = await hold(node, "drop_oldest")
    for number in range(SIZE):
        node.send(held.pid, number)

    class Forwards(act.Actor):
        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            self.forward(held.pid, request, sender=sender, ref=ref)
            return gen.NO_REPLY

    forwards = await node.spawn(Forwards)
    call = asyncio.create_task(node.call(forwards, "request", timeout=DEADLINE))
    await eventually(lambda: held.dropped == (0, 1))
    await held.let()
    assert await call == ("answer", "request")


# --- what never goes ------------------------------------------------------------------------------------------


async def test_what_the_runtime_sends_passes_and_never_gives_way(node: homing.Node, probe: Probe) -> None:
    held = await hold(node, "drop_oldest")
    watched = await Probe.start(node)

    class Watches(Slow):
        trap_exit = True

        def init(self, gate: asyncio.Semaphore) -> None:  # type: ignore[override]
            super().init(gate, got)
            self.link(held.pid)
            self.monitor(watched.pid)

    gate = asyncio.Semaphore(0)
    got: list[Any] = []
    options = gen.ProcessOptions(mailbox_size=2, overflow="drop_oldest")
    pid = await node.spawn(Watches, gate, options=options)
    node.send(pid, "first")
    await eventually(lambda: node.process_info(pid).mailbox.main == 0)
    node.kill(watched.pid)
    node.kill(held.pid)
    await eventually(lambda: node.process_info(pid).mailbox.system == 1)
    for priority in gen.MessagePriority:
        for number in range(10):
            await probe.do(lambda actor, n=number, p=priority: actor.send_with_priority(pid, (int(p), n), p))
    info = node.process_info(pid)
    assert (info.mailbox.urgent, info.mailbox.system, info.mailbox.main) == (2, 2, 2)
    assert info.dropped_oldest == 8 + 9 + 9
    for _ in range(100):
        gate.release()
    await eventually(lambda: len(got) == 7)
    assert [type(message) for message in got[1:3]] == [gen.MessageExitPID, tuple]
    assert gen.MessageDownPID in {type(message) for message in got}
    assert [message for message in got if isinstance(message, tuple)] == [(2, 9), (1, 9), (0, 8), (0, 9)]


async def test_where_nothing_may_give_way_the_new_one_is_dropped(node: homing.Node, probe: Probe) -> None:
    held = await hold(node, "drop_oldest", mailbox_size=1)
    ended = await Probe.start(node)
    await node.call(probe.pid, lambda actor: None)

    class Watches(Slow):
        def init(self, gate: asyncio.Semaphore) -> None:
            super().init(gate)
            self.monitor(ended.pid)

    gate = asyncio.Semaphore(0)
    pid = await node.spawn(Watches, gate, options=gen.ProcessOptions(mailbox_size=1, overflow="drop_oldest"))
    node.send(pid, "first")
    await eventually(lambda: node.process_info(pid).mailbox.main == 0)
    node.kill(ended.pid)
    await eventually(lambda: node.process_info(pid).mailbox.system == 1)
    await probe.do(lambda actor: actor.send_with_priority(pid, "high", gen.MessagePriority.HIGH))
    info = node.process_info(pid)
    assert (info.dropped_newest, info.dropped_oldest, info.mailbox.system) == (1, 0, 1)
    assert held.dropped == (0, 0)
    for one in (gate, held.gate):
        for _ in range(10):
            one.release()


async def test_an_inspection_passes_and_an_exit_signal_ends_it(node: homing.Node) -> None:
    class Open(Slow):
        def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
            return len(self.got)

    gate = asyncio.Semaphore(0)
    pid = await node.spawn(Open, gate, options=gen.ProcessOptions(mailbox_size=1, overflow="drop_oldest"))
    node.send(pid, "first")
    inspection = asyncio.create_task(node.inspect(pid, timeout=DEADLINE))
    await eventually(lambda: node.process_info(pid).mailbox.urgent == 1)
    for number in range(10):
        node.send(pid, number)
    gate.release()
    assert await inspection == 1
    node.send_exit(pid, gen.TerminateShutdown)
    gate.release()
    await eventually(lambda: pid not in node.processes())


# --- events, fallback -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("overflow", ["raise", *DROPPING])
async def test_publications_are_messages_like_others(overflow: str, node: homing.Node, probe: Probe) -> None:
    token = await probe.do(lambda actor: actor.register_event("news"))

    class Reads(Slow):
        def init(self, gate: asyncio.Semaphore) -> None:
            super().init(gate)
            self.monitor_event(gen.Event("news", self.node))

    gate = asyncio.Semaphore(0)
    pid = await node.spawn(Reads, gate, options=gen.ProcessOptions(mailbox_size=SIZE, overflow=overflow))
    held = Held(node, pid, gate)
    node.send(pid, "first")
    await eventually(lambda: held.info.mailbox.main == 0)
    for number in range(12):
        reached = await probe.do(lambda actor, number=number: actor.send_event("news", token, number))
        assert reached == (1 if number < SIZE or overflow == "drop_oldest" else 0)
    assert node.info().event_failures == (0 if overflow == "drop_oldest" else 12 - SIZE)
    assert held.dropped == {"raise": (0, 0), "drop_newest": (7, 0), "drop_oldest": (0, 7)}[overflow]
    assert await held.let() == ["first", *(range(7, 12) if overflow == "drop_oldest" else range(SIZE))]


@pytest.mark.parametrize("overflow", DROPPING)
async def test_what_would_be_dropped_goes_to_the_fallback_which_may_be_full_itself(
    overflow: str, node: homing.Node
) -> None:
    gate = asyncio.Semaphore(0)
    got: list[Any] = []
    await node.spawn(Slow, gate, got, name="fallback", options=gen.ProcessOptions(mailbox_size=3))
    held = await hold(node, overflow, fallback=gen.Fallback(name="fallback", tag="tag"))
    for number in range(SIZE + 10):
        node.send(held.pid, number)
        await asyncio.sleep(0)
    took = 1 + 3
    newest = overflow == "drop_newest"
    assert held.dropped == ((10 - took, 0) if newest else (0, 10 - took))
    for _ in range(20):
        gate.release()
    await eventually(lambda: len(got) == took)
    first = SIZE if newest else 0
    assert [(one.pid, one.tag, one.target, one.message) for one in got] == [
        (held.pid, "tag", held.pid, number) for number in range(first, first + took)
    ]
    assert await held.let() == ["first", *(range(SIZE) if newest else range(10, 15))]


@pytest.mark.parametrize("wrong", ["", "drop", "pause", None, 1, ["raise"]])
@pytest.mark.parametrize("options", [gen.ProcessOptions, gen.MetaOptions])
def test_what_is_no_policy_is_refused(wrong: Any, options: Any) -> None:
    with pytest.raises(gen.BadOption, match="overflow"):
        options(overflow=wrong)


@pytest.mark.parametrize("overflow", DROPPING)
async def test_without_a_limit_nothing_is_dropped(overflow: str, node: homing.Node) -> None:
    held = await hold(node, overflow, mailbox_size=0)
    for number in range(2000):
        node.send(held.pid, number)
    assert (held.dropped, held.info.mailbox.main) == ((0, 0), 2000)
    for _ in range(3000):
        held.gate.release()


async def test_a_successor_that_gets_what_waited_drops_from_that_too(node: homing.Node) -> None:
    gate = asyncio.Semaphore(0)
    got: list[Any] = []

    class Keeps(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            options = gen.ProcessOptions(mailbox_size=SIZE, overflow="drop_oldest", preserve_mailbox=True)
            return act.SupervisorSpec(
                children=(act.ChildSpec(name="slow", behavior=Slow, args=(gate, got), options=options),)
            )

    await node.spawn(Keeps)
    node.send("slow", "first")
    await eventually(lambda: got == ["first"])
    for number in range(SIZE):
        node.send("slow", number)
    before = node.process_info("slow").pid
    node.kill(before)
    await eventually(lambda: any(node.process_info(p).name == "slow" for p in node.processes() if p != before))
    await eventually(lambda: node.process_info("slow").mailbox.main == SIZE - 1)
    for number in (5, 6, 7):
        node.send("slow", number)
    assert node.process_info("slow").dropped_oldest == 2
    for _ in range(20):
        gate.release()
    await eventually(lambda: len(got) == 7)
    assert got == ["first", 0, 3, 4, 5, 6, 7]


# --- meta-processes ---------------------------------------------------------------------------------------------


class Adapter(gen.MetaBehavior):
    """Takes a message whenever the gate lets it."""

    def init(self, process: gen.MetaProcess) -> None:
        self.process = process
        self.gate = asyncio.Semaphore(0)
        self.got: list[Any] = []

    async def start(self) -> None:
        await asyncio.get_running_loop().create_future()

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.got.append(message)
        await self.gate.acquire()


@pytest.mark.parametrize("overflow", DROPPING)
@pytest.mark.parametrize("priority", list(gen.MessagePriority))
async def test_the_mailbox_of_a_meta_process_has_policies_too(
    overflow: Any, priority: gen.MessagePriority, node: homing.Node, probe: Probe
) -> None:
    adapter = Adapter()
    options = gen.MetaOptions(mailbox_size=SIZE, overflow=overflow)
    alias = await probe.do(lambda actor: actor.spawn_meta(adapter, options))
    node.send(alias, "first")
    await eventually(lambda: adapter.got == ["first"])
    for number in range(20):
        await probe.do(lambda actor, number=number: actor.send_with_priority(alias, number, priority))
    info = node.meta_info(alias)
    newest = overflow == "drop_newest"
    assert (info.dropped_newest, info.dropped_oldest) == ((15, 0) if newest else (0, 15))
    for _ in range(20):
        adapter.gate.release()
    await eventually(lambda: len(adapter.got) == 1 + SIZE)
    assert adapter.got == ["first", *(range(SIZE) if newest else range(15, 20))]


# --- the account ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("overflow", ["raise", *DROPPING])
async def test_every_message_is_handled_refused_dropped_or_waits(
    overflow: str, seed: int, node: homing.Node, probe: Probe
) -> None:
    choose = random.Random(f"{overflow} {seed}")
    held = await hold(node, overflow, mailbox_size=choose.choice([1, 3, 10]))
    sent, refused = 1, 0
    calls: list[asyncio.Task[Any]] = []
    for number in range(300):
        match choose.choice(["send", "send", "send", "high", "call", "let"]):
            case "send":
                sent += 1
                try:
                    node.send(held.pid, number)
                except gen.MailboxFull:
                    refused += 1
            case "high":
                sent += 1
                try:
                    node._core.delivery.send(probe.pid, held.pid, number, gen.MessagePriority.HIGH)
                except gen.MailboxFull:
                    refused += 1
            case "call":
                sent += 1
                calls.append(asyncio.create_task(node.call(held.pid, number, timeout=DEADLINE)))
                await asyncio.sleep(0)
            case "let":
                held.gate.release()
                await asyncio.sleep(0)
    got = await held.let()
    results = await asyncio.gather(*calls, return_exceptions=True)
    answered = [result for result in results if isinstance(result, tuple)]
    full = [result for result in results if isinstance(result, gen.MailboxFull)]
    assert len(answered) + len(full) == len(calls)
    newest, oldest = held.dropped
    if overflow == "raise":
        assert (newest, oldest) == (0, 0)
        assert len(got) + refused + len(full) == sent
    else:
        assert refused == 0
        assert len(got) + newest + oldest == sent
        assert newest == 0 if overflow == "drop_oldest" else oldest == 0
