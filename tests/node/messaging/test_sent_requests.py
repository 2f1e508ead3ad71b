"""Requests that do not stop their sender: one response for each, or none once it was cancelled."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import homing
from homing import act, gen
from homing.testing import run_virtual

from ...support import eventually
from ..actors import QUIET, Doer, Meta


class Asker(Doer):
    """Keeps its responses; `told` is set with each."""

    def init(self, got: list[tuple[Any, Any]]) -> None:  # type: ignore[override]
        self.reasons = []
        self.got = got

    def handle_response(self, label: Any, answer: Any) -> Any:
        self.got.append((label, answer))
        return label(self, answer) if callable(label) else None


class AsyncAsker(Asker):
    async def handle_response(self, label: Any, answer: Any) -> None:
        await asyncio.sleep(0)
        self.got.append((label, answer))


class Server(act.Actor):
    """Answers at once; or later, as a message tells it."""

    def init(self, kept: list[tuple[gen.PID, gen.Ref]] | None = None) -> None:
        self.kept = [] if kept is None else kept

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        if request == "later":
            self.kept.append((sender, ref))
            return gen.NO_REPLY
        return request() if callable(request) else ("answer", request)

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        message(self)


class Waits(Server):
    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        await asyncio.sleep(0)
        return super().handle_call(sender, ref, request)


class Seat:
    """A process that sends requests for the test."""

    def __init__(self, node: homing.Node, got: list[tuple[Any, Any]]) -> None:
        self.node = node
        self.got = got
        self.pid: gen.PID

    @classmethod
    async def at(cls, node: homing.Node, kind: type[Asker] = Asker, **options: Any) -> Seat:
        got: list[tuple[Any, Any]] = []
        seat = cls(node, got)
        seat.pid = await node.spawn(kind, got, options=gen.ProcessOptions(**options))
        return seat

    async def do(self, function: Callable[[Any], Any]) -> Any:
        return await self.node.call(self.pid, function)

    async def send(self, to: Any, request: Any, *args: Any, **options: Any) -> Any:
        return await self.do(lambda actor: actor.send_request(to, request, *args, **options))

    async def open(self) -> Any:
        return await self.do(lambda actor: actor.requests)

    async def first(self, count: int = 1) -> Any:
        await eventually(lambda: len(self.got) >= count)
        return self.got[0] if count == 1 else self.got


def ignore(actor: Any) -> None:
    """For `Doer`: does nothing."""


# --- answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", [Server, Waits])
@pytest.mark.parametrize("kind", [Asker, AsyncAsker])
@pytest.mark.parametrize("caller", [False, True], ids=["", "from a thread"])
@pytest.mark.parametrize("callee", [False, True], ids=["", "to a thread"])
async def test_the_response_has_the_label_and_the_answer(
    node: homing.Node, server: type[Server], kind: type[Asker], caller: bool, callee: bool
) -> None:
    seat = await Seat.at(node, kind, thread=caller)
    pid = await node.spawn(server, options=gen.ProcessOptions(thread=callee))
    ref = await seat.send(pid, 1, "label")
    assert isinstance(ref, gen.Ref)
    assert await seat.first() == ("label", ("answer", 1))
    assert await seat.open() == 0


async def test_the_sender_goes_on_and_handles_messages_before_the_response(node: homing.Node) -> None:
    kept: list[Any] = []
    seat = await Seat.at(node)
    server = await node.spawn(Server, kept)
    await seat.send(server, "later", "slow")
    await seat.send(server, 2, "quick")
    assert await seat.first() == ("quick", ("answer", 2))
    assert await seat.open() == 1
    node.send(server, lambda actor: actor.send_response(*kept[0], "at last"))
    assert await seat.first(2) == [("quick", ("answer", 2)), ("slow", "at last")]


async def test_an_error_answers_the_request(node: homing.Node) -> None:
    kept: list[Any] = []
    seat = await Seat.at(node)
    server = await node.spawn(Server, kept)
    await seat.send(server, "later", "x")
    await eventually(lambda: kept)
    error = StopIteration("one that a coroutine could not raise")
    node.send(server, lambda actor: actor.send_response_error(*kept[0], PermissionError("no")))
    label, answer = await seat.first()
    assert (label, repr(answer)) == ("x", "PermissionError('no')")
    await seat.send(server, "later", "y")
    await eventually(lambda: len(kept) == 2)
    node.send(server, lambda actor: actor.send_response_error(*kept[1], error))
    assert isinstance((await seat.first(2))[1][1], Exception)


async def test_the_end_of_the_callee_is_the_response_at_once(node: homing.Node) -> None:
    seat = await Seat.at(node)
    server = await node.spawn(Server)
    await seat.send(server, "later", 1)
    await seat.send(server, "later", 2)
    node.kill(server)
    for _, answer in await seat.first(2):
        assert isinstance(answer, gen.ProcessTerminated)
        assert isinstance(answer.reason, gen.TerminateKill)


async def test_the_end_of_a_meta_process_is_the_response_at_once(node: homing.Node) -> None:
    class Silent(Meta):
        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return gen.NO_REPLY

    seat = await Seat.at(node)
    owner = await node.spawn(Doer)
    alias = await node.call(owner, lambda actor: actor.spawn_meta(Silent()))
    await seat.send(alias, "x")
    node.kill(owner)
    assert isinstance((await seat.first())[1], gen.MetaTerminated)


async def test_no_callback_for_calls_is_an_error_as_the_answer(node: homing.Node) -> None:
    seat = await Seat.at(node)
    await seat.send(await node.spawn(act.Actor), "x")
    assert isinstance((await seat.first())[1], gen.NotAllowed)


async def test_a_process_may_ask_itself(node: homing.Node) -> None:
    seat = await Seat.at(node)
    await seat.send(seat.pid, lambda actor: actor.pid)
    assert await seat.first() == (None, seat.pid)


async def test_a_request_from_init_is_answered(node: homing.Node) -> None:
    class Early(Asker):
        def init(self, got: list[Any], server: gen.PID) -> None:  # type: ignore[override]
            super().init(got)
            self.send_request(server, 1, "early")

    got: list[Any] = []
    await node.spawn(Early, got, await node.spawn(Server))
    await eventually(lambda: got == [("early", ("answer", 1))])


async def test_a_forwarded_request_is_answered_by_the_last_callee(node: homing.Node) -> None:
    class Front(act.Actor):
        def init(self, back: gen.PID) -> None:
            self.back = back

        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            self.forward(self.back, request, sender=sender, ref=ref)
            return gen.NO_REPLY

    seat = await Seat.at(node)
    back = await node.spawn(Server)
    front = await node.spawn(Front, back)
    await seat.send(front, 7)
    assert await seat.first() == (None, ("answer", 7))
    await seat.send(front, "later")
    await seat.do(ignore)
    node.kill(front)  # it is not the callee any more
    node.kill(back)
    assert (await seat.first(2))[1][1].target == front


async def test_names_aliases_pools_and_routers_answer(node: homing.Node) -> None:
    class Two(act.Pool):
        def init(self) -> act.PoolOptions:
            return act.PoolOptions(worker=Server, pool_size=2)

    class One(act.Router):
        def init(self) -> act.RouterOptions:
            return act.RouterOptions(routes=(act.RouteSpec(name="one", behavior=Server),))

        def route_message(self, sender: gen.PID, message: Any) -> str:
            return "one"

    seat = await Seat.at(node)
    await node.spawn(Server, name="server")
    doer = await node.spawn(Doer)
    alias = await node.call(doer, lambda actor: actor.create_alias())
    for to in ("server", gen.ProcessID("server", node.name), await node.spawn(Two), await node.spawn(One)):
        await seat.send(to, to)
    await seat.send(alias, lambda actor: "alias")
    answers = [answer for _, answer in await seat.first(5)]
    assert answers.count("alias") == 1
    assert [kind for kind, *_ in answers if kind == "answer"] == ["answer"] * 4


async def test_a_pool_gets_the_responses_to_its_own_requests(node: homing.Node) -> None:
    got: list[Any] = []

    class Curious(act.Pool):
        def init(self, server: gen.PID) -> act.PoolOptions:
            self.send_request(server, 1, "pool")
            return act.PoolOptions(worker=Server, pool_size=1)

        def handle_response(self, label: Any, answer: Any) -> None:
            got.append((label, answer))

    await node.spawn(Curious, await node.spawn(Server))
    await eventually(lambda: got == [("pool", ("answer", 1))])


async def test_a_request_has_its_priority(node: homing.Node) -> None:
    order: list[str] = []

    def note(text: str) -> Callable[[], None]:
        return lambda: order.append(text)

    seat = await Seat.at(node)
    server = await node.spawn(Server)

    def ask(actor: Any) -> None:
        actor.send_request(server, note("normal"))
        actor.send_request(server, note("max"), priority=gen.MessagePriority.MAX)

    await seat.do(ask)
    await seat.first(2)
    assert order == ["max", "normal"]


async def test_an_answer_comes_into_a_full_mailbox(node: homing.Node) -> None:
    kept: list[Any] = []
    seat = await Seat.at(node, mailbox_size=1, overflow="drop_oldest")
    server = await node.spawn(Server, kept)
    gate = asyncio.Event()
    await seat.send(server, "later", "x")
    node.send(seat.pid, lambda actor: gate.wait())
    await eventually(lambda: node.process_info(seat.pid).state is gen.ProcessState.RUNNING)
    node.send(seat.pid, ignore)
    node.send(server, lambda actor: actor.send_response(*kept[0], 5))
    await eventually(lambda: node.process_info(seat.pid).mailbox.main == 2)
    node.send(seat.pid, ignore)  # drops the message, not the response
    gate.set()
    assert await seat.first() == ("x", 5)


async def test_a_process_without_handle_response_logs_that_once(
    node: homing.Node, caplog: pytest.LogCaptureFixture
) -> None:
    doer, server = await node.spawn(Doer), await node.spawn(Server)
    with caplog.at_level(logging.WARNING):
        for number in range(20):
            await node.call(doer, lambda actor, number=number: actor.send_request(server, number))
        await eventually(lambda: node.process_info(doer).messages_in == 40)
    found = [record for record in caplog.records if "handle_response" in record.getMessage()]
    assert len(found) == 1


# --- what is refused at once ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"to": 5}, gen.BadOption),
        ({"to": []}, gen.BadOption),
        ({"to": "nobody"}, gen.NameUnknown),
        ({"timeout": 0}, gen.BadOption),
        ({"timeout": "5"}, gen.BadOption),
        ({"timeout": None}, gen.BadOption),
        ({"priority": 7}, gen.BadOption),
    ],
)
async def test_what_cannot_be_sent_is_refused_at_once_and_has_no_response(
    node: homing.Node, change: dict[str, Any], error: type[Exception]
) -> None:
    seat = await Seat.at(node)
    server = await node.spawn(Server)

    def ask(actor: Any) -> None:
        with pytest.raises(error):
            actor.send_request(**{"to": server, "request": 1, **change})
        assert actor.requests == 0

    await seat.do(ask)
    await seat.send(server, 1, "last")
    assert await seat.first() == ("last", ("answer", 1))
    assert node.info().open_calls == 0


async def test_a_full_mailbox_refuses_a_request_at_once(node: homing.Node) -> None:
    seat = await Seat.at(node)
    server = await node.spawn(Doer, options=gen.ProcessOptions(mailbox_size=1))
    gate = asyncio.Event()
    node.send(server, lambda actor: gate.wait())
    await eventually(lambda: node.process_info(server).state is gen.ProcessState.RUNNING)
    node.send(server, ignore)

    def ask(actor: Any) -> None:
        with pytest.raises(gen.MailboxFull):
            actor.send_request(server, ignore)
        assert actor.requests == 0

    await seat.do(ask)
    gate.set()


async def test_beyond_max_requests_a_request_is_refused_until_one_is_handled(node: homing.Node) -> None:
    seat = await Seat.at(node, max_requests=2)
    kept: list[Any] = []
    server = await node.spawn(Server, kept)
    await seat.send(server, "later", 1)
    await seat.send(server, "later", 2)

    def ask(actor: Any) -> None:
        with pytest.raises(gen.TooManyRequests, match="2 requests are open, as many as max_requests allows"):
            actor.send_request(server, "later")

    await seat.do(ask)
    node.send(server, lambda actor: actor.send_response(*kept[0], "free"))
    await seat.first()
    await seat.send(server, "later", 3)


async def test_the_info_of_a_process_tells_its_open_requests(node: homing.Node) -> None:
    seat, server = await Seat.at(node), await node.spawn(Server)
    refs = [await seat.send(server, "later") for _ in range(3)]
    assert node.process_info(seat.pid).requests == 3
    await seat.do(lambda actor: actor.cancel_request(refs[0]))
    assert node.process_info(seat.pid).requests == 2


async def test_handle_response_may_send_the_next_request_when_only_one_may_be_open(node: homing.Node) -> None:
    seat = await Seat.at(node, max_requests=1)
    server = await node.spawn(Server)
    await seat.send(server, 1, lambda actor, answer: actor.send_request(server, 2, "second") and None)
    assert (await seat.first(2))[1] == ("second", ("answer", 2))


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "many", None])
def test_max_requests_is_a_positive_integer(value: Any) -> None:
    with pytest.raises(gen.BadOption, match="max_requests"):
        gen.ProcessOptions(max_requests=value)


async def test_an_ended_process_sends_no_requests(node: homing.Node) -> None:
    errors: list[Exception] = []
    server = await node.spawn(Server)

    class Last(act.Actor):
        def terminate(self, reason: Exception) -> None:
            try:
                self.send_request(server, 1)
            except Exception as error:
                errors.append(error)

    node.kill(await node.spawn(Last))
    await eventually(lambda: errors)
    assert isinstance(errors[0], gen.NotAllowed)


# --- the end without an answer ----------------------------------------------------------------------------


def test_a_request_times_out_at_its_time_and_a_late_answer_goes_nowhere() -> None:
    async def main() -> None:
        async with homing.start_node("test@localhost", QUIET) as node:
            loop, kept = asyncio.get_running_loop(), list[Any]()
            times: list[float] = []
            seat = await Seat.at(node)
            server = await node.spawn(Server, kept)
            begin = loop.time()
            for seconds in (3.0, 1.0, 2.0, 1.0):
                await seat.send(server, "later", lambda actor, answer: times.append(loop.time()), seconds)
            await asyncio.sleep(5)
            assert [round(time - begin, 3) for time in times] == [1, 1, 2, 3]
            assert [answer.seconds for _, answer in seat.got] == [1, 1, 2, 3]
            assert {type(answer) for _, answer in seat.got} == {gen.CallTimeout}
            for sender, ref in kept:
                node.send(server, lambda actor, sender=sender, ref=ref: actor.send_response(sender, ref, "late"))
            await asyncio.sleep(1)
            assert (len(seat.got), node.info().late_responses, await seat.open()) == (4, 4, 0)

    run_virtual(main)


async def test_a_cancelled_request_has_no_response(node: homing.Node) -> None:
    kept: list[Any] = []
    seat = await Seat.at(node)
    server = await node.spawn(Server, kept)
    ref = await seat.send(server, "later", "cancelled")
    assert await seat.do(lambda actor: actor.cancel_request(ref)) is True
    assert await seat.do(lambda actor: actor.cancel_request(ref)) is False
    assert await seat.open() == 0
    node.send(server, lambda actor: actor.send_response(*kept[0], "late"))
    await eventually(lambda: node.info().late_responses == 1)
    await seat.send(server, 1, "after")
    assert await seat.first() == ("after", ("answer", 1))


async def test_a_response_that_waits_in_the_mailbox_can_be_cancelled(node: homing.Node) -> None:
    seat = await Seat.at(node)
    server = await node.spawn(Server)

    async def ask(actor: Any) -> bool:
        ref = actor.send_request(server, 1, "cancelled")
        await eventually(lambda: node.process_info(actor.pid).mailbox.main == 1)
        return bool(actor.cancel_request(ref))

    assert await seat.do(ask) is True
    await seat.send(server, 2, "after")
    assert await seat.first() == ("after", ("answer", 2))


async def test_a_response_that_was_handled_cannot_be_cancelled(node: homing.Node) -> None:
    seat = await Seat.at(node)
    ref = await seat.send(await node.spawn(Server), 1)
    await seat.first()
    assert await seat.do(lambda actor: actor.cancel_request(ref)) is False


async def test_only_the_sender_cancels_its_request(node: homing.Node) -> None:
    one, other = await Seat.at(node), await Seat.at(node)
    ref = await one.send(await node.spawn(Server), "later")
    assert await other.do(lambda actor: actor.cancel_request(ref)) is False
    assert await one.open() == 1


@pytest.mark.parametrize("ref", ["ref", None, [], 5])
async def test_what_is_no_reference_cannot_be_cancelled(node: homing.Node, ref: Any) -> None:
    def cancel(actor: Any) -> None:
        with pytest.raises(gen.BadOption, match="ref="):
            actor.cancel_request(ref)

    await (await Seat.at(node)).do(cancel)


@pytest.mark.parametrize("count", [1, 1000])
async def test_the_end_of_the_sender_ends_its_requests(node: homing.Node, count: int) -> None:
    kept: list[Any] = []
    seat = await Seat.at(node)
    server = await node.spawn(Server, kept)
    await seat.do(lambda actor: [actor.send_request(server, "later") for _ in range(count)] and None)
    await eventually(lambda: len(kept) == count)
    node.kill(seat.pid)
    await eventually(lambda: node.info().open_calls == 0)
    await node.call(server, lambda: None)
    for sender, ref in kept:
        node.send(server, lambda actor, sender=sender, ref=ref: actor.send_response(sender, ref, 1))
    await eventually(lambda: node.info().late_responses == count)
    assert seat.got == []


@pytest.mark.parametrize("answered", [False, True])
async def test_after_a_restart_with_the_mailbox_no_response_of_the_former_life_comes(
    node: homing.Node, answered: bool
) -> None:
    got: list[Any] = []
    kept: list[Any] = []
    server = await node.spawn(Server, kept)

    class Top(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            options = gen.ProcessOptions(preserve_mailbox=True)
            return act.SupervisorSpec(
                children=(act.ChildSpec(name="asker", behavior=Asker, args=(got,), options=options),)
            )

    await node.spawn(Top)
    first = node.process_info("asker").pid

    async def crash(actor: Any) -> None:
        if answered:
            actor.send_request(server, 1, "former")
            await eventually(lambda: node.process_info(actor.pid).mailbox.main >= 1)
        else:
            actor.send_request(server, "later", "former")
            await eventually(lambda: kept)
        await asyncio.sleep(0)
        node.send("asker", lambda actor: actor.send_request(server, 2, "present") and None)
        raise ValueError("a bug")

    node.send("asker", crash)
    await eventually(lambda: ("present", ("answer", 2)) in got)
    assert node.process_info("asker").pid != first
    if not answered:
        node.send(server, lambda actor: actor.send_response(*kept[0], "late"))
        await eventually(lambda: node.info().late_responses == 1)
    assert got == [("present", ("answer", 2))]


async def test_a_request_that_waits_at_a_process_is_answered_by_its_successor(node: homing.Node) -> None:
    class Top(act.Supervisor):
        def init(self) -> act.SupervisorSpec:
            options = gen.ProcessOptions(preserve_mailbox=True)
            return act.SupervisorSpec(children=(act.ChildSpec(name="callee", behavior=Doer, options=options),))

    await node.spawn(Top)
    seat = await Seat.at(node)

    async def crash(actor: Any) -> None:
        await eventually(lambda: node.process_info(actor.pid).mailbox.main == 1)
        raise ValueError("a bug")

    former = node.process_info("callee").pid
    node.send("callee", crash)
    await seat.send("callee", lambda actor: actor.pid)
    _, answer = await seat.first()
    assert (answer == former, answer) == (False, node.process_info("callee").pid)


async def test_a_crash_in_handle_response_is_a_crash_with_the_answer_as_dead_letter(node: homing.Node) -> None:
    got: list[Any] = []

    class Letters(act.Actor):
        def handle_message(self, sender: gen.PID, message: Any) -> None:
            got.append(message)

    def crash(actor: Any, answer: Any) -> None:
        raise ValueError("a bug")

    letters, server = await node.spawn(Letters), await node.spawn(Server)
    seat = await Seat.at(node, dead_letters=letters)
    await seat.send(server, 1, crash)
    await eventually(lambda: got)
    letter = got[0]
    assert (letter.pid, letter.sender, letter.message) == (seat.pid, server, ("answer", 1))
    assert letter.in_hand is True
    assert node.info().crashes == 1


async def test_a_stop_waits_for_open_requests(node: homing.Node) -> None:
    kept: list[Any] = []
    seat = await Seat.at(node)
    server = await node.spawn(Server, kept)
    await seat.send(server, "later", "x")
    await eventually(lambda: kept)
    stop = asyncio.create_task(node.stop(2.0))
    await asyncio.sleep(0.02)
    node.send(server, lambda actor: actor.send_response(*kept[0], "in time"))
    assert await stop
    assert seat.got == [("x", "in time")]


# --- what it costs ----------------------------------------------------------------------------------------


async def test_ended_requests_leave_nothing_behind(node: homing.Node) -> None:
    seat = await Seat.at(node)
    server = await node.spawn(Server)
    for _ in range(10):
        await seat.do(lambda actor: [actor.send_request(server, n, timeout=60.0) for n in range(100)] and None)
        await eventually(lambda: node.info().open_calls == 0)
    assert len(node._core.calls.deadlines) <= 128
    handles = [handle for handle in getattr(asyncio.get_running_loop(), "_scheduled", ()) if not handle.cancelled()]
    assert len(handles) < 20


async def test_the_answer_of_an_ended_request_is_not_kept(node: homing.Node) -> None:
    class Answer:
        """Can be referred to weakly."""

    answers: list[Any] = []

    def make() -> Answer:
        answer = Answer()
        answers.append(weakref.ref(answer))
        return answer

    seat = await Seat.at(node)
    server = await node.spawn(Server)
    await seat.send(server, make, "x")
    await seat.first()
    seat.got.clear()
    await seat.do(ignore)
    gc.collect()
    assert answers[0]() is None
