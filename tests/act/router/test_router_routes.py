"""The routes of a router at run time: added, removed, replaced, disabled, enabled, and started again."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

import homing
from homing import act, gen
from homing.act.router.routes import Route

from ...meta.servers import Gate, Gated, error_of
from ...support import Probe, eventually
from .routing import Routing, Worker, ask, do, failures, owned, pid_of, start, until


class GatedWorker(Gated):
    """As slow as its gate, with an `init` like that of `Worker`."""

    def init(self, gate: Gate, label: str = "") -> None:
        super().init(gate)

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        await self.gate.enter(request)
        return request


def gated(gate: Gate, name: str, mailbox_size: int = 1024) -> act.RouteSpec:
    return act.RouteSpec(
        name=name, behavior=GatedWorker, args=(gate,), options=gen.ProcessOptions(mailbox_size=mailbox_size)
    )


class Sick(Worker):
    """Its `init` fails while its doctor says so."""

    healthy = True

    def init(self, probe: Probe, label: str) -> None:
        if not type(self).healthy:
            raise RuntimeError("not yet")
        super().init(probe, label)


# --- adding and removing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("inside", [True, False])
async def test_an_added_route_is_used_from_then_on(inside: bool, node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe)
    (spec,) = owned(probe, "new")
    if inside:
        await do(node, router, lambda actor: actor.add_route(spec))
    else:
        await ask(node, router, act.AddRoute(spec))
    assert (await node.call(router, ("new", 1)))[0] == "new"


async def test_a_name_that_is_taken_cannot_be_added(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, routes=owned(probe, "a"))
    before = await ask(node, router, act.WhichRoutes())
    with pytest.raises(gen.BadOption, match="replace_route"):
        await ask(node, router, act.AddRoute(*owned(probe, "a")))
    assert await ask(node, router, act.WhichRoutes()) == before


@pytest.mark.parametrize("request_", [act.AddRoute("a"), act.ReplaceRoute("a", "b")])  # type: ignore[arg-type]
async def test_what_is_no_route_is_refused_at_the_asker(request_: Any, node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, routes=owned(probe, "a"))
    with pytest.raises(gen.BadOption):
        await ask(node, router, request_)
    assert (await node.call(router, ("a", 1)))[0] == "a"


async def test_a_route_that_cannot_be_started_is_not_added_and_its_error_comes_to_the_asker(
    node: homing.Node, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = await start(node, probe, routes=owned(probe, "a"))
    monkeypatch.setattr(Sick, "healthy", False)
    with pytest.raises(RuntimeError, match="not yet"):
        await ask(node, router, act.AddRoute(*owned(probe, "sick", behavior=Sick)))
    assert [info.name for info in await ask(node, router, act.WhichRoutes())] == ["a"]
    monkeypatch.setattr(Sick, "healthy", True)
    await ask(node, router, act.AddRoute(*owned(probe, "sick", behavior=Sick)))
    assert (await node.call(router, ("sick", 1)))[0] == "sick"


async def test_a_removed_routes_process_ends_after_what_waits_there(node: homing.Node, probe: Probe) -> None:
    gate = Gate()
    router = await start(node, probe, routes=(gated(gate, "a"),))
    for number in range(10):
        node.send(router, ("a", number))
    call = asyncio.create_task(node.call(router, ("a", "request")))
    await until(node, router, lambda facts: facts["messages_forwarded"] == 11)
    assert await ask(node, router, act.RemoveRoute("a"))
    assert (await node.inspect(router))["routes_ending"] == 1
    node.send(router, ("a", "too late"))
    gate.let(20)
    assert await call == ("a", "request")
    assert gate.passed == [*(("a", number) for number in range(10)), ("a", "request")]
    await until(node, router, lambda facts: facts["routes_ending"] == 0)
    assert set(node.processes()) == {probe.pid, router}
    assert await failures(node, router) == [("a", ("a", "too late"), act.RouteUnknown)]
    facts = await node.inspect(router)
    assert (facts["messages_forwarded"], facts["messages_failed"], facts["routes"]) == (11, 1, {})
    assert probe.waiting() == []  # the end of its routes is the router's own business


async def test_removing_what_is_not_there_gives_false(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe)
    assert await ask(node, router, act.RemoveRoute("nowhere")) is False


# --- disabling and enabling ---------------------------------------------------------------------------------


async def test_what_goes_to_a_disabled_route_fails_until_it_is_enabled(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, routes=owned(probe, "a", "b"))
    before = await pid_of(node, router, "a")
    await ask(node, router, act.DisableRoute("a"))
    await ask(node, router, act.DisableRoute("a"))
    node.send(router, ("a", 1))
    with pytest.raises(act.RouteDisabled) as caught:
        await node.call(router, ("a", 2), timeout=60)
    assert caught.value.route == "a"
    assert (await node.call(router, ("b", 3)))[0] == "b"
    assert await failures(node, router) == [("a", ("a", 1), act.RouteDisabled)]
    facts = (await node.inspect(router))["routes"]["a"]
    assert (facts["state"], facts["pid"], facts["failed"]) == ("disabled", None, {"RouteDisabled": 2})
    await ask(node, router, act.EnableRoute("a"))
    await ask(node, router, act.EnableRoute("a"))
    assert (await node.call(router, ("a", 4)))[0] == "a"
    assert await pid_of(node, router, "a") not in (None, before)
    await eventually(lambda: node.info().processes == 4)


async def test_a_disabled_routes_process_works_off_what_waits_there(node: homing.Node, probe: Probe) -> None:
    gate = Gate()
    router = await start(node, probe, routes=(gated(gate, "a"),))
    for number in range(5):
        node.send(router, ("a", number))
    await until(node, router, lambda facts: facts["messages_forwarded"] == 5)
    await ask(node, router, act.DisableRoute("a"))
    gate.let(5)
    await gate.passed_by(5)
    await eventually(lambda: node.info().processes == 2)


async def test_a_target_can_be_disabled_too(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, routes=(act.RouteSpec(name="t", target=probe.pid),))
    await ask(node, router, act.DisableRoute("t"))
    with pytest.raises(act.RouteDisabled):
        await node.call(router, ("t", 1))
    await ask(node, router, act.EnableRoute("t"))
    assert await node.call(router, ("t", 1)) == ("answer", ("t", 1))


async def test_a_route_that_cannot_be_started_stays_disabled(
    node: homing.Node, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = await start(node, probe, routes=owned(probe, "a", behavior=Sick))
    await ask(node, router, act.DisableRoute("a"))
    monkeypatch.setattr(Sick, "healthy", False)
    with pytest.raises(RuntimeError, match="not yet"):
        await ask(node, router, act.EnableRoute("a"))
    with pytest.raises(act.RouteDisabled):
        await node.call(router, ("a", 1))


@pytest.mark.parametrize("request_", [act.DisableRoute("x"), act.EnableRoute("x")])
async def test_an_unknown_route_is_told_to_the_asker(request_: Any, node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe)
    with pytest.raises(act.RouteUnknown):
        await ask(node, router, request_)


async def test_a_route_can_be_disabled_when_it_fails(node: homing.Node, probe: Probe) -> None:
    gate = Gate()
    router = await start(node, probe, Breaker, routes=(gated(gate, "a", mailbox_size=2),))
    node.send(router, ("a", 0))
    await eventually(lambda: gate.reached)
    for number in range(1, 10):
        node.send(router, ("a", number))
    facts = await until(node, router, lambda facts: facts["messages_failed"] == 7)
    assert facts["failures"] == {"MailboxFull": 1, "RouteDisabled": 6}
    gate.let(10)
    await gate.passed_by(3)


class Breaker(Routing):
    """A circuit breaker."""

    def handle_route_failed(self, route: str, sender: gen.PID, message: Any, error: gen.HomingError) -> None:
        if isinstance(error, gen.MailboxFull):
            self.disable_route(route)


# --- replacing ----------------------------------------------------------------------------------------------


async def test_a_replaced_route_loses_nothing_and_the_new_process_gets_what_comes_from_then_on(
    node: homing.Node, probe: Probe
) -> None:
    gate = Gate()
    router = await start(node, probe, routes=(gated(gate, "a"),))
    for number in range(10):
        node.send(router, ("a", number))
    call = asyncio.create_task(node.call(router, ("a", "request")))
    await until(node, router, lambda facts: facts["messages_forwarded"] == 11)
    await ask(node, router, act.ReplaceRoute("a", *owned(probe, "a")))
    assert (await node.call(router, ("a", "new")))[0] == "a"
    assert gate.passed == []
    gate.let(20)
    assert await call == ("a", "request")
    assert gate.passed == [*(("a", number) for number in range(10)), ("a", "request")]
    facts = await until(node, router, lambda facts: facts["routes_ending"] == 0)
    assert (facts["messages_forwarded"], facts["routes"]["a"]["forwarded"]) == (12, 12)


async def test_a_route_can_be_replaced_by_a_target_and_back(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, routes=owned(probe, "a"))
    await ask(node, router, act.ReplaceRoute("a", act.RouteSpec(name="a", target=probe.pid)))
    assert await node.call(router, ("a", 1)) == ("answer", ("a", 1))
    await eventually(lambda: node.info().processes == 2)
    await ask(node, router, act.ReplaceRoute("a", *owned(probe, "a")))
    assert (await node.call(router, ("a", 2)))[0] == "a"


async def test_a_replacement_that_cannot_be_started_leaves_all_as_it_was(
    node: homing.Node, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = await start(node, probe, routes=owned(probe, "a"))
    before = await pid_of(node, router, "a")
    monkeypatch.setattr(Sick, "healthy", False)
    with pytest.raises(RuntimeError, match="not yet"):
        await ask(node, router, act.ReplaceRoute("a", *owned(probe, "a", behavior=Sick)))
    assert await pid_of(node, router, "a") == before
    assert (await node.call(router, ("a", 1)))[0] == "a"


async def test_a_replacement_must_have_the_same_name_and_something_to_replace(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, routes=owned(probe, "a"))
    with pytest.raises(gen.BadOption, match="'a'"):
        await ask(node, router, act.ReplaceRoute("a", *owned(probe, "b")))
    with pytest.raises(act.RouteUnknown):
        await ask(node, router, act.ReplaceRoute("b", *owned(probe, "b")))


async def test_a_disabled_route_that_is_replaced_stays_disabled(node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, routes=(act.RouteSpec(name="a", target=probe.pid),))
    await ask(node, router, act.DisableRoute("a"))
    await ask(node, router, act.ReplaceRoute("a", *owned(probe, "a")))
    with pytest.raises(act.RouteDisabled):
        await node.call(router, ("a", 1))
    await ask(node, router, act.EnableRoute("a"))
    assert (await node.call(router, ("a", 1)))[0] == "a"


async def test_which_routes_tells_name_state_process_and_target(node: homing.Node, probe: Probe) -> None:
    target = act.RouteSpec(name="t", target="somebody")
    router = await start(node, probe, routes=(*owned(probe, "a"), target))
    await ask(node, router, act.DisableRoute("t"))
    own, other = await ask(node, router, act.WhichRoutes())
    assert (own.name, own.state, own.target) == ("a", "enabled", None)
    assert own.pid in node.processes()
    assert other == act.RouteInfo("t", "disabled", None, "somebody")


# --- routes that are pools and routers ----------------------------------------------------------------------


class GatedPool(act.Pool):
    def init(self, gate: Gate) -> act.PoolOptions:
        return act.PoolOptions(worker=GatedWorker, worker_args=(gate,), pool_size=2, worker_mailbox_size=3)


class Inner(act.Router):
    def init(self, gate: Gate) -> act.RouterOptions:
        return act.RouterOptions(routes=(gated(gate, "even"), gated(gate, "odd"), pool_route(gate, "pool")))

    def route_message(self, sender: gen.PID, message: Any) -> str:
        return ("even", "odd", "pool")[message[1] % 3]


def pool_route(gate: Gate, name: str) -> act.RouteSpec:
    return act.RouteSpec(name=name, behavior=GatedPool, args=(gate,))


@pytest.mark.parametrize("behavior", [GatedPool, Inner])
async def test_nothing_that_waits_in_a_pool_or_router_is_lost_when_its_route_is_removed(
    behavior: type[act.Actor], node: homing.Node, probe: Probe
) -> None:
    gate = Gate()
    router = await start(node, probe, routes=(act.RouteSpec(name="a", behavior=behavior, args=(gate,)),))
    for number in range(60):
        node.send(router, ("a", number))
    await until(node, router, lambda facts: facts["messages_forwarded"] == 60)
    await eventually(lambda: len(gate.reached) >= 2)
    await ask(node, router, act.RemoveRoute("a"))
    gate.let(60)
    await gate.passed_by(60)
    assert sorted(number for _, number in gate.passed) == list(range(60))
    await until(node, router, lambda facts: facts["routes_ending"] == 0)
    assert set(node.processes()) == {probe.pid, router}
    assert node.info().crashes == 0


@pytest.mark.parametrize("behavior", [GatedPool, Inner])
async def test_an_idle_pool_or_router_ends_when_its_route_is_removed(
    behavior: type[act.Actor], node: homing.Node, probe: Probe
) -> None:
    router = await start(node, probe, routes=(act.RouteSpec(name="a", behavior=behavior, args=(Gate(),)),))
    await ask(node, router, act.RemoveRoute("a"))
    await eventually(lambda: set(node.processes()) == {probe.pid, router})


async def test_a_worker_that_crashes_while_its_pool_works_off_what_it_has_loses_only_what_is_in_hand(
    node: homing.Node, probe: Probe
) -> None:
    gate = Gate()
    router = await start(node, probe, routes=(pool_route(gate, "a"),))
    for number in range(6):
        node.send(router, ("a", number))
    await eventually(lambda: len(gate.reached) == 2)
    pool = await pid_of(node, router, "a")
    await ask(node, router, act.RemoveRoute("a"))
    await eventually(lambda: node.process_info(pool).mailbox.main == 0)
    victim = next(pid for pid in node.processes() if node.process_info(pid).behavior == "GatedWorker")
    node.kill(victim)
    gate.let(8)
    await eventually(lambda: set(node.processes()) == {probe.pid, router})
    assert (len(gate.passed), node.info().dead_letters) == (5, 1)


# --- starting again -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", [RuntimeError("as asked"), gen.TerminateNormal(), "kill"])
async def test_an_owned_route_whose_process_ends_gets_a_new_one(reason: Any, node: homing.Node, probe: Probe) -> None:
    router = await start(node, probe, routes=owned(probe, "a", "b"))
    before = await pid_of(node, router, "a")
    assert before is not None
    if reason == "kill":
        node.kill(before)
    else:
        node.send(router, ("a", ("raise", reason)))
    await until(node, router, lambda facts: facts["routes"]["a"]["restarts"] == 1)
    assert await pid_of(node, router, "a") not in (None, before)
    assert (await node.call(router, ("a", 1)))[0] == "a"
    assert probe.waiting() == []


async def test_a_route_that_ends_again_soon_after_its_start_is_started_again_after_a_while(
    node: homing.Node, probe: Probe
) -> None:
    router = await start(node, probe, routes=owned(probe, "a"))
    crash = ("a", ("raise", RuntimeError("as asked")))
    node.send(router, crash)
    await until(node, router, lambda facts: facts["routes"]["a"]["restarts"] == 1)
    node.send(router, crash)
    await until(node, router, lambda facts: facts["routes"]["a"]["state"] == "restarting")
    node.send(router, ("a", "meanwhile"))
    with pytest.raises(act.RouteRestarting):
        await node.call(router, ("a", "meanwhile"), timeout=60)
    assert await failures(node, router) == [("a", ("a", "meanwhile"), act.RouteRestarting)]
    await until(node, router, lambda facts: facts["routes"]["a"]["restarts"] == 2)
    assert (await node.call(router, ("a", 1)))[0] == "a"


async def test_a_route_that_is_removed_before_it_is_started_again_is_not_started(
    node: homing.Node, probe: Probe
) -> None:
    router = await start(node, probe, routes=owned(probe, "a", "b"))
    crash = ("raise", RuntimeError("as asked"))
    for name in "ab":
        node.send(router, (name, crash))
        await until(node, router, lambda facts, name=name: facts["routes"][name]["restarts"] == 1)
        node.send(router, (name, crash))
        await until(node, router, lambda facts, name=name: facts["routes"][name]["state"] == "restarting")
    await ask(node, router, act.RemoveRoute("a"))
    spawned = node.info().spawned
    await until(node, router, lambda facts: facts["routes"]["b"]["restarts"] == 2)  # which was to be later than a's
    assert node.info().spawned == spawned + 1


async def test_a_route_that_cannot_be_started_again_is_tried_until_it_can(
    node: homing.Node, probe: Probe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    router = await start(node, probe, routes=(*owned(probe, "a", behavior=Sick), *owned(probe, "b")))
    monkeypatch.setattr(Sick, "healthy", False)
    node.send(router, ("a", ("raise", RuntimeError("as asked"))))
    tried = [r for r in caplog.records if "could not be started" in r.getMessage()]
    await eventually(lambda: len([r for r in caplog.records if "could not be started" in r.getMessage()]) >= 2)
    assert tried == []
    assert (await node.call(router, ("b", 1)))[0] == "b"
    with pytest.raises(act.RouteRestarting):
        await node.call(router, ("a", 1))
    monkeypatch.setattr(Sick, "healthy", True)
    await until(node, router, lambda facts: facts["routes"]["a"]["state"] == "enabled")
    assert (await node.call(router, ("a", 1)))[0] == "a"


class SlowStarter(Worker):
    """Its `init` waits at a gate, but for the first."""

    gate: Gate

    async def init(self, probe: Probe, label: str) -> None:  # type: ignore[override]
        super().init(probe, label)
        if self.gate.reached:
            await self.gate.enter("again")
        else:
            self.gate.reached.append("first")


async def test_a_route_that_takes_long_to_start_again_does_not_hold_up_the_others(
    node: homing.Node, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    monkeypatch.setattr(SlowStarter, "gate", gate, raising=False)
    router = await start(node, probe, routes=(*owned(probe, "a", behavior=SlowStarter), *owned(probe, "b")))
    node.send(router, ("a", ("raise", RuntimeError("as asked"))))
    await eventually(lambda: gate.reached == ["first", "again"])
    assert (await node.call(router, ("b", 1)))[0] == "b"
    with pytest.raises(act.RouteRestarting):
        await node.call(router, ("a", 1))
    gate.let()
    await until(node, router, lambda facts: facts["routes"]["a"]["state"] == "enabled")
    assert (await node.call(router, ("a", 1)))[0] == "a"


@pytest.mark.parametrize("change", ["remove", "disable", "replace", "again"])
async def test_a_route_that_is_changed_while_it_is_started_again_leaves_no_process_behind(
    change: str, node: homing.Node, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    monkeypatch.setattr(SlowStarter, "gate", gate, raising=False)
    (spec,) = owned(probe, "a", behavior=SlowStarter)
    router = await start(node, probe, routes=(spec,))
    node.send(router, ("a", ("raise", RuntimeError("as asked"))))
    await eventually(lambda: gate.reached == ["first", "again"])
    if change == "remove":
        await ask(node, router, act.RemoveRoute("a"))
    elif change == "replace":
        await ask(node, router, act.ReplaceRoute("a", *owned(probe, "a")))
    else:
        await ask(node, router, act.DisableRoute("a"))
    if change == "again":
        enabling = asyncio.create_task(ask(node, router, act.EnableRoute("a")))
        await eventually(lambda: gate.reached == ["first", "again", "again"])
        gate.let(2)
        await enabling
    gate.let(2)
    expected = 3 if change in ("replace", "again") else 2
    await eventually(lambda: len(gate.passed) >= 1 and node.info().processes == expected)
    await until(node, router, lambda facts: facts["routes_ending"] == 0)


@pytest.mark.parametrize("end", ["kill", "exit", "stop"])
async def test_a_router_that_ends_while_a_route_is_started_again_leaves_nothing_behind(
    end: str, node: homing.Node, probe: Probe, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    monkeypatch.setattr(SlowStarter, "gate", gate, raising=False)
    router = await start(node, probe, routes=owned(probe, "a", behavior=SlowStarter))
    node.send(router, ("a", ("raise", RuntimeError("as asked"))))
    await eventually(lambda: gate.reached == ["first", "again"])
    caplog.clear()
    if end == "kill":
        node.kill(router)
    elif end == "exit":
        node.send_exit(router, gen.TerminateShutdown)
    else:
        assert await node.stop(2)
    await eventually(lambda: set(node.processes()) <= {probe.pid})
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_route_that_crashes_while_the_node_stops_is_not_started_again(
    node: homing.Node, probe: Probe, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    router = await start(node, probe, routes=(gated(gate, "a"), *owned(probe, "b")))
    node.send(router, ("a", 1))
    await eventually(lambda: gate.reached)
    stop = asyncio.create_task(node.stop(4))
    await eventually(lambda: node.info().state == "stopping")
    node.send(router, ("b", ("raise", RuntimeError("as asked"))))
    await eventually(lambda: node.info().crashes == 1)
    gate.let()
    assert await stop
    assert not [record for record in caplog.records if "could not be started" in record.getMessage()]


async def test_a_router_that_fails_to_add_a_route_in_its_own_callback_may_catch_it(
    node: homing.Node, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = await start(node, probe)
    monkeypatch.setattr(Sick, "healthy", False)
    (spec,) = owned(probe, "sick", behavior=Sick)
    assert isinstance(await do(node, router, lambda actor: error_of(actor.add_route(spec))), RuntimeError)
    assert await ask(node, router, act.WhichRoutes()) == ()


def test_the_delay_before_a_start_doubles_up_to_five_seconds_and_a_long_life_ends_it() -> None:
    route = Route(act.RouteSpec(name="a", target="somebody"))
    route.since = 100.0
    assert [route.next_delay(101.0) for _ in range(8)] == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]
    assert route.next_delay(101.0) == 5.0
    assert route.next_delay(105.0) == 0.0


# --- what survives a crash ------------------------------------------------------------------------------------


async def test_what_waits_at_a_route_that_crashes_goes_to_the_process_that_is_started_in_its_place(
    node: homing.Node, probe: Probe
) -> None:
    router = await start(node, probe, routes=owned(probe, "a", preserve_mailbox=True))
    for message in ("raise", RuntimeError("x")), 1, 2:
        node.send(router, ("a", message))
    assert [await probe.get() for _ in range(2)] == [("a", 1), ("a", 2)]
    assert (node.info().dead_letters, node.info().discarded) == (1, 0)


async def test_what_waited_at_a_route_that_is_removed_before_it_is_back_is_discarded_and_counted(
    node: homing.Node, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = await start(node, probe, routes=owned(probe, "a", behavior=Sick, preserve_mailbox=True))
    monkeypatch.setattr(Sick, "healthy", False)
    for message in ("raise", RuntimeError("x")), 1, 2:
        node.send(router, ("a", message))
    await eventually(lambda: node.info().dead_letters == 1)
    assert await ask(node, router, act.RemoveRoute("a"))
    await eventually(lambda: node.info().discarded == 2)
