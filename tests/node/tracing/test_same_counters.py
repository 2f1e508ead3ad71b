"""A run with traces and the same run without have the same messages, errors, answers and counters."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import homing
from homing import act, gen, meta, observe
from homing.testing import FakeNetwork, run_virtual

from ...support import examples
from ..actors import QUIET

PATIENT = replace(QUIET, turn_seconds=60.0, slice_seconds=60.0)
"""On a busy machine too, a turn ends when its messages do."""

SERVER, CLIENT = ("10.0.0.1", 53), ("10.0.0.2", 4000)

SINKS = st.fixed_dictionaries(
    {
        "mailbox_size": st.sampled_from([0, 1, 3]),
        "overflow": st.sampled_from(["raise", "drop_newest", "drop_oldest"]),
        "preserve_mailbox": st.booleans(),
        "concurrency": st.sampled_from([1, 3]),
        "dead_letters": st.sampled_from([None, "letters"]),
    }
)

SERVERS = st.fixed_dictionaries(
    {
        "process": st.sampled_from(["sink", "pool", "batches"]),
        "overflow": st.sampled_from([None, "drop_newest", "drop_oldest"]),
        "peers": st.booleans(),
    }
)

ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("send", "packets", "packets", "call", "request", "through", "pool", "crash", "kill", "exit"),
                *("rest", "rest", "trace", "close"),
            ]
        ),
        st.integers(0, 4),
    ),
    min_size=5,
    max_size=40,
)

TARGETS = (None, "sink", "front", "pool", "batches")


class Run:
    """What one run of the actions has led to."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.counters: list[Any] = []
        self._waits = 0

    async def wait(self) -> None:
        """Waits for a time of its own: of two timers that are due at the same time, either may come first."""
        self._waits += 1
        await asyncio.sleep(0.01 + 0.000_013 * self._waits)


class Sink(act.Actor):
    def init(self, run: Run) -> None:
        self.run = run

    async def handle_message(self, sender: Any, message: Any) -> None:
        await self.run.wait()
        if isinstance(message, meta.MessageUDP):
            self.run.kept.append(("packet", bytes(message.data)))
            self.send(message.id, message.reply(b"ok"))
            return
        self.run.kept.append(message)
        if message == "crash":
            raise RuntimeError("asked to")

    async def handle_call(self, sender: Any, ref: Any, request: Any) -> Any:
        await self.run.wait()
        return request


class Quick(act.Actor):
    def init(self, run: Run) -> None:
        self.run = run

    def handle_message(self, sender: Any, message: Any) -> None:
        data = bytes(message.data) if isinstance(message, meta.MessageUDP) else message
        self.run.kept.append(("quick", data))
        if data == b"3":
            raise RuntimeError("asked to")


class Batches(act.Actor):
    def init(self, run: Run) -> None:
        self.run = run

    def handle_datagrams(self, messages: list[meta.MessageUDP]) -> None:
        self.run.kept += [("batch", bytes(message.data)) for message in messages]


class Letters(act.Actor):
    def init(self, run: Run) -> None:
        self.run = run

    def handle_message(self, sender: Any, message: gen.MessageDeadLetter) -> None:
        told = message.message
        self.run.kept.append(("letter", bytes(told.data) if isinstance(told, meta.MessageUDP) else told))


class Front(act.Actor):
    """Does to the sink what it is told."""

    def init(self, run: Run) -> None:
        self.run = run

    def handle_message(self, sender: Any, message: tuple[str, int]) -> Any:
        kind, number = message
        return self.asks(number) if kind == "call" else self.tries(kind, number)

    def tries(self, kind: str, number: int) -> None:
        for place in range(number + 1):
            try:
                if kind == "request":
                    self.send_request("sink", (number, place), timeout=1)
                else:
                    self.send("pool" if kind == "pool" else "sink", (kind, number, place))
            except gen.HomingError as error:
                self.run.kept.append(type(error).__name__)

    async def asks(self, number: int) -> None:
        try:
            self.run.kept.append(("answer", await self.call("sink", number, timeout=1)))
        except gen.HomingError as error:
            self.run.kept.append(("error", type(error).__name__))

    def handle_response(self, label: Any, answer: Any) -> None:
        self.run.kept.append(("response", type(answer).__name__ if isinstance(answer, Exception) else answer))


def fields_of(snapshot: Any) -> dict[str, Any]:
    return {field.name: getattr(snapshot, field.name) for field in fields(snapshot)}


def counters_of(node: homing.Node, server: meta.UDPServer) -> list[Any]:
    info = fields_of(node.info())
    for name in ("env", "pid", "uptime", "longest_stall", "spin_seconds"):
        info.pop(name)
    processes = [node.process_info(pid) for pid in node.processes()]
    told = ("messages_in", "messages_out", "dropped_newest", "dropped_oldest", "mailbox", "state", "name")
    return [info, [[getattr(process, name) for name in told] for process in processes], fields_of(server.statistics())]


async def perform(
    run: Run, sink: dict[str, Any], serving: dict[str, Any], actions: list[tuple[str, int]], traced: set[Any]
) -> None:
    class Top(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            child = act.ChildSpec(name="sink", behavior=Sink, args=(run,), options=gen.ProcessOptions(**sink))
            return act.SupervisorSpec(children=(child,), intensity=100)

    class Pool(act.Pool):
        def init(self) -> act.PoolOptions:
            return act.PoolOptions(worker=Quick, worker_args=(run,), pool_size=2)

    class Owner(act.Actor):
        async def init(self) -> None:
            options = dict(serving)
            if options.pop("peers"):
                options |= {"process": None, "peers": meta.PeerOptions(worker=Quick, worker_args=(run,))}
            host, port = SERVER
            self.server = meta.create_udp_server(meta.UDPServerOptions(host=host, port=port, **options))
            await self.spawn_meta(self.server)
            servers.append(self.server)

    servers: list[meta.UDPServer] = []
    streams: list[observe.TraceStream] = []
    with FakeNetwork(seed=1) as network:
        async with homing.start_node("same@localhost", PATIENT) as node:
            peer = network.socket(*CLIENT)
            await node.spawn(Letters, run, name="letters")
            await node.spawn(Top)
            await node.spawn(Pool, name="pool")
            await node.spawn(Batches, run, name="batches")
            await node.spawn(Front, run, name="front")
            await node.spawn(Owner)
            streams += [observe.trace(node, target, seconds=60, rate=1000) for target in traced]
            for action, number in actions:
                match action:
                    case "packets":
                        for place in range(number + 1):
                            peer.send(b"%d" % place, SERVER)
                    case "send" | "crash":
                        for _ in range(number + 1 if action == "send" else 1):
                            try:
                                node.send("sink", "crash" if action == "crash" else number)
                            except gen.HomingError as error:
                                run.kept.append(type(error).__name__)
                    case "call" | "request" | "through" | "pool":
                        node.send("front", (action, number))
                    case "kill" | "exit":
                        for pid in node.processes():
                            if node.process_info(pid).name == "sink":
                                node.kill(pid) if action == "kill" else node.send_exit(pid, RuntimeError)
                    case "rest":
                        await asyncio.sleep(0.015_007 * number)
                    case "trace" if traced:
                        with suppress(gen.NameUnknown):  # it is being started again
                            streams.append(observe.trace(node, TARGETS[number], seconds=60, rate=1000))
                    case "close" if traced:
                        for stream in streams[number : number + 1]:
                            stream.close()
            await asyncio.sleep(5)
            for stream in streams:
                stream.close()
            run.counters = counters_of(node, servers[0])


@settings(max_examples=examples(100, 3000))
@given(SINKS, SERVERS, ACTIONS, st.sets(st.sampled_from(TARGETS), min_size=1))
def test_messages_and_counters_are_the_same_with_and_without_traces(
    sink: dict[str, Any], serving: dict[str, Any], actions: list[tuple[str, int]], targets: set[Any]
) -> None:
    """targets: what is traced from the beginning."""
    runs = [Run(), Run()]
    for run, traced in zip(runs, (set(), targets), strict=True):
        run_virtual(lambda run=run, traced=traced: perform(run, sink, serving, actions, traced))
    plain, traced_run = runs
    assert traced_run.kept == plain.kept
    assert traced_run.counters == plain.counters
