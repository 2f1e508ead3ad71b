"""A process that has crashed is followed by one with its state: its last dump, unless that is too old or poison."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import eventually
from .keeping import NAME, Counter, Service, again, count, crash, fail, half, info, put, state

pytestmark = pytest.mark.backends


async def started(node: homing.Node, options: gen.StateOptions | None = None, *more: Any) -> gen.PID:
    return await node.spawn(Service, gen.StateOptions() if options is None else options, *more)


async def test_all_that_was_handled_before_the_crash_is_there_after_it(node: homing.Node) -> None:
    await started(node)
    for number in range(20):
        for _ in range(10):
            node.send(NAME, count)
        await crash(node)
        assert await state(node) == {"n": 10 * (number + 1)}
    assert (info(node).loads, info(node).discarded) == (20, 0)


async def test_a_change_that_the_crash_left_half_done_is_not_there(node: homing.Node) -> None:
    await started(node)
    node.send(NAME, count)
    await crash(node, half)
    assert await state(node) == {"n": 1}


async def test_what_an_asynchronous_callback_did_before_it_was_killed_is_not_there(node: homing.Node) -> None:
    await started(node)
    begun = asyncio.Event()

    async def long(counter: Any) -> None:
        counter.state["half"] = True
        begun.set()
        await asyncio.Event().wait()

    node.send(NAME, count)
    node.send(NAME, long)
    await begun.wait()
    before = node.process_info(NAME).pid
    node.kill(before)
    await again(node, before)
    assert await state(node) == {"n": 1}


async def test_each_asynchronous_callback_is_followed_by_a_dump(node: homing.Node) -> None:
    await started(node)

    async def later(counter: Any) -> None:
        await asyncio.sleep(0)
        count(counter)

    for _ in range(5):
        node.send(NAME, later)
    await crash(node)
    assert await state(node) == {"n": 5}


async def test_with_at_crash_what_the_callback_has_done_is_there_too(node: homing.Node) -> None:
    await started(node, gen.StateOptions(every=3600.0, at_crash=True))
    node.send(NAME, count)
    await crash(node, half)
    assert await state(node) == {"n": 1, "half": True}


async def test_between_two_dumps_only_the_changes_since_the_last_one_are_lost(node: homing.Node) -> None:
    await started(node, gen.StateOptions(every=3600.0))
    node.send(NAME, count)
    await eventually(lambda: info(node).dumps == 1)  # the first follows the first turn
    for _ in range(3):
        node.send(NAME, count)
    assert await state(node) == {"n": 4}
    assert (info(node).dumps, bool(info(node).age)) == (1, True)
    await crash(node)
    assert await state(node) == {"n": 1}


async def test_a_dump_follows_when_it_is_time_although_nothing_more_is_handled(node: homing.Node) -> None:
    await started(node, gen.StateOptions(every=0.02))
    for number in range(1, 4):
        node.send(NAME, count)
        await eventually(lambda: info(node).dumps >= number and info(node).age == 0.0)  # noqa: B023
    dumps = info(node).dumps
    await asyncio.sleep(0.1)
    assert info(node).dumps == dumps  # an idle process is not dumped


@pytest.mark.parametrize("options", [gen.StateOptions(), gen.StateOptions(every=3600.0)])
async def test_a_kill_between_two_callbacks_loses_nothing(node: homing.Node, options: gen.StateOptions) -> None:
    await started(node, options)
    for _ in range(7):
        node.send(NAME, count)
    assert await state(node) == {"n": 7}
    before = node.process_info(NAME).pid
    node.kill(before)
    await again(node, before)
    assert await state(node) == {"n": 7}


async def test_a_sibling_that_is_stopped_to_be_restarted_keeps_its_state(node: homing.Node) -> None:
    class Both(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            options = gen.ProcessOptions(state=gen.StateOptions(every=3600.0))
            children = tuple(act.ChildSpec(name=name, behavior=Counter, options=options) for name in ("one", "other"))
            return act.SupervisorSpec(children=children, type=act.SupervisorType.ALL_FOR_ONE)

    await node.spawn(Both)
    for _ in range(3):
        node.send("other", count)
    assert await state(node, "other") == {"n": 3}
    before = node.process_info("other").pid
    await crash(node, name="one")
    await again(node, before, "other")
    assert await state(node, "other") == {"n": 3}


async def test_an_end_in_order_forgets_the_state(node: homing.Node) -> None:
    await started(node)
    node.send(NAME, count)

    def normal(counter: Any) -> None:
        raise gen.TerminateNormal

    await crash(node, normal)
    assert (await state(node), info(node).loads) == ({}, 0)


async def test_a_worker_of_a_pool_keeps_its_state_without_a_name(node: homing.Node) -> None:
    class Workers(act.Pool):
        def init(self) -> act.PoolOptions:
            options = gen.ProcessOptions(state=gen.StateOptions())
            return act.PoolOptions(pool_size=1, worker=Counter, worker_options=options)

    pool = await node.spawn(Workers)
    for _ in range(4):
        node.send(pool, count)
    node.send(pool, fail)
    assert await eventually_called(node, pool) == {"n": 4}


async def test_the_process_of_a_route_keeps_its_state_without_a_name(node: homing.Node) -> None:
    class Routes(act.Router):
        def init(self) -> act.RouterOptions:
            options = gen.ProcessOptions(state=gen.StateOptions())
            return act.RouterOptions(routes=(act.RouteSpec(name="only", behavior=Counter, options=options),))

        def route_message(self, sender: Any, message: Any) -> str:
            return "only"

        def route_call(self, sender: Any, ref: Any, request: Any) -> str:
            return "only"

    router = await node.spawn(Routes)
    for _ in range(4):
        node.send(router, count)
    node.send(router, fail)
    assert await eventually_called(node, router) == {"n": 4}


async def eventually_called(node: homing.Node, to: gen.PID) -> Any:
    for _ in range(100):
        try:
            return await node.call(to, None)
        except gen.HomingError:
            await asyncio.sleep(0.01)
    raise AssertionError("no answer")


async def test_a_process_that_nobody_restarts_leaves_its_state_to_the_next_of_its_name(node: homing.Node) -> None:
    options = gen.ProcessOptions(state=gen.StateOptions(name="state"))
    pid = await node.spawn(Counter, options=options)
    await node.call(pid, count)
    node.kill(pid)
    following = await node.spawn(Counter, options=options)
    assert await node.call(following, None) == {"n": 1}


async def test_two_processes_cannot_keep_their_states_under_one_name(node: homing.Node) -> None:
    options = gen.ProcessOptions(state=gen.StateOptions(name="state"))
    await node.spawn(Counter, options=options)
    with pytest.raises(gen.NameTaken, match="state"):
        await node.spawn(Counter, options=options)


async def test_an_init_that_fails_leaves_the_state_for_the_next_attempt(node: homing.Node) -> None:
    class Failing(Counter):
        attempts = 0

        def init(self) -> None:
            super().init()
            type(self).attempts += 1
            if type(self).attempts == 2:
                raise ValueError("not yet")

    await started(node, None, Failing)
    node.send(NAME, count)
    await crash(node)
    assert Failing.attempts == 3
    assert await state(node) == {"n": 1}


# --- where the state is not loaded ------------------------------------------------------------------------


async def test_after_two_crashes_with_the_same_state_the_process_starts_clean(node: homing.Node) -> None:
    class Poisoned(Counter):
        def handle_message(self, sender: gen.PID, message: Any) -> Any:
            if "poison" in self.state:
                raise RuntimeError("of the state")
            super().handle_message(sender, message)

    await started(node, None, Poisoned)
    node.send(NAME, put({"poison": True}))
    await crash(node)
    assert await state(node) == {"poison": True}  # after one crash it may have been the message
    await crash(node)
    assert await state(node) == {}
    told = info(node)
    assert (told.loads, told.discarded, told.error) == (1, 1, "two crashes with the same state")
    node.send(NAME, count)
    await crash(node)
    assert await state(node) == {"n": 1}


@pytest.mark.parametrize("options", [gen.StateOptions(), gen.StateOptions(every=3600.0, at_crash=True)])
async def test_a_state_that_has_changed_meanwhile_is_not_the_same_even_if_it_is_equal(
    node: homing.Node, options: gen.StateOptions
) -> None:
    await started(node, options)
    for _ in range(5):
        node.send(NAME, put({"n": 1}))
        await crash(node)
        assert await state(node) == {"n": 1}
        node.send(NAME, put({}))
    assert info(node).discarded == 0


async def test_a_state_with_which_a_process_has_run_for_long_is_no_poison(node: homing.Node) -> None:
    await started(node, gen.StateOptions(trial=0.0))
    node.send(NAME, count)
    for _ in range(3):
        await crash(node)
        assert await state(node) == {"n": 1}


async def test_kills_make_no_state_poison(node: homing.Node) -> None:
    await started(node)
    node.send(NAME, count)
    assert await state(node) == {"n": 1}
    for _ in range(4):
        before = node.process_info(NAME).pid
        node.kill(before)
        await again(node, before)
    assert await state(node) == {"n": 1}


async def test_a_dump_that_is_too_far_behind_is_not_loaded(node: homing.Node, caplog: pytest.LogCaptureFixture) -> None:
    class Slow(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            options = gen.ProcessOptions(state=gen.StateOptions(every=3600.0, max_age=0.05))
            child = act.ChildSpec(name=NAME, behavior=Counter, options=options)
            return act.SupervisorSpec(children=(child,))

    await node.spawn(Slow)
    node.send(NAME, count)
    await eventually(lambda: info(node).dumps == 1)
    node.send(NAME, count)
    assert await state(node) == {"n": 2}
    await eventually(lambda: (info(node).age or 0) > 0.05)
    await crash(node)
    assert await state(node) == {}
    assert info(node).discarded == 1
    assert "max_age is 0.05 s" in info(node).error
    assert "starts clean" in caplog.text


async def test_a_restart_that_comes_too_late_starts_clean(node: homing.Node) -> None:
    class Late(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            options = gen.ProcessOptions(state=gen.StateOptions(max_age=0.01))
            child = act.ChildSpec(name=NAME, behavior=Counter, options=options)
            return act.SupervisorSpec(children=(child,), backoff=act.Backoff(first=0.1, most=0.1, jitter=0.0))

    await node.spawn(Late)
    node.send(NAME, count)
    await crash(node)
    assert await state(node) == {}


async def test_a_dump_of_an_idle_process_does_not_age(node: homing.Node) -> None:
    await started(node, gen.StateOptions(max_age=0.05))
    node.send(NAME, count)
    assert await state(node) == {"n": 1}
    await asyncio.sleep(0.1)
    assert info(node).age == 0.0
    await crash(node)
    assert await state(node) == {"n": 1}


@pytest.mark.parametrize("later", [False, True])
async def test_a_load_state_that_raises_is_logged_and_the_process_starts_really_clean(
    node: homing.Node, caplog: pytest.LogCaptureFixture, later: bool
) -> None:
    class Refusing(Counter):
        ends: list[Exception] = []  # noqa: RUF012

        def load_state(self, state: Any) -> Any:
            self.state.update(state)
            if later:
                return self.fail_later()
            raise ValueError("not mine")

        async def fail_later(self) -> None:
            await asyncio.sleep(0)
            raise ValueError("not mine")

        def terminate(self, reason: Exception) -> None:
            self.ends.append(reason)

    await started(node, None, Refusing)
    node.send(NAME, count)
    await crash(node)
    assert await state(node) == {}
    assert (info(node).loads, info(node).discarded) == (0, 1)
    assert "it starts clean: load_state: ValueError('not mine')" in caplog.text
    assert len(Refusing.ends) == 1  # of the one that has crashed: the one that could not load never was


async def test_without_the_option_nothing_is_kept(node: homing.Node) -> None:
    await node.spawn(Service, None)
    node.send(NAME, count)
    await crash(node)
    assert await state(node) == {}
    assert node.process_info(NAME).kept is None


# --- options ------------------------------------------------------------------------------------------------


async def test_a_class_without_both_methods_is_refused_with_the_name_of_what_is_missing(node: homing.Node) -> None:
    class Half(act.Actor):
        def dump_state(self) -> Any:
            return {}

    options = gen.ProcessOptions(state=gen.StateOptions())
    for behavior, missing in ((act.Actor, "dump_state"), (Half, "load_state")):
        with pytest.raises(gen.BadOption, match=f"define {missing}"):
            await node.spawn(behavior, options=options)


async def test_pools_routers_and_supervisors_are_refused(node: homing.Node) -> None:
    for kind in (act.Pool, act.Router, act.Supervisor):
        with pytest.raises(gen.BadOption, match="give it to its workers or children"):
            await node.spawn(kind, options=gen.ProcessOptions(state=gen.StateOptions()))


def test_callbacks_side_by_side_are_refused() -> None:
    with pytest.raises(gen.BadOption, match="concurrency=1"):
        gen.ProcessOptions(state=gen.StateOptions(), concurrency=2)
