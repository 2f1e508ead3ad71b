"""Applications: loading, starting, the modes, stopping, the node's stop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen

from ..support import DEADLINE, eventually
from .actors import QUIET, hang, throw
from .applications import MODES, PERMANENT, TEMPORARY, TRANSIENT, Broken, Member, Noted, Stubborn, member


async def running(node: homing.Node, application: Noted, mode: gen.ApplicationMode | None = None) -> Noted:
    await node.application_start(await node.application_load(application), mode)
    return application


async def ended(node: homing.Node, name: str = "app") -> Exception:
    async with asyncio.timeout(DEADLINE):
        return await node.application_wait(name)


# --- loading ----------------------------------------------------------------------------------------------


async def test_loading_starts_nothing_and_tells_what_the_specification_says(node: homing.Node) -> None:
    application = Noted(env={"a": 1}, depends=("other",), description="for tests", version="1.2", mode=TRANSIENT)
    assert await node.application_load(application) == "app"
    assert (application.notes, node.processes(), node.applications()) == ([], [], ["app"])
    assert node.application_info("app") == gen.ApplicationInfo(
        name="app",
        state=gen.ApplicationState.LOADED,
        mode=TRANSIENT,
        uptime=0.0,
        members=(),
        env={"a": 1},
        depends=("other",),
        description="for tests",
        version="1.2",
        reason=None,
    )


async def test_load_may_be_asynchronous_and_gets_the_node_and_the_arguments(node: homing.Node) -> None:
    got = []

    class Asked(gen.Application):
        async def load(self, node: homing.Node, *args: Any) -> gen.ApplicationSpec:
            await asyncio.sleep(0)
            got.append((node, args))
            return Noted().spec

    await node.application_load(Asked, 1, "two")
    assert got == [(node, (1, "two"))]


async def test_a_name_is_loaded_once(node: homing.Node) -> None:
    await node.application_load(Noted())
    with pytest.raises(gen.ApplicationTaken, match="'app' is already loaded"):
        await node.application_load(Noted())


async def test_what_load_raises_comes_to_who_loads(node: homing.Node) -> None:
    class Refusing(gen.Application):
        def load(self, node: homing.Node, *args: Any) -> gen.ApplicationSpec:
            raise KeyError("database")

    with pytest.raises(KeyError):
        await node.application_load(Refusing())
    assert node.applications() == []


@pytest.mark.parametrize("what", [None, "app", Member, int])
async def test_what_is_no_application_is_refused(node: homing.Node, what: Any) -> None:
    with pytest.raises(gen.BadOption, match=r"gen\.Application"):
        await node.application_load(what)


async def test_a_load_that_returns_no_specification_is_refused(node: homing.Node) -> None:
    class Wrong(gen.Application):
        def load(self, node: homing.Node, *args: Any) -> dict[str, str]:
            return {}

    with pytest.raises(gen.BadOption, match=r"Wrong\.load must return a gen\.ApplicationSpec"):
        await node.application_load(Wrong)
    with pytest.raises(gen.BadOption, match=r"define load\(self, node\)"):
        await node.application_load(gen.Application)


async def test_an_asynchronous_terminate_is_refused_when_loaded_for_nobody_would_await_it(node: homing.Node) -> None:
    class Wrong(Noted):
        async def terminate(self, reason: Exception) -> None:  # type: ignore[override]
            raise AssertionError

    with pytest.raises(gen.BadOption, match="terminate"):
        await node.application_load(Wrong())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("name", ""),
        ("members", ()),
        ("members", [member(Member, "a")]),
        ("members", (Member,)),
        ("members", (member(Member, "a"), member(Member, "a"))),
        ("mode", "permanent"),
        ("env", 1),
        ("depends", "other"),
        ("depends", ("",)),
        ("description", None),
        ("version", 1.0),
    ],
)
def test_a_specification_that_cannot_work_names_the_option(option: str, value: Any) -> None:
    options = {"name": "app", "members": (member(Member, "a"),), option: value}
    with pytest.raises(gen.BadOption) as caught:
        gen.ApplicationSpec(**options)
    assert caught.value.option == option


@pytest.mark.parametrize(("option", "value"), [("behavior", Noted), ("args", [1]), ("name", ""), ("options", {})])
def test_a_member_that_cannot_work_names_the_option(option: str, value: Any) -> None:
    with pytest.raises(gen.BadOption) as caught:
        gen.ApplicationMember(**{"behavior": Member, option: value})
    assert caught.value.option == option


UNKNOWN = "'app' is loaded; load it with application_load"


@pytest.mark.parametrize("what", ["start", "stop", "wait"])
async def test_an_application_that_is_not_loaded_is_named(node: homing.Node, what: str) -> None:
    with pytest.raises(gen.ApplicationUnknown, match=UNKNOWN):
        await getattr(node, f"application_{what}")("app")


@pytest.mark.parametrize("what", ["unload", "info"])
def test_it_is_named_also_where_nothing_is_awaited(node: homing.Node, what: str) -> None:
    with pytest.raises(gen.ApplicationUnknown, match=UNKNOWN):
        getattr(node, f"application_{what}")("app")


async def test_an_unloaded_application_can_be_loaded_again(node: homing.Node) -> None:
    await node.application_load(Noted())
    node.application_unload("app")
    assert node.applications() == []
    await running(node, Noted())
    with pytest.raises(gen.ApplicationRunning, match="'app' is running; stop it first"):
        node.application_unload("app")


# --- starting ---------------------------------------------------------------------------------------------


async def test_members_are_started_in_order_and_then_start_is_called_with_the_mode(node: homing.Node) -> None:
    application = await running(node, Noted(mode=TRANSIENT))
    assert application.notes == [("init", "a"), ("init", "b"), ("init", "c"), ("start", TRANSIENT)]
    info = node.application_info("app")
    assert (info.state, info.mode) == (gen.ApplicationState.RUNNING, TRANSIENT)
    assert [node.process_info(pid).name for pid in info.members] == ["a", "b", "c"]
    assert info.uptime > 0


async def test_the_mode_of_the_start_wins_over_that_of_the_specification(node: homing.Node) -> None:
    application = await running(node, Noted(mode=TRANSIENT), PERMANENT)
    assert application.notes[-1] == ("start", PERMANENT)
    assert node.application_info("app").mode is PERMANENT


async def test_a_mode_that_is_none_is_refused(node: homing.Node) -> None:
    await node.application_load(Noted())
    with pytest.raises(gen.BadOption, match="mode='permanent'"):
        await node.application_start("app", "permanent")  # type: ignore[arg-type]


async def test_an_application_that_runs_is_not_started_again(node: homing.Node) -> None:
    await running(node, Noted())
    with pytest.raises(gen.ApplicationRunning):
        await node.application_start("app")
    assert len(node.processes()) == 3


async def test_members_have_the_environment_of_node_application_and_options_the_last_wins() -> None:
    options = gen.NodeOptions(handle_signals=False, env={"a": "node", "b": "node", "c": "node"})
    async with homing.start_node("env@localhost", options) as node:
        one = member(Member, "one", [], env={"c": "member"})
        application = Noted(members=(one,), env={"b": "application", "c": "application"})
        await running(node, application)
        assert node.process_info("one").env == {"a": "node", "b": "application", "c": "member"}
        assert node.application_info("app").env == {"b": "application", "c": "application"}


async def test_members_are_children_of_the_node_and_lead_by_it_as_in_ergo(node: homing.Node) -> None:
    await running(node, Noted())
    info = node.process_info("a")
    assert (info.parent, info.leader) == (node.pid, node.pid)


async def test_what_a_member_spawns_belongs_to_the_application_and_others_to_none(node: homing.Node) -> None:
    await running(node, Noted())
    child = await node.call("a", lambda actor: actor.spawn(Member, []))
    assert node.process_info("a").application == "app"
    assert node.process_info(child).application == "app"
    assert node.process_info(await node.spawn(Member, [])).application is None


async def test_what_a_members_init_spawns_belongs_to_the_application_too(node: homing.Node) -> None:
    class Parent(act.Actor):
        async def init(self) -> None:
            self.child = await self.spawn(Member, [], name="child")

    await running(node, Noted(members=(member(Parent, "parent"),)))
    assert node.process_info("child").application == "app"


async def test_if_a_member_cannot_be_started_those_before_it_end_in_reverse_and_the_error_is_raised(
    node: homing.Node,
) -> None:
    notes: list[Any] = []
    application = Noted(notes=notes, members=("a", "b", member(Broken, "c", notes), "d"))
    await node.application_load(application)
    with pytest.raises(ValueError, match="broken"):
        await node.application_start("app")
    assert notes == [("init", "a"), ("init", "b"), ("terminate", "b"), ("terminate", "a")]
    info = node.application_info("app")
    assert (info.state, info.members, info.reason) == (gen.ApplicationState.LOADED, (), None)
    assert node.processes() == []


async def test_a_name_that_is_taken_fails_the_start(node: homing.Node) -> None:
    pid = await node.spawn(Member, [], name="b")
    await node.application_load(Noted())
    with pytest.raises(gen.NameTaken):
        await node.application_start("app")
    assert node.processes() == [pid]


async def test_an_application_that_could_not_be_started_can_be_started_later(node: homing.Node) -> None:
    pid = await node.spawn(Member, [], name="b")
    application = Noted()
    await node.application_load(application)
    with pytest.raises(gen.NameTaken):
        await node.application_start("app")
    node.kill(pid)
    await node.application_start("app")
    assert application.notes[-1] == ("start", TEMPORARY)


class Slow(act.Actor):
    """Its `init` takes until the test lets it."""

    async def init(self, gate: asyncio.Event) -> None:
        await gate.wait()


@pytest.mark.parametrize(("mode", "reason"), [(PERMANENT, gen.TerminateNormal()), (TRANSIENT, ValueError("early"))])
async def test_a_member_that_ends_before_all_are_started_fails_the_start_where_the_mode_forbids_its_end(
    node: homing.Node, mode: gen.ApplicationMode, reason: Exception
) -> None:
    notes: list[Any] = []
    gate = asyncio.Event()
    await node.application_load(Noted(notes=notes, members=("a", "b", member(Slow, "slow", gate), "d")))
    start = asyncio.create_task(node.application_start("app", mode))
    await eventually(lambda: ("init", "b") in notes)
    node.send("a", throw(reason))
    await eventually(lambda: ("terminate", "a") in notes)
    gate.set()
    with pytest.raises(gen.ProcessTerminated) as caught:
        await start
    assert caught.value.reason is reason
    assert notes == [("init", "a"), ("init", "b"), ("terminate", "a"), ("terminate", "b")]
    assert node.processes() == []


async def test_a_cancelled_start_ends_what_it_had_started(node: homing.Node) -> None:
    notes: list[Any] = []
    await node.application_load(Noted(notes=notes, members=("a", member(Slow, "slow", asyncio.Event()))))
    start = asyncio.create_task(node.application_start("app"))
    await eventually(lambda: len(node.processes()) == 2)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    await eventually(lambda: node.application_info("app").state is gen.ApplicationState.LOADED)
    assert notes == [("init", "a"), ("terminate", "a")]
    assert node.processes() == []


async def test_while_it_starts_it_is_neither_stopped_nor_unloaded_nor_waited_for(node: homing.Node) -> None:
    gate = asyncio.Event()
    await node.application_load(Noted(members=(member(Slow, "slow", gate),)))
    start = asyncio.create_task(node.application_start("app"))
    await eventually(node.processes)
    with pytest.raises(gen.NotAllowed, match="stop it when application_start has returned"):
        await node.application_stop("app")
    with pytest.raises(gen.NotAllowed, match="is starting"):
        await node.application_wait("app")
    with pytest.raises(gen.ApplicationRunning, match="is starting"):
        node.application_unload("app")
    gate.set()
    await start
    assert await node.application_stop("app")


async def test_a_start_that_raises_is_logged_and_the_application_runs_on(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Noted):
        def start(self, mode: gen.ApplicationMode) -> None:
            raise ValueError("in start")

    await running(node, Failing())
    assert node.application_info("app").state is gen.ApplicationState.RUNNING
    assert "start of application app failed: ValueError('in start')" in caplog.text


# --- the modes --------------------------------------------------------------------------------------------

REASONS = [gen.TerminateNormal(), gen.TerminateShutdown(), ValueError("fault"), gen.TerminateKill()]


def stops(mode: gen.ApplicationMode, reason: Exception) -> bool:
    """Ergo's rule."""
    return mode is PERMANENT or (
        mode is TRANSIENT and not isinstance(reason, (gen.TerminateNormal, gen.TerminateShutdown))
    )


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: type(reason).__name__)
@pytest.mark.parametrize("mode", MODES)
async def test_what_the_end_of_a_member_does_is_the_modes(
    node: homing.Node, mode: gen.ApplicationMode, reason: Exception
) -> None:
    application = await running(node, Noted(), mode)
    node.send("b", throw(reason))
    if stops(mode, reason):
        assert await ended(node) is reason
        assert application.notes[4:] == [
            ("terminate", "b"),
            ("terminate", "c"),
            ("terminate", "a"),
            ("end", type(reason)),
        ]
        assert node.processes() == []
    else:
        await eventually(lambda: ("terminate", "b") in application.notes)
        await node.call("a", lambda actor: None)
        info = node.application_info("app")
        assert info.state is gen.ApplicationState.RUNNING
        assert [node.process_info(pid).name for pid in info.members] == ["a", "c"]


class Impatient(act.Supervisor):
    """Gives up when its child crashes; that child's end is what it is told."""

    def init(self) -> act.SupervisorSpec:
        child = act.ChildSpec(name="child", behavior=Member, args=([],))
        return act.SupervisorSpec(children=(child,), intensity=0)


@pytest.mark.parametrize("mode", MODES)
async def test_a_supervisor_that_gives_up_stops_the_application_unless_that_is_temporary(
    node: homing.Node, mode: gen.ApplicationMode
) -> None:
    await running(node, Noted(members=("a", member(Impatient, "top"))), mode)
    node.send("child", throw(ValueError("fault")))
    if mode is TEMPORARY:
        await eventually(lambda: [node.process_info(pid).name for pid in node.processes()] == ["a"])
        assert node.application_info("app").state is gen.ApplicationState.RUNNING
        node.send("a", throw(gen.TerminateNormal()))
    reason = await ended(node)
    assert isinstance(reason, act.RestartsExceeded)
    assert isinstance(reason.__cause__, ValueError)
    assert node.processes() == []


@pytest.mark.parametrize("reason", REASONS[:2], ids=lambda reason: type(reason).__name__)
@pytest.mark.parametrize("mode", [TEMPORARY, TRANSIENT])
async def test_when_the_last_member_has_ended_in_order_so_has_the_application(
    node: homing.Node, mode: gen.ApplicationMode, reason: Exception
) -> None:
    application = await running(node, Noted(), mode)
    for name in ("a", "b", "c"):
        assert node.application_info("app").state is gen.ApplicationState.RUNNING
        node.send(name, throw(reason))
        await eventually(lambda name=name: ("terminate", name) in application.notes)
    assert isinstance(await ended(node), gen.TerminateNormal)
    assert application.notes[-1] == ("end", gen.TerminateNormal)


async def test_the_reason_of_a_temporary_application_is_the_first_abnormal_one_of_its_members(
    node: homing.Node,
) -> None:
    application = await running(node, Noted())
    first = ValueError("first")
    for name, reason in (("a", gen.TerminateNormal()), ("b", first), ("c", ValueError("second"))):
        node.send(name, throw(reason))
        await eventually(lambda name=name: ("terminate", name) in application.notes)
    assert await ended(node) is first
    assert node.application_info("app").reason is first


async def test_the_end_of_what_a_member_has_spawned_is_none_of_the_applications_business(node: homing.Node) -> None:
    await running(node, Noted(), PERMANENT)
    child = await node.call("a", lambda actor: actor.spawn(Member, []))
    node.kill(child)
    assert node.application_info("app").state is gen.ApplicationState.RUNNING


async def test_a_member_that_traps_exits_cannot_survive_the_stop(node: homing.Node) -> None:
    class Trapping(Member):
        trap_exit = True

    notes: list[Any] = []
    await running(node, Noted(notes=notes, members=("a", member(Trapping, "b", notes))), PERMANENT)
    node.send("a", throw(ValueError("fault")))
    await ended(node)
    assert ("terminate", "b") in notes


async def test_an_application_that_has_ended_can_be_started_again_and_forgets_the_reason_of_before(
    node: homing.Node,
) -> None:
    application = await running(node, Noted(), PERMANENT)
    node.send("a", throw(ValueError("fault")))
    await ended(node)
    await node.application_start("app", TEMPORARY)
    for name in ("a", "b", "c"):
        node.send(name, throw(gen.TerminateNormal()))
    assert isinstance(await ended(node), gen.TerminateNormal)
    assert application.notes[-1] == ("end", gen.TerminateNormal)


async def test_a_terminate_that_raises_is_logged_and_the_application_has_ended(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Noted):
        def terminate(self, reason: Exception) -> None:
            raise ValueError("in terminate")

    await running(node, Failing())
    assert await node.application_stop("app")
    assert node.application_info("app").state is gen.ApplicationState.LOADED
    assert "terminate of application app failed: ValueError('in terminate')" in caplog.text


async def test_a_start_that_ends_all_members_ends_the_application(node: homing.Node) -> None:
    class Brief(Noted):
        def start(self, mode: gen.ApplicationMode) -> None:
            super().start(mode)
            for pid in node.processes():
                node.kill(pid)

    application = await running(node, Brief())
    assert isinstance(await ended(node), gen.TerminateKill)
    assert application.notes[-1] == ("end", gen.TerminateKill)


async def test_waiting_for_an_application_that_was_never_started_is_refused(node: homing.Node) -> None:
    await node.application_load(Noted())
    with pytest.raises(gen.NotAllowed, match="is loaded"):
        await node.application_wait("app")


# --- stopping ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
async def test_stopping_ends_the_members_in_reverse_order_by_shutdown_whatever_the_mode(
    node: homing.Node, mode: gen.ApplicationMode
) -> None:
    application = await running(node, Noted(), mode)
    assert await node.application_stop("app")
    assert application.notes[4:] == [
        ("terminate", "c"),
        ("terminate", "b"),
        ("terminate", "a"),
        ("end", gen.TerminateShutdown),
    ]
    assert isinstance(await ended(node), gen.TerminateShutdown)


async def test_stopping_what_does_not_run_does_nothing(node: homing.Node) -> None:
    application = Noted()
    await node.application_load(application)
    assert await node.application_stop("app")
    assert application.notes == []


async def test_a_member_that_does_not_end_in_time_is_killed_and_the_others_end_in_order(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    notes: list[Any] = []
    application = Noted(notes=notes, members=("a", member(Stubborn, "b", notes), "c"))
    await running(node, application)
    assert not await node.application_stop("app", timeout=0.2)
    assert notes[4:] == [("terminate", "c"), ("terminate", "a"), ("end", gen.TerminateKill)]
    assert "Stubborn" in caplog.text
    assert "did not end in time and is killed" in caplog.text
    assert node.processes() == []


async def test_stopping_without_time_kills_who_is_busy(node: homing.Node) -> None:
    await running(node, Noted())
    node.send("b", hang)
    await eventually(lambda: node.info().running == 1)
    assert not await node.application_stop("app", timeout=0)
    assert node.processes() == []


async def test_a_second_stop_waits_for_the_first(node: homing.Node) -> None:
    application = await running(node, Noted())
    assert await asyncio.gather(node.application_stop("app"), node.application_stop("app")) == [True, True]
    assert application.notes.count(("terminate", "a")) == 1


async def test_a_stop_goes_on_when_who_asked_for_it_was_cancelled(node: homing.Node) -> None:
    application = await running(node, Noted())
    stop = asyncio.create_task(node.application_stop("app"))
    await asyncio.sleep(0)
    stop.cancel()
    await ended(node)
    assert application.notes[-1] == ("end", gen.TerminateShutdown)


@pytest.mark.parametrize("timeout", [-1, "5", float("nan")])
async def test_a_stop_timeout_that_is_none_is_refused(node: homing.Node, timeout: Any) -> None:
    await running(node, Noted())
    with pytest.raises(gen.BadOption, match="timeout"):
        await node.application_stop("app", timeout)


async def test_what_a_member_has_spawned_unlinked_lives_on_as_in_ergo(node: homing.Node) -> None:
    await running(node, Noted())
    child = await node.call("a", lambda actor: actor.spawn(Member, []))
    await node.application_stop("app")
    assert node.processes() == [child]


async def test_a_member_that_swallows_its_cancellation_is_left_behind_and_the_application_ends(
    node: homing.Node, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("homing.node.application.KILL_TIMEOUT", 0.01)
    gate = asyncio.Event()

    async def swallow(actor: Any) -> None:
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                pass

    await running(node, Noted())
    node.send("b", swallow)
    await eventually(lambda: node.info().running == 1)
    assert not await node.application_stop("app", timeout=0)
    assert node.application_info("app").state is gen.ApplicationState.LOADED
    assert "application app: Member" in caplog.text
    assert "ignores its cancellation" in caplog.text
    gate.set()


# --- the node ---------------------------------------------------------------------------------------------


async def test_a_node_that_stops_ends_its_applications_last_started_first_and_then_the_rest() -> None:
    notes: list[Any] = []
    async with homing.start_node("stop@localhost", QUIET) as node:
        await running(node, Noted("one", ("a", "b"), notes=notes))
        await running(node, Noted("two", ("c",), notes=notes), PERMANENT)
        await node.spawn(Member, notes, name="d")
        notes.clear()
        assert await node.stop()
    shutdown = ("end", gen.TerminateShutdown)
    ends = [("terminate", "c"), shutdown, ("terminate", "b"), ("terminate", "a"), shutdown, ("terminate", "d")]
    assert notes == ends


async def test_a_stop_by_force_tells_the_applications_too() -> None:
    notes: list[Any] = []
    async with homing.start_node("stop@localhost", QUIET) as node:
        await running(node, Noted(notes=notes, members=("a", member(Stubborn, "b", notes))))
        assert not await node.stop(0)
        assert node.application_info("app").state is gen.ApplicationState.LOADED
    assert [kind for kind, _ in notes].count("end") == 1


async def test_a_node_that_stops_while_an_application_starts_leaves_nothing_behind() -> None:
    notes: list[Any] = []
    async with homing.start_node("stop@localhost", QUIET) as node:
        gate = asyncio.Event()
        await node.application_load(Noted(notes=notes, members=("a", member(Slow, "slow", gate))))
        start = asyncio.create_task(node.application_start("app"))
        await eventually(lambda: len(node.processes()) == 2)
        await node.stop(0.1)
        gate.set()
        with pytest.raises(gen.HomingError):
            await start
        assert node.processes() == []
    assert ("terminate", "a") in notes
    assert ("start", TEMPORARY) not in notes


async def test_a_member_that_ends_while_the_node_stops_stops_nothing_twice() -> None:
    async with homing.start_node("stop@localhost", QUIET) as node:
        application = await running(node, Noted(), PERMANENT)
        node.send("b", throw(ValueError("fault")))
        assert await node.stop()
    assert [note for note in application.notes if note[0] == "end"] == [("end", ValueError)]


@pytest.mark.parametrize("what", ["load", "start"])
async def test_a_node_that_has_stopped_starts_and_loads_none(what: str) -> None:
    async with homing.start_node("stop@localhost", QUIET) as node:
        await node.application_load(Noted())
    with pytest.raises(gen.NodeTerminated):
        await (node.application_load(Noted("two")) if what == "load" else node.application_start("app"))


def test_run_runs_an_application_until_it_ends() -> None:
    class Brief(Noted):
        def load(self, node: homing.Node, *args: Any) -> gen.ApplicationSpec:
            self.notes.append(args)
            return super().load(node)

        def start(self, mode: gen.ApplicationMode) -> None:
            self.notes.append("started")

    class Done(act.Actor):
        def init(self, reason: Exception) -> None:
            self.send(self.pid, reason)

        def handle_message(self, sender: gen.PID, message: Any) -> None:
            raise message

    application = Brief(members=(member(Done, "done", gen.TerminateNormal()),), mode=PERMANENT)
    homing.run(application, 1, 2)  # type: ignore[arg-type]
    assert application.notes == [(1, 2), "started", ("end", gen.TerminateNormal)]
    failing = Brief(members=(member(Done, "done", ValueError("fault")),), mode=PERMANENT)
    with pytest.raises(gen.ApplicationTerminated, match=r"'app' has terminated: ValueError\('fault'\)") as caught:
        homing.run(failing)
    assert isinstance(caught.value.reason, ValueError)
