"""The router: one address, named routes, and code that decides where each message goes."""

from __future__ import annotations

import asyncio
import enum
from typing import Any

import pytest

import homing
from homing import act, gen, meta

from ...meta.servers import create
from ...support import Probe, UDPPeer, eventually
from .routing import HIGH, Routing, Worker, do, failures, owned, pid_of, start, until


async def test_a_message_goes_to_the_route_that_the_code_names_with_its_original_sender(
    node: homing.Node, probe: Probe
) -> None:
    router = await start(node, probe, routes=owned(probe, "a", "b"))
    other = await Probe.start(node)
    for name in "abba":
        await other.do(lambda actor, name=name: actor.send(router, (name, "hello")))
    got = [await probe.next() for _ in range(4)]
    assert sorted(label for label, _, _ in got) == ["a", "a", "b", "b"]
    assert all(sender == other.pid and message == (label, "hello") for label, sender, message in got)


async def test_messages_to_one_route_arrive_in_order(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, routes=owned(probe, "a", "b"))
    for number in range(1000):
        node.send(router, ("ab"[number % 2], number))
    got = [await probe.next() for _ in range(1000)]
    for label, first in (("a", 0), ("b", 1)):
        assert [message[1] for where, _, message in got if where == label] == list(range(first, 1000, 2))


async def test_a_call_is_answered_by_the_route_that_sees_the_original_caller(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, routes=owned(probe, "a", "b"))
    assert await probe.do(lambda actor: actor.call(router, ("b", 1))) == ("b", probe.pid, ("b", 1))
    assert await probe.do(lambda actor: actor.call(router, ("a", 2))) == ("a", probe.pid, ("a", 2))


class ByCall(Routing):
    """Routes requests apart from messages."""

    def route_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> str | None:
        return "queries" if isinstance(ref, gen.Ref) and request[1] != "drop" else act.DISCARD


async def test_requests_can_be_routed_apart_from_messages(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, ByCall, routes=owned(probe, "commands", "queries"))
    node.send(router, ("commands", 1))
    assert (await probe.next())[0] == "commands"
    assert (await node.call(router, ("commands", 1)))[0] == "queries"


@pytest.mark.parametrize("behavior", [Routing, ByCall])
async def test_what_is_discarded_is_counted_and_a_request_fails_at_once(
    behavior: type[Routing], node: homing.Node, probe: Probe
) -> None:
    router = await start(node, probe, behavior, routes=owned(probe, "a"))
    node.send(router, (act.DISCARD, 1))
    node.send(router, ((), 1))
    with pytest.raises(act.RouteDiscarded):
        await node.call(router, (act.DISCARD, "drop"), timeout=60)
    facts = await node.inspect(router)
    assert (facts["messages_discarded"], facts["messages_forwarded"], facts["messages_failed"]) == (3, 0, 0)


async def test_a_message_to_several_routes_is_given_to_each(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, routes=owned(probe, "a", "b", "c"))
    node.send(router, (("a", "c", "nowhere"), 1))
    assert sorted([(await probe.next())[0] for _ in range(2)]) == ["a", "c"]
    facts = await node.inspect(router)
    assert (facts["messages_forwarded"], facts["failures"]) == (2, {"RouteUnknown": 1})


async def test_a_request_to_several_routes_fails_at_its_caller_and_the_router_lives(
    node: homing.Node, probe: Probe
) -> None:
    router = await start(node, probe, routes=owned(probe, "a", "b"))
    with pytest.raises(gen.NotAllowed, match="one route"):
        await node.call(router, (("a", "b"), 1), timeout=60)
    assert (await node.call(router, (("a",), 1)))[0] == "a"
    assert (await node.inspect(router))["failures"] == {"NotAllowed": 1}


class Names(enum.StrEnum):
    A = "a"


async def test_a_name_can_be_a_string_enumeration(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, routes=owned(probe, Names.A))
    node.send(router, (Names.A, 1))
    assert (await probe.next())[0] == "a"


# --- what is the router's own -------------------------------------------------------------------------------


@pytest.mark.parametrize("priority", [gen.MessagePriority.HIGH, gen.MessagePriority.MAX])
async def test_what_comes_with_a_higher_priority_is_the_routers_own(
    priority: gen.MessagePriority, node: homing.Node, probe: Probe
) -> None:
    router = await start(node, probe, routes=owned(probe, "a"))
    node.send(router, ("a", "for you"), priority)
    assert await probe.next() == ("router", node.pid, ("a", "for you"))
    assert await node.call(router, lambda actor: actor.pid, priority=priority) == router


async def test_an_unknown_request_with_a_higher_priority_is_refused(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe)
    with pytest.raises(gen.NotAllowed, match="handle_call"):
        await node.call(router, "what?", priority=HIGH)


async def test_events_come_to_the_router_itself_in_order(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, routes=owned(probe, "a"))
    token = await probe.do(lambda actor: actor.register_event("news"))
    await do(node, router, lambda actor: actor.monitor(gen.Event("news", node.name)))
    for number in range(3):
        await probe.do(lambda actor, number=number: actor.send_event("news", token, number))
    assert [await probe.next() for _ in range(3)] == [("event", None, number) for number in range(3)]
    assert (await node.inspect(router))["messages_forwarded"] == 0


async def test_the_end_of_others_that_the_router_monitors_is_told_to_it(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, routes=owned(probe, "a"))
    other = await Probe.start(node)
    await do(node, router, lambda actor: actor.monitor(other.pid))
    node.kill(other.pid)
    _, _, message = await probe.next()
    assert isinstance(message, gen.MessageDownPID)
    assert message.pid == other.pid


class Splitting(Routing):
    split_handle = True


async def test_a_router_that_splits_its_handlers_routes_plain_messages(node: homing.Node, probe: Probe) -> None:
    await start(node, probe, Splitting, routes=owned(probe, "a"), name="router")
    node.send("router", ("a", "by name"))
    assert (await probe.get()) == ("a", "by name")
    assert (await node.call("router", ("a", "request")))[2] == ("a", "request")


# --- targets that somebody else minds -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["name", "pid", "alias", "process id"])
async def test_a_target_is_any_address(kind: str, node: homing.Node, probe: Probe) -> None:
    target = await Probe.start(node, name="target")
    alias = await target.do(lambda actor: actor.create_alias())
    addresses: dict[str, gen.Target] = {
        "name": "target",
        "pid": target.pid,
        "alias": alias,
        "process id": gen.ProcessID("target", node.name),
    }
    router = await start(node, probe, routes=(act.RouteSpec(name="t", target=addresses[kind]),))
    await probe.do(lambda actor: actor.send(router, ("t", 1)))
    assert await target.next() == ("message", probe.pid, ("t", 1))
    assert await node.call(router, ("t", 2)) == ("answer", ("t", 2))
    facts = (await node.inspect(router))["routes"]["t"]
    assert (facts["forwarded"], facts["state"], facts["pid"]) == (2, "enabled", None)


async def test_a_named_target_may_come_and_go(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, routes=(act.RouteSpec(name="t", target="late"),))
    node.send(router, ("t", "too early"))
    await until(node, router, lambda facts: facts["messages_failed"] == 1)
    target = await Probe.start(node, name="late")
    node.send(router, ("t", "in time"))
    assert await target.get() == ("t", "in time")
    node.kill(target.pid)
    await eventually(lambda: target.ended.is_set())
    node.send(router, ("t", "too late"))
    await until(node, router, lambda facts: facts["messages_failed"] == 2)
    assert await failures(node, router) == [
        ("t", ("t", "too early"), gen.NameUnknown),
        ("t", ("t", "too late"), gen.NameUnknown),
    ]


class SplitTarget(Worker):
    split_handle = True

    def handle_message_name(self, name: str, sender: gen.PID, message: Any) -> None:
        self.probe.queue.put_nowait((name, sender, message))

    def handle_call_name(self, name: str, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return (name, request)


async def test_a_target_that_splits_its_handlers_sees_the_name(node: homing.Node, probe: Probe) -> None:
    await node.spawn(SplitTarget, probe, "label", name="target")
    router = await start(node, probe, routes=(act.RouteSpec(name="t", target="target"),))
    node.send(router, ("t", 1))
    assert await probe.next() == ("target", node.pid, ("t", 1))
    assert await node.call(router, ("t", 2)) == ("target", ("t", 2))


async def test_a_target_lives_on_when_the_router_ends(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, routes=(act.RouteSpec(name="t", target=probe.pid),))
    node.kill(router)
    await eventually(lambda: node.processes() == [probe.pid])


async def test_registered_names_are_routes_only_where_that_is_asked_for(node: homing.Node, probe: Probe) -> None:
    target = await Probe.start(node, name="target")
    closed = await start(node, probe)
    free = await start(node, probe, registered_names=True)
    with pytest.raises(act.RouteUnknown):
        await node.call(closed, ("target", 1))
    assert await node.call(free, ("target", 1)) == ("answer", ("target", 1))
    with pytest.raises(act.RouteUnknown):
        await node.call(free, ("nobody", 1))
    assert target.waiting() == [("target", 1)]
    facts = await node.inspect(free)
    assert (facts["messages_forwarded"], facts["failures"]) == (1, {"RouteUnknown": 1})


async def test_a_route_that_leads_back_to_the_router_fails(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, name="loop")
    await do(node, router, lambda actor: actor.add_route(act.RouteSpec(name="t", target="loop")))
    with pytest.raises(gen.NotAllowed, match="router itself"):
        await node.call(router, ("t", 1), timeout=60)
    node.send(router, ("t", 1))
    facts = await until(node, router, lambda facts: facts["messages_failed"] == 2)
    assert facts["routes"]["t"]["failed"] == {"NotAllowed": 2}


# --- calls and the end of those who are called ---------------------------------------------------------------


async def test_a_caller_is_told_at_once_when_the_routes_process_ends(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, routes=owned(probe, "a"))
    call = asyncio.create_task(node.call(router, ("a", "never"), timeout=60))
    await until(node, router, lambda facts: facts["messages_forwarded"] == 1)
    victim = await pid_of(node, router, "a")
    assert victim is not None
    node.kill(victim)
    with pytest.raises(gen.ProcessTerminated):
        await call
    assert (await node.call(router, ("a", "again")))[0] == "a"


async def test_a_request_that_crashes_its_route_fails_and_the_router_lives(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, routes=owned(probe, "a"))
    with pytest.raises(gen.ProcessTerminated) as caught:
        await node.call(router, ("a", ("raise", RuntimeError("as asked"))), timeout=60)
    assert isinstance(caught.value.reason, RuntimeError)
    assert (await node.call(router, ("a", 1)))[0] == "a"


async def test_a_callers_timeout_leaves_nothing_open(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, routes=owned(probe, "a"))
    with pytest.raises(gen.CallTimeout):
        await node.call(router, ("a", "never"), timeout=0.01)
    assert node.info().open_calls == 0


async def test_a_call_to_a_target_is_answered_although_the_router_ends_meanwhile(
    node: homing.Node, probe: Probe
) -> None:
    holder = await node.spawn(Holder)
    router = await start(node, probe, routes=(act.RouteSpec(name="t", target=holder),))
    call = asyncio.create_task(node.call(router, ("t", 1), timeout=60))
    await until(node, router, lambda facts: facts["messages_forwarded"] == 1)
    node.kill(router)
    await eventually(lambda: router not in node.processes())
    node.send(holder, "answer")
    assert await call == "at last"


class Holder(act.Actor):
    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        self.open = sender, ref
        return gen.NO_REPLY

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.send_response(*self.open, "at last")


# --- datagrams ----------------------------------------------------------------------------------------------


class Answers(act.Actor):
    def init(self, label: bytes) -> None:
        self.label = label

    def handle_message(self, sender: gen.PID, message: meta.MessageUDP) -> None:
        self.send(message.id, message.reply(self.label + bytes(message.data[1:])))


class ByFirstOctet(act.Router):
    def init(self, **options: Any) -> act.RouterOptions:
        routes = [act.RouteSpec(name=name, behavior=Answers, args=(name.encode(),)) for name in ("one", "two")]
        return act.RouterOptions(routes=tuple(routes), **options)

    def route_message(self, sender: gen.PID, message: meta.MessageUDP) -> str | None:
        return {1: "one", 2: "two"}.get(message.data[0])


@pytest.mark.parametrize("pooled", [False, True])
async def test_datagrams_are_routed_by_their_first_octet(
    pooled: bool, node: homing.Node, probe: Probe, peer: UDPPeer
) -> None:
    router = await node.spawn(ByFirstOctet, name="router")
    pool = meta.BufferPool(2048) if pooled else None
    server = create(process="router", buffer_pool=pool)
    await probe.do(lambda actor: actor.spawn_meta(server))
    assert await peer.ask(b"\x01 hello", server.local_address) == b"one hello"
    peer.send(b"\x03 nobody's", server.local_address)
    assert await peer.ask(b"\x02 hello", server.local_address) == b"two hello"
    facts = await node.inspect(router)
    assert (facts["messages_forwarded"], facts["messages_discarded"], facts["messages_failed"]) == (2, 1, 0)
    if pool is not None:
        await eventually(lambda: pool.lent == 0, "the return of the buffers")


# --- beginning and end --------------------------------------------------------------------------------------


class Sick(Worker):
    def init(self, probe: Probe, label: str) -> None:
        raise RuntimeError("not yet")


async def test_a_router_whose_route_cannot_be_started_fails_as_a_whole(node: homing.Node, probe: Probe) -> None:
    with pytest.raises(RuntimeError, match="not yet"):
        await start(node, probe, routes=(*owned(probe, "a"), *owned(probe, "b", behavior=Sick)))
    await eventually(lambda: node.processes() == [probe.pid])


@pytest.mark.parametrize("end", ["kill", "exit", "crash"])
async def test_owned_routes_end_with_the_router(end: str, node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, routes=owned(probe, "a", "b"))
    if end == "kill":
        node.kill(router)
    elif end == "exit":
        node.send_exit(router, gen.TerminateShutdown)
    else:
        node.send(router, (RuntimeError("as asked"), 1))
    await eventually(lambda: node.processes() == [probe.pid], "the end of router and routes")


@pytest.mark.parametrize("wrong", [RuntimeError("as asked"), 5, ["a"], ("a", 5)])
async def test_a_routing_callback_that_raises_or_gives_nonsense_crashes_the_router(
    wrong: Any, node: homing.Node, probe: Probe
) -> None:
    router = await start(node, probe, routes=owned(probe, "a"))
    await probe.do(lambda actor: actor.monitor(router))
    node.send(router, (wrong, 1))
    down = await probe.get()
    assert isinstance(down.reason, RuntimeError if isinstance(wrong, Exception) else gen.BadOption)
    assert node.info().crashes == 1


async def test_a_call_whose_routing_raises_fails_at_its_caller(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, routes=owned(probe, "a"))
    with pytest.raises(gen.ProcessTerminated) as caught:
        await node.call(router, (RuntimeError("as asked"), 1), timeout=60)
    assert isinstance(caught.value.reason, RuntimeError)


async def test_a_stop_of_the_node_lets_all_that_waits_be_worked_off(probe: Probe, node: homing.Node) -> None:
    router = await start(node, probe, routes=owned(probe, "a", "b", mailbox_size=0))
    for number in range(2000):
        node.send(router, ("ab"[number % 2], number))
    assert await node.stop(5)
    assert len(probe.waiting()) == 2000


class Counting(Routing):
    """Counts its decisions."""

    decided = 0

    def route_message(self, sender: gen.PID, message: Any) -> str | None:
        self.decided += 1
        return act.DISCARD


class Observer(act.Actor):
    """Tells the probe how many decisions there were when its turn came."""

    def init(self, probe: Probe, counting: Counting) -> None:
        self.probe = probe
        self.counting = counting

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.probe.queue.put_nowait(("observer", sender, self.counting.decided))


async def test_a_router_whose_decisions_take_longer_than_a_turn_lets_the_others_have_theirs() -> None:
    options = gen.NodeOptions(handle_signals=False, turn_seconds=1e-9)  # which every decision takes
    async with homing.start_node("turns@localhost", options) as node:
        probe = await Probe.start(node)
        router = await start(node, probe, Counting)
        observer = await node.spawn(Observer, probe, await do(node, router, lambda actor: actor))
        for number in range(256):
            node.send(router, number)
        node.send(observer, "look")
        assert await probe.get() < 10
        await until(node, router, lambda facts: facts["messages_discarded"] == 256)


# --- options ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "given"),
    [
        ("name", {"name": ""}),
        ("name", {"name": 5}),
        ("target", {"target": None}),
        ("target", {"target": "somebody", "behavior": Worker}),
        ("target", {"target": 5}),
        ("behavior", {"behavior": int, "target": None}),
        ("args", {"behavior": Worker, "target": None, "args": []}),
        ("options", {"behavior": Worker, "target": None, "options": {}}),
    ],
)
def test_a_bad_route_is_refused_by_an_error_that_names_the_option(option: str, given: dict[str, Any]) -> None:
    with pytest.raises(gen.BadOption) as caught:
        act.RouteSpec(**{"name": "a", "target": "somebody", **given})
    assert caught.value.option == option


ROUTE = act.RouteSpec(name="a", target="somebody")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("routes", [ROUTE]),
        ("routes", (ROUTE, "b")),
        ("routes", (ROUTE, ROUTE)),
        ("overflow", "explode"),
        ("overflow", None),
        ("registered_names", 1),
    ],
)
def test_a_bad_option_is_refused_by_an_error_that_names_it(option: str, value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        act.RouterOptions(**{option: value})
    assert caught.value.option == option


class Forgetful(Routing):
    def init(self, probe: Probe, options: Any = None) -> Any:
        return {"routes": ()}


class Undecided(act.Router):
    def init(self, probe: Probe) -> act.RouterOptions:
        return act.RouterOptions()


class Waiting(Undecided):
    async def route_message(self, sender: gen.PID, message: Any) -> Any:
        return "a"


class WaitingForFailures(Routing):
    async def handle_route_failed(self, *args: Any) -> Any:
        return None


@pytest.mark.parametrize(
    ("behavior", "option"),
    [
        (Forgetful, "init"),
        (Undecided, "route_message"),
        (Waiting, "route_message"),
        (WaitingForFailures, "handle_route_failed"),
    ],
)
async def test_a_router_that_cannot_route_cannot_be_started(
    behavior: type[act.Router], option: str, node: homing.Node, probe: Probe
) -> None:
    with pytest.raises(gen.BadOption) as caught:
        await node.spawn(behavior, probe)
    assert caught.value.option == option
