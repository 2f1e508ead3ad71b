"""Calls: the answer, or at once the reason why there will be none."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

import homing
from homing import act, gen

from ...support import Probe, eventually
from ..actors import Doer, Gate, Meta, hang, throw, throw_later


class Server(act.Actor):
    """Answers as it is told."""

    def init(self, later: list[Any] | None = None) -> None:
        self.later = [] if later is None else later

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        if request == "later":
            self.later.append((sender, ref))
            return gen.NO_REPLY
        return request() if callable(request) else ("answer", sender, request)


class AsyncServer(Server):
    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        await asyncio.sleep(0)
        return super().handle_call(sender, ref, request)


SERVERS = pytest.mark.parametrize("server", [Server, AsyncServer])


async def ask(node: homing.Node, outside: bool, to: Any, request: Any, **options: Any) -> Any:
    """Calls from outside of all processes, or from a process."""
    if outside:
        return await node.call(to, request, **options)

    async def call(actor: Doer) -> tuple[Any, Exception | None]:
        try:
            return await actor.call(to, request, **options), None
        except Exception as error:
            return None, error

    answer, error = await node.call(await node.spawn(Doer), call)
    if error is not None:
        raise error
    return answer


@SERVERS
@pytest.mark.parametrize("outside", [True, False])
async def test_the_caller_gets_what_handle_call_gives_back(
    node: homing.Node, server: type[Server], outside: bool
) -> None:
    answer = await ask(node, outside, await node.spawn(server), "what?")
    assert (answer[0], answer[2]) == ("answer", "what?")
    assert (answer[1] == node.pid) is outside


@SERVERS
@pytest.mark.parametrize("answer", [None, False, (), ValueError("a value")])
async def test_anything_is_an_answer_also_none_and_an_exception(
    node: homing.Node, server: type[Server], answer: Any
) -> None:
    assert await node.call(await node.spawn(server), lambda: answer) is answer


@SERVERS
async def test_another_process_may_answer_later(node: homing.Node, server: type[Server]) -> None:
    later: list[Any] = []
    pid = await node.spawn(server, later)
    call = asyncio.create_task(node.call(pid, "later"))
    sender, ref = (await eventually(lambda: later))[0]
    other = await node.spawn(Doer)
    node.send(other, lambda actor: actor.send_response(sender, ref, "from another"))
    assert await call == "from another"
    assert node.process_info(other).messages_out == 1


async def test_an_error_may_be_the_answer_and_the_callee_lives_on(node: homing.Node) -> None:
    error = LookupError("no such thing")

    class Refuses(act.Actor):
        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            self.send_response_error(sender, ref, error)
            return gen.NO_REPLY

    pid = await node.spawn(Refuses)
    with pytest.raises(LookupError) as caught:
        await ask(node, False, pid, "what?")
    assert caught.value is error
    assert pid in node.processes()


async def test_stop_iteration_as_an_error_comes_wrapped_and_does_not_hang(node: homing.Node) -> None:
    later: list[Any] = []
    pid = await node.spawn(Server, later)
    call = asyncio.create_task(node.call(pid, "later"))
    sender, ref = (await eventually(lambda: later))[0]
    node.send(await node.spawn(Doer), lambda actor: actor.send_response_error(sender, ref, StopIteration("x")))
    with pytest.raises(RuntimeError, match="StopIteration"):
        await call


@pytest.mark.parametrize("junk", ["no", None, 3])
async def test_an_error_that_is_none_is_refused_and_the_call_stays_open(node: homing.Node, junk: Any) -> None:
    later: list[Any] = []
    source = Meta()
    pid, doer = await node.spawn(Server, later), await node.spawn(Doer)
    await node.call(doer, lambda actor: actor.spawn_meta(source))
    call = asyncio.create_task(node.call(pid, "later"))
    sender, ref = (await eventually(lambda: later))[0]
    with pytest.raises(gen.BadOption, match="reason"):
        source.process.send_response_error(sender, ref, junk)

    def answer(actor: Doer) -> None:
        with pytest.raises(gen.BadOption, match="reason"):
            actor.send_response_error(sender, ref, junk)

    await node.call(doer, answer)
    source.process.send_response(sender, ref, "good")
    assert await call == "good"


@pytest.mark.parametrize("outside", [True, False])
async def test_a_call_without_an_answer_times_out_with_the_facts(node: homing.Node, outside: bool) -> None:
    pid = await node.spawn(Server)
    with pytest.raises(gen.CallTimeout) as caught:
        await ask(node, outside, pid, "later", timeout=0.01)
    assert (caught.value.target, caught.value.seconds) == (pid, 0.01)
    assert isinstance(caught.value, TimeoutError)
    assert node.info().open_calls == 0


async def test_a_late_answer_is_counted_and_goes_to_no_later_call(node: homing.Node) -> None:
    later: list[Any] = []
    pid, doer = await node.spawn(Server, later), await node.spawn(Doer)
    with pytest.raises(gen.CallTimeout):
        await node.call(pid, "later", timeout=0.001)
    second = asyncio.create_task(node.call(pid, "later"))
    await eventually(lambda: len(later) == 2)
    (sender, first_ref), (_, second_ref) = later
    await node.call(doer, lambda actor: actor.send_response(sender, first_ref, "late"))
    await node.call(doer, lambda actor: actor.send_response_error(sender, first_ref, LookupError()))
    assert node.info().late_responses == 2
    assert not second.done()
    await node.call(doer, lambda actor: actor.send_response(sender, second_ref, "in time"))
    assert await second == "in time"


async def test_a_second_answer_to_one_request_is_counted_as_late(node: homing.Node) -> None:
    class Twice(act.Actor):
        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            self.send_response(sender, ref, "first")
            return "second"

    assert await node.call(await node.spawn(Twice), "x") == "first"
    assert node.info().late_responses == 1


# --- a callee that ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [throw, throw_later])
@pytest.mark.parametrize("outside", [True, False])
async def test_a_callee_that_ends_while_it_handles_the_call_gives_its_reason_at_once(
    node: homing.Node, end: Any, outside: bool
) -> None:
    pid = await node.spawn(Doer)
    error = ValueError("broken")
    with pytest.raises(gen.ProcessTerminated) as caught:
        await ask(node, outside, pid, end(error), timeout=3600)
    assert (caught.value.target, caught.value.reason, caught.value.__cause__) == (pid, error, error)


async def test_a_callee_that_ends_before_it_gets_to_the_call_gives_its_reason_at_once(node: homing.Node) -> None:
    gate, kept = asyncio.Event(), []
    pid = await node.spawn(Gate, kept, gate, name="gate")
    node.send(pid, "busy")
    await eventually(lambda: kept)
    call = asyncio.create_task(node.call("gate", "never handled", timeout=3600))
    await eventually(lambda: node.process_info(pid).mailbox.main == 1)
    node.kill(pid)
    with pytest.raises(gen.ProcessTerminated) as caught:
        await call
    assert caught.value.target == "gate"
    assert isinstance(caught.value.reason, gen.TerminateKill)


async def test_a_callee_that_ends_after_it_put_off_the_answer_gives_its_reason_at_once(node: homing.Node) -> None:
    later: list[Any] = []
    pid = await node.spawn(Server, later)
    call = asyncio.create_task(node.call(pid, "later", timeout=3600))
    await eventually(lambda: later)
    node.send_exit(pid, gen.TerminateShutdown)
    with pytest.raises(gen.ProcessTerminated, match="Shutdown"):
        await call


async def test_an_answer_that_was_given_before_the_callee_ended_counts(node: homing.Node) -> None:
    class Last(act.Actor):
        def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            self.send_response(sender, ref, "last words")
            raise gen.TerminateNormal

    assert await node.call(await node.spawn(Last), "x") == "last words"


async def test_every_caller_of_a_process_that_ends_is_told(node: homing.Node) -> None:
    pid = await node.spawn(Server)
    calls = [asyncio.create_task(node.call(pid, "later")) for _ in range(50)]
    await eventually(lambda: node.info().open_calls == 50)
    node.kill(pid)
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} == {gen.ProcessTerminated}
    assert node.info().open_calls == 0


async def test_an_unhandled_call_is_an_error_at_once(node: homing.Node) -> None:
    pid = await node.spawn(act.Actor)
    with pytest.raises(gen.NotAllowed, match=r"Actor has no handle_call .*type dict"):
        await node.call(pid, {}, timeout=3600)
    assert pid in node.processes()


async def test_an_unhandled_call_to_a_meta_process_is_an_error_at_once(node: homing.Node) -> None:
    class Silent(gen.MetaBehavior):
        async def start(self) -> None:
            await asyncio.Event().wait()

    alias = await node.call(await node.spawn(Doer), lambda actor: actor.spawn_meta(Silent()))
    with pytest.raises(gen.NotAllowed, match=r"Silent has no handle_call .*type dict"):
        await node.call(alias, {}, timeout=3600)
    assert node.info().metas == 1


# --- callers ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pid", "name", "alias"])
@pytest.mark.parametrize("what", ["call", "inspect"])
async def test_a_call_to_itself_is_an_error_whatever_address_is_used(
    node: homing.Node, probe: Probe, kind: str, what: str
) -> None:
    async def call(actor: act.Actor) -> None:
        if actor.name is None:
            actor.register_name("me")
        to: Any = {"pid": actor.pid, "name": "me", "alias": actor.create_alias()}[kind]
        with pytest.raises(gen.CallToSelf, match="itself"):
            await (actor.call(to, "x") if what == "call" else actor.inspect(to))

    await probe.do(call)


async def test_two_processes_that_call_each_other_time_out_and_live(node: homing.Node) -> None:
    first, second = await node.spawn(Doer), await node.spawn(Doer)

    async def call_back(actor: Doer) -> str:
        with pytest.raises(gen.CallTimeout):
            await actor.call(first, lambda other: None, timeout=0.01)
        return "timed out"

    assert await node.call(first, lambda actor: actor.call(second, call_back)) == "timed out"


async def test_two_calls_at_once_get_each_its_own_answer(node: homing.Node) -> None:
    servers = [await node.spawn(AsyncServer) for _ in range(2)]

    async def both(actor: Doer) -> list[Any]:
        return await asyncio.gather(*(actor.call(pid, pid) for pid in servers))

    answers = await node.call(await node.spawn(Doer), both)
    assert [answer[2] for answer in answers] == servers


async def test_a_caller_that_gives_up_leaves_no_open_call(node: homing.Node) -> None:
    pid = await node.spawn(Doer)
    call = asyncio.create_task(node.call(pid, hang))
    await eventually(lambda: node.info().open_calls == 1)
    call.cancel()
    await asyncio.wait((call,))
    assert node.info().open_calls == 0
    node.kill(pid)


async def test_a_call_of_high_priority_overtakes(node: homing.Node) -> None:
    gate, kept = asyncio.Event(), []
    pid = await node.spawn(Doer)
    node.send(pid, lambda actor: gate.wait())
    await eventually(lambda: node.process_info(pid).mailbox.main == 0)
    calls = [
        asyncio.create_task(node.call(pid, lambda actor, each=each: kept.append(each), priority=each))
        for each in (gen.MessagePriority.NORMAL, gen.MessagePriority.HIGH, gen.MessagePriority.MAX)
    ]
    await eventually(lambda: node.process_info(pid).messages_in == 4)
    gate.set()
    await asyncio.gather(*calls)
    assert [each.name for each in kept] == ["MAX", "HIGH", "NORMAL"]


@pytest.mark.parametrize("timeout", [0, -1, None, "5", float("inf")])
async def test_a_timeout_that_cannot_work_is_refused_before_anything_is_sent(node: homing.Node, timeout: Any) -> None:
    pid = await node.spawn(Server)
    with pytest.raises(gen.BadOption, match="timeout"):
        await node.call(pid, "x", timeout=timeout)
    assert node.process_info(pid).messages_in == 0


async def test_a_call_to_a_process_that_has_ended_says_so(node: homing.Node) -> None:
    pid = await node.spawn(Server)
    node.kill(pid)
    with pytest.raises(gen.ProcessTerminated) as caught:
        await node.call(pid, "x")
    assert caught.value.reason is None


async def test_a_process_that_does_not_catch_the_error_of_a_call_ends_with_it(node: homing.Node) -> None:
    reasons: list[Exception] = []
    caller, callee = await node.spawn(Doer, reasons), await node.spawn(Server)
    node.send(caller, lambda actor: actor.call(callee, "later", timeout=0.001))
    await eventually(lambda: node.processes() == [callee])
    assert [type(reason) for reason in reasons] == [gen.CallTimeout]


async def test_a_call_is_counted_with_the_messages(node: homing.Node) -> None:
    caller, callee = await node.spawn(Doer), await node.spawn(Server)
    await node.call(caller, lambda actor: actor.call(callee, "x"))
    assert node.process_info(caller).messages_out == 1
    assert node.process_info(callee).messages_in == 1


async def test_calls_time_out_in_the_order_of_their_deadlines(node: homing.Node) -> None:
    pid = await node.spawn(Server)
    over: list[float] = []

    async def call(seconds: float) -> None:
        with pytest.raises(gen.CallTimeout):
            await node.call(pid, "later", timeout=seconds)
        over.append(seconds)

    await asyncio.gather(*map(call, (0.03, 0.01, 0.02)))
    assert over == [0.01, 0.02, 0.03]


async def test_a_call_that_was_waited_for_keeps_nothing_alive(node: homing.Node) -> None:
    pid = await node.spawn(AsyncServer)
    answer = weakref.ref(await node.call(pid, Gate))
    gc.collect()
    assert answer() is None
