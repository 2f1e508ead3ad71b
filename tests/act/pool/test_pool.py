"""The pool: one address, many workers that take turns."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...meta.servers import create, error_of
from ...support import Probe, UDPPeer, eventually


class Worker(act.Actor):
    """Tells the probe what it gets, as (its own PID, sender, message). Crashes on "crash"."""

    def init(self, probe: Probe) -> None:
        self.probe = probe

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        if message == "crash":
            raise RuntimeError("as asked")
        if message == "end":
            raise gen.TerminateNormal
        self.probe.queue.put_nowait(("worker", sender, (self.pid, message)))

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return (self.pid, sender, request)


class AsyncWorker(Worker):
    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        await asyncio.sleep(0)
        super().handle_message(sender, message)

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        await asyncio.sleep(0)
        return (self.pid, sender, request)


class Workers(act.Pool):
    """A pool that hands what comes to its own lanes to the probe, and runs functions sent as requests of priority."""

    def init(self, probe: Probe, **options: Any) -> act.PoolOptions:
        self.probe = probe
        return act.PoolOptions(**{"worker": Worker, "worker_args": (probe,), **options})

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.probe.queue.put_nowait(("pool", sender, message))

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        result = request(self)
        return await result if asyncio.iscoroutine(result) else result


class AsyncWorkers(Workers):
    def init(self, probe: Probe, **options: Any) -> act.PoolOptions:
        return super().init(probe, worker=AsyncWorker, **options)


class Pair(Workers):
    def init(self, probe: Probe, **options: Any) -> act.PoolOptions:
        return super().init(probe, pool_size=2, **options)


async def do(node: homing.Node, pool: gen.PID, function: Any) -> Any:
    """Runs `function(pool)` in the pool's process."""
    return await node.call(pool, function, priority=gen.MessagePriority.HIGH)


async def workers(node: homing.Node, pool: gen.PID) -> list[str]:
    return list((await node.inspect(pool))["workers"])


@pytest.mark.parametrize("behavior", [Workers, AsyncWorkers])
async def test_messages_go_round_robin_with_their_original_sender(
    behavior: type[act.Pool], node: homing.Node, probe: Probe
) -> None:
    pool = await node.spawn(behavior, probe)
    other = await Probe.start(node)
    for number in range(9):
        await other.do(lambda actor, number=number: actor.send(pool, number))
    got = [await probe.next() for _ in range(9)]
    assert {sender for _, sender, _ in got} == {other.pid}
    assert sorted(message for _, _, (_, message) in got) == list(range(9))
    by_worker = {pid: [m for _, _, (p, m) in got if p == pid] for _, _, (pid, _) in got}
    assert len(by_worker) == 3
    assert all(b - a == 3 for taken in by_worker.values() for a, b in itertools.pairwise(taken))


@pytest.mark.parametrize("behavior", [Workers, AsyncWorkers])
async def test_a_call_through_the_pool_is_answered_by_a_worker_that_sees_the_original_caller(
    behavior: type[act.Pool], node: homing.Node, probe: Probe
) -> None:
    pool = await node.spawn(behavior, probe)
    answers = [await probe.do(lambda actor, number=number: actor.call(pool, number)) for number in range(6)]
    assert [request for _, _, request in answers] == list(range(6))
    assert {sender for _, sender, _ in answers} == {probe.pid}
    assert len({worker for worker, _, _ in answers}) == 3
    assert pool not in {worker for worker, _, _ in answers}


@pytest.mark.parametrize("target", ["name", "alias", "pid"])
async def test_a_pool_forwards_what_comes_by_any_of_its_addresses(target: str, node: homing.Node, probe: Probe) -> None:
    pool = await node.spawn(Workers, probe, name="pool")
    to: gen.Target = {"name": "pool", "pid": pool}.get(target, "")
    if target == "alias":
        to = await do(node, pool, lambda actor: actor.create_alias())
    node.send(to, "hello")
    assert (await probe.get())[1] == "hello"


class Splitting(Workers):
    split_handle = True


async def test_a_pool_that_splits_its_handlers_forwards_plain_messages(node: homing.Node, probe: Probe) -> None:
    await node.spawn(Splitting, probe, name="pool")
    node.send("pool", "by name")
    assert (await probe.get())[1] == "by name"
    assert (await node.call("pool", "request"))[2] == "request"


@pytest.mark.parametrize("priority", [gen.MessagePriority.HIGH, gen.MessagePriority.MAX])
async def test_what_comes_with_a_higher_priority_is_the_pools_own(
    priority: gen.MessagePriority, node: homing.Node, probe: Probe
) -> None:
    pool = await node.spawn(Workers, probe)
    node.send(pool, "for you", priority)
    assert await probe.next() == ("pool", node.pid, "for you")
    assert await node.call(pool, lambda actor: actor.pid, priority=priority) == pool


@pytest.mark.parametrize("end", ["crash", "end", "kill"])
async def test_a_worker_that_ends_is_replaced(end: str, node: homing.Node, probe: Probe) -> None:
    pool = await node.spawn(Workers, probe)
    before = await workers(node, pool)
    if end == "kill":
        victim = (await node.call(pool, "who"))[0]
        node.kill(victim)
    else:
        node.send(pool, end)
    await eventually(lambda: node.info().spawned == 6)  # probe, pool, three workers and the new one
    assert len(await workers(node, pool)) == 3
    assert len(set(await workers(node, pool)) & set(before)) == 2
    assert (await node.inspect(pool))["worker_restarts"] == 1
    for number in range(6):
        node.send(pool, number)
    got = [await probe.get() for _ in range(6)]
    assert len({pid for pid, _ in got}) == 3


class Sick(Worker):
    """Its `init` fails while its doctor says so."""

    healthy = True

    def init(self, probe: Probe) -> None:
        if not type(self).healthy:
            raise RuntimeError("not yet")
        super().init(probe)


class Hospital(Workers):
    def init(self, probe: Probe, **options: Any) -> act.PoolOptions:
        return super().init(probe, worker=Sick, pool_size=2, **options)


async def test_a_pool_whose_workers_cannot_be_started_keeps_its_messages_and_recovers(
    node: homing.Node, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = await node.spawn(Hospital, probe)
    monkeypatch.setattr(Sick, "healthy", False)
    for _ in range(2):
        node.send(pool, "crash")
    await eventually(lambda: node.info().processes == 2)
    for number in range(10):
        node.send(pool, number)
    call = asyncio.create_task(node.call(pool, "question"))
    async with asyncio.timeout(5):
        while (await node.inspect(pool))["messages_waiting"] != 11:
            await asyncio.sleep(0)
    monkeypatch.setattr(Sick, "healthy", True)
    assert sorted([(await probe.get())[1] for _ in range(10)]) == list(range(10))
    assert (await call)[2] == "question"
    await eventually(lambda: node.info().processes == 4)
    assert (await node.inspect(pool))["pool_size"] == 2


async def test_a_pool_whose_first_workers_cannot_be_started_fails_as_a_whole(
    node: homing.Node, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sick, "healthy", False)
    with pytest.raises(RuntimeError, match="not yet"):
        await node.spawn(Hospital, probe)
    await eventually(lambda: node.processes() == [probe.pid])


@pytest.mark.parametrize("end", ["kill", "exit", "crash"])
async def test_workers_die_with_the_pool(end: str, node: homing.Node, probe: Probe) -> None:
    pool = await node.spawn(Workers, probe)
    if end == "kill":
        node.kill(pool)
    elif end == "exit":
        node.send_exit(pool, gen.TerminateShutdown)
    else:
        node.send(pool, "not callable", gen.MessagePriority.HIGH)
        with pytest.raises(gen.ProcessTerminated):
            await node.call(pool, "not callable", priority=gen.MessagePriority.HIGH)
    await eventually(lambda: node.processes() == [probe.pid], "the end of pool and workers")


class Answers(act.Actor):
    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.send(message.id, message.reply(b"from a worker"))


class Answering(act.Pool):
    def init(self) -> act.PoolOptions:
        return act.PoolOptions(worker=Answers)


async def test_workers_answer_datagrams_through_the_server_that_brought_them(
    node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    await node.spawn(Answering, name="answering")
    server = create(process="answering")
    await probe.do(lambda actor: actor.spawn_meta(server))
    assert await peer.ask(b"question", server.local_address) == b"from a worker"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("worker", None),
        ("worker", int),
        ("worker", Worker.handle_message),
        ("worker_args", ["list"]),
        ("pool_size", 0),
        ("pool_size", True),
        ("worker_mailbox_size", -1),
        ("worker_mailbox_size", 1.5),
        ("overflow", "explode"),
        ("overflow", None),
    ],
)
def test_a_bad_option_is_refused_by_an_error_that_names_it(option: str, value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        act.PoolOptions(**{"worker": Worker, option: value})
    assert caught.value.option == option


class Forgetful(act.Pool):
    def init(self) -> Any:
        return {"worker": Worker}


async def test_a_pool_whose_init_gives_no_pool_options_cannot_be_started(node: homing.Node) -> None:
    with pytest.raises(gen.BadOption, match="PoolOptions"):
        await node.spawn(Forgetful)
    assert node.processes() == []


async def test_the_counters_add_up_and_name_each_worker(node: homing.Node, probe: Probe) -> None:
    pool = await node.spawn(Workers, probe)
    for number in range(100):
        node.send(pool, number)
    for _ in range(100):
        await probe.get()
    facts = await node.inspect(pool)
    assert (facts["pool_size"], facts["worker_behavior"]) == (3, "Worker")
    assert (facts["messages_forwarded"], facts["messages_waiting"], facts["messages_dropped"]) == (100, 0, 0)
    assert sorted(worker["handled"] for worker in facts["workers"].values()) == [33, 33, 34]
    assert all(worker["waiting"] == 0 for worker in facts["workers"].values())


# --- size ---------------------------------------------------------------------------------------------------


async def test_add_workers_gives_the_new_size_and_the_new_ones_take_turns(node: homing.Node, probe: Probe) -> None:
    pool = await node.spawn(Pair, probe)
    assert await do(node, pool, lambda actor: actor.add_workers(2)) == 4
    for number in range(8):
        node.send(pool, number)
    assert len({pid for pid, _ in [await probe.get() for _ in range(8)]}) == 4


async def test_remove_workers_gives_the_new_size_and_ends_the_last_started(node: homing.Node, probe: Probe) -> None:
    pool = await node.spawn(Workers, probe)
    before = await workers(node, pool)
    assert await do(node, pool, lambda actor: actor.remove_workers(2)) == 1
    await eventually(lambda: node.info().processes == 3)
    assert await workers(node, pool) == before[:1]
    assert (await node.inspect(pool))["worker_restarts"] == 0


@pytest.mark.parametrize("number", [0, -1, 3, 4, True, "1"])
async def test_remove_workers_refuses_a_number_that_leaves_no_worker(
    number: Any, node: homing.Node, probe: Probe
) -> None:
    pool = await node.spawn(Workers, probe)

    async def removing(actor: Any) -> Exception:
        async def remove() -> None:
            actor.remove_workers(number)

        return await error_of(remove())

    assert isinstance(await do(node, pool, removing), gen.BadOption)
    assert len(await workers(node, pool)) == 3


async def test_add_workers_whose_init_fails_tells_the_error_and_keeps_the_others(
    node: homing.Node, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = await node.spawn(Hospital, probe)
    monkeypatch.setattr(Sick, "healthy", False)
    assert isinstance(await do(node, pool, lambda actor: error_of(actor.add_workers(1))), RuntimeError)
    assert len(await workers(node, pool)) == 2
