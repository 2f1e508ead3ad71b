"""The unit kit: what a test can do to one behavior, and what it sees of it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from homing import act, gen, meta
from homing.testing import Stuck, Unexpected, unit

PEER = ("192.0.2.1", 4000)


class Echo(act.Actor):
    async def init(self, port: int = 2345) -> None:
        self.server = await meta.listen_udp(self, host="127.0.0.1", port=port)

    def handle_message(self, sender: Any, message: Any) -> None:
        self.reply(message, b"OK: " + message.data)


class Doer(act.Actor):
    """Does what its messages and requests say: each is a function of the actor, and of the reference of a request."""

    async def handle_message(self, sender: Any, message: Any) -> None:
        self.last = sender, message
        if isinstance(message, meta.MessageUDP):
            self.datagram = message
        if callable(message):
            result = message(self)
            if asyncio.iscoroutine(result):
                await result

    async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        self.asked = sender, ref
        result = request(self)
        return await result if asyncio.iscoroutine(result) else result


# --- datagrams ------------------------------------------------------------------------------------------------


def test_a_reply_to_a_datagram_is_seen_at_its_address() -> None:
    with unit(Echo) as subject:
        subject.datagram(b"a", PEER)
        subject.datagram(b"b", ("192.0.2.2", 4000))
        assert subject.sent(to=PEER) == [b"OK: a"]
        assert subject.sent(to=subject.behavior.server.alias)[1].addr == ("192.0.2.2", 4000)


def test_a_datagram_comes_from_the_server_that_the_subject_has_spawned() -> None:
    class Receiver(Echo):
        def handle_message(self, sender: Any, message: Any) -> None:
            self.seen = sender, message.id

    with unit(Receiver) as subject:
        subject.datagram(b"q", PEER)
        alias = subject.behavior.server.alias
        assert subject.behavior.seen == (alias, alias)


def test_a_behavior_without_a_server_gets_datagrams_too() -> None:
    class Worker(act.Actor):
        def handle_message(self, sender: Any, message: Any) -> None:
            self.reply(message, message.data.upper())

    with unit(Worker) as subject:
        subject.datagram(b"q", PEER)
        assert subject.sent(to=PEER) == [b"Q"]


def test_datagrams_of_one_wake_up_are_one_batch() -> None:
    class Batches(act.Actor):
        def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
            self.seen = [(each.data, each.addr) for each in batch]
            self.reply(batch[0], b"first")

    with unit(Batches) as subject:
        subject.datagrams((b"a", PEER), (b"", ("192.0.2.2", 1)))
        assert subject.behavior.seen == [(b"a", PEER), (b"", ("192.0.2.2", 1))]
        assert subject.sent(to=PEER) == [b"first"]


def test_a_batch_may_come_from_ipv6() -> None:
    class Batches(act.Actor):
        def handle_datagrams(self, batch: meta.DatagramBatch) -> None:
            self.seen = [each.addr for each in batch]

    with unit(Batches) as subject:
        subject.datagram(b"a", ("2001:db8::1", 4000, 0, 0))
        assert subject.behavior.seen == [("2001:db8::1", 4000, 0, 0)]


def test_the_packet_info_of_a_datagram_arrives() -> None:
    with unit(Doer) as subject:
        subject.datagram(b"a", PEER, info=meta.PacketInfo(ttl=7), truncated=True)
        message = subject.behavior.last[1]
        assert (message.info.ttl, message.truncated) == (7, True)


def test_a_reply_that_is_no_bytes_fails_the_test() -> None:
    with unit(Doer) as subject:
        subject.datagram(b"a", PEER)
        with pytest.raises(Unexpected, match="payload is str"):
            subject.message(lambda self: self.reply(self.datagram, "text"))


def test_a_payload_is_copied_when_it_is_sent() -> None:
    class InPlace(act.Actor):
        def handle_message(self, sender: Any, message: Any) -> None:
            self.reply(message, message.data)
            message.data[:] = b"zz"

    with unit(InPlace) as subject:
        subject.datagram(memoryview(bytearray(b"ab")), PEER)
        assert subject.sent(to=PEER) == [b"ab"]


# --- no socket ------------------------------------------------------------------------------------------------


def test_the_options_of_a_server_can_be_looked_at_and_no_socket_is_opened() -> None:
    group = meta.MulticastGroup("224.0.0.251")
    options = meta.UDPServerOptions(host="0.0.0.0", port=5353, share_address=True, groups=(group,), linger=1.0)

    class Mdns(act.Actor):
        async def init(self) -> None:
            await self.spawn_meta(meta.create_udp_server(options), gen.MetaOptions(mailbox_size=9))

    with unit(Mdns) as one, unit(Mdns) as two:
        for subject in (one, two):  # both have the port
            spawned = subject.metas[0]
            assert spawned.options is options
            assert spawned.meta_options.mailbox_size == 9
            assert spawned.behavior.local_address == ("0.0.0.0", 5353)


def test_a_server_on_port_0_and_a_server_at_a_name_have_an_address() -> None:
    class Servers(act.Actor):
        async def init(self) -> None:
            self.addresses = [
                (await meta.listen_udp(self, host=host, port=0)).local_address for host in ("127.0.0.1", "db.example")
            ]

    with unit(Servers) as subject:
        assert all(port >= 32768 for _, port in subject.behavior.addresses)


def test_a_bind_that_fails_can_be_declared() -> None:
    error = gen.BindFailed("127.0.0.1", 2345, OSError(98, "in use"), "")
    subject = unit(Echo)
    subject.on_spawn(meta.UDPServer).raises(error)
    with pytest.raises(gen.BindFailed), subject:
        pass


def test_a_udp_client_answers_with_a_datagram() -> None:
    class Asker(act.Actor):
        async def init(self) -> None:
            self.client = await meta.connect_udp(self, host="192.0.2.9", port=53)

        async def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            reply = await self.call(self.client.alias, request)
            return reply.data, reply.addr

    subject = unit(Asker)
    subject.on_call(meta.UDPClient).answer(b"reply")
    with subject:
        assert subject.call(b"question") == (b"reply", ("192.0.2.9", 53))
        assert subject.calls[0].request == b"question"


# --- messages and calls -----------------------------------------------------------------------------------------


def test_a_message_comes_from_its_sender() -> None:
    with unit(Doer) as subject:
        subject.message("a")
        assert subject.behavior.last == (subject.parent, "a")
        elsewhere = gen.PID("other@host", 7, 1)
        subject.message("b", sender=elsewhere)
        assert subject.behavior.last == (elsewhere, "b")
        subject.message(lambda self: self.send(self.last[0], "answer"), sender=elsewhere)
        assert subject.sent(to=elsewhere) == ["answer"]


def test_messages_are_seen_in_the_order_in_which_they_were_sent() -> None:
    def send(self: Any) -> None:
        for number, name in enumerate(("a", "b", "a")):
            self.send(name, number)

    with unit(Doer) as subject:
        subject.exists("a", "b")
        subject.message(send)
        assert [(sent.to, sent.message) for sent in subject.sent()] == [("a", 0), ("b", 1), ("a", 2)]
        assert subject.sent(to="a") == [0, 2]


def test_a_message_to_a_name_or_an_alias_goes_to_the_callbacks_of_split_handle() -> None:
    class Split(act.Actor):
        split_handle = True

        def init(self) -> None:
            self.seen: list[Any] = []
            self.alias = self.create_alias()

        def handle_message_name(self, name: str, sender: Any, message: Any) -> None:
            self.seen.append((name, message))

        def handle_message_alias(self, alias: gen.Alias, sender: Any, message: Any) -> None:
            self.seen.append((alias, message))

        def handle_call_name(self, name: str, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
            return name, request

    with unit(Split, name="split") as subject:
        alias = subject.behavior.alias
        subject.message(1, to="split")
        subject.message(2, to=alias)
        assert subject.behavior.seen == [("split", 1), (alias, 2)]
        assert subject.call(3, to="split") == ("split", 3)
        assert (subject.name, subject.aliases) == ("split", {alias})


def test_a_call_returns_the_answer_and_raises_the_error() -> None:
    with unit(Doer) as subject:
        assert subject.call(lambda self: 5) == 5

        def refuse(self: Any) -> Any:
            self.send_response_error(*self.asked, KeyError("no"))
            return gen.NO_REPLY

        with pytest.raises(KeyError):
            subject.call(refuse)
        assert isinstance(subject.responses[0].error, KeyError)
    with unit(Echo) as subject, pytest.raises(gen.NotAllowed, match="has no handle_call"):
        subject.call("anything")


def test_a_later_answer_is_among_the_responses() -> None:
    with unit(Doer) as subject:
        assert subject.call(lambda self: gen.NO_REPLY) is gen.NO_REPLY
        subject.message(lambda self: self.send_response(*self.asked, 7))
        assert [each.answer for each in subject.responses] == [7]
        assert subject.responses[0].ref == subject.behavior.asked[1]


def test_a_call_is_answered_as_the_test_declares() -> None:
    def ask(self: Any) -> Any:
        return self.call("store", "get")

    with unit(Doer) as subject:
        store = subject.on_call("store")
        store.answer(1)
        assert [subject.call(ask), subject.call(ask)] == [1, 1]
        store.sequence(2, KeyError("no"))
        assert subject.call(ask) == 2
        with pytest.raises(KeyError):
            subject.call(ask)
        assert isinstance(subject.exited, KeyError)
        assert [(each.to, each.request) for each in subject.calls] == [("store", "get")] * 4


def test_a_function_may_answer_calls() -> None:
    async def slow(request: int) -> int:
        await asyncio.sleep(2)
        return request + 1

    with unit(Doer) as subject:
        subject.on_call("a").by(lambda request: request * 2)
        subject.on_call("b").by(slow)
        assert subject.call(lambda self: self.call("a", 4)) == 8
        assert subject.call(lambda self: self.call("b", 4)) == 5
        assert subject.now == 2


def test_an_assertion_in_a_function_that_answers_fails_the_test() -> None:
    def check(request: Any) -> Any:
        assert request == "get"

    async def swallow(self: Any) -> None:
        try:
            await self.call("store", "put")
        except Exception:
            pass

    with unit(Doer) as subject:
        subject.on_call("store").by(check)
        with pytest.raises(AssertionError):
            subject.call(swallow)


def test_a_call_without_an_answer_times_out_in_virtual_time() -> None:
    with unit(Doer) as subject:
        subject.on_call("store").never()
        with pytest.raises(gen.CallTimeout):
            subject.call(lambda self: self.call("store", "get", timeout=30), timeout=60)
        assert subject.now == 30


def test_an_inspection_is_answered_in_both_directions() -> None:
    class Inspected(Doer):
        def handle_inspect(self, sender: Any, *items: str) -> Any:
            return {"items": items}

    with unit(Inspected) as subject:
        assert subject.inspect("a") == {"items": ("a",)}
        subject.on_inspect("store").answer({"size": 3})
        assert subject.call(lambda self: self.inspect("store", "size")) == {"size": 3}


# --- what is unexpected -------------------------------------------------------------------------------------------


async def caught(pending: Any) -> None:
    try:
        await pending
    except Exception:
        pass


UNEXPECTED = {
    "send": lambda self: self.send("store", 1),
    "send_name": lambda self: self.send_name("store", 1),
    "send_pid": lambda self: self.send_pid(gen.PID("store@host", 1, 1), 1),
    "send_with_priority": lambda self: self.send_with_priority("store", 1, gen.MessagePriority.MAX),
    "send_after": lambda self: self.send_after("store", 1, 5.0),
    "send_every": lambda self: self.send_every(to="store", message=1, seconds=5.0),
    "forward": lambda self: self.forward("store", 1, sender=self.last[0]),
    "call": lambda self: self.call("store", "get"),
    "inspect": lambda self: self.inspect("store"),
    "monitor": lambda self: self.monitor("store"),
    "link_name": lambda self: self.link_name("store"),
    "monitor_event": lambda self: self.monitor_event(gen.Event("store", self.node)),
}


@pytest.mark.parametrize("method", UNEXPECTED)
def test_the_use_of_an_undeclared_address_fails_the_test_and_is_named(method: str) -> None:
    with unit(Doer) as subject, pytest.raises(Unexpected, match=r"self\.\w+\(.*store.*"):
        subject.message(UNEXPECTED[method])


@pytest.mark.parametrize("method", UNEXPECTED)
def test_a_behavior_that_catches_everything_does_not_hide_it(method: str) -> None:
    async def swallow(self: Any) -> None:
        try:
            result = UNEXPECTED[method](self)
            if asyncio.iscoroutine(result):
                await result
        except Exception:
            pass

    with unit(Doer) as subject:
        with pytest.raises(Unexpected, match="store"):
            subject.message(swallow)
        assert subject.exited is None


def test_a_call_without_a_declared_outcome_fails_the_test() -> None:
    with unit(Doer) as subject:
        subject.exists("store")
        with pytest.raises(Unexpected, match="unexpected call of 'store': 'get'"):
            subject.message(lambda self: caught(self.call("store", "get")))
        subject.on_call("store")
        with pytest.raises(Unexpected, match=r"on_call\('store'\) has no outcome for 'get'"):
            subject.message(lambda self: caught(self.call("store", "get")))
        subject.on_call("store").sequence(1)
        with pytest.raises(Unexpected, match="1 outcomes"):
            subject.message(lambda self: caught(asyncio.gather(self.call("store", 1), self.call("store", 2))))


def test_an_unexpected_spawn_fails_the_test_and_is_named() -> None:
    with unit(Doer) as subject, pytest.raises(Unexpected, match="unexpected spawn of Echo"):
        subject.message(lambda self: caught(self.spawn(Echo, 5)))


def test_a_declared_absence_is_the_error_of_a_node() -> None:
    def send(self: Any) -> str:
        try:
            self.send("metrics", 1)
        except gen.NameUnknown:
            return "nobody"
        return "sent"

    with unit(Doer) as subject:
        subject.absent("metrics")
        assert subject.call(send) == "nobody"
        subject.exists("metrics")
        assert subject.call(send) == "sent"


def test_addresses_of_other_nodes_can_be_declared() -> None:
    remote = gen.ProcessID("store", "other@host")
    with unit(Doer) as subject:
        subject.on_call(remote).answer(3)
        assert subject.call(lambda self: self.call(remote, "get")) == 3


# --- spawns, links, monitors, events ----------------------------------------------------------------------------------


def test_a_spawned_process_is_a_stand_in_of_its_class() -> None:
    def spawn(self: Any) -> Any:
        return self.spawn(Echo, 7, name="echo", options=gen.ProcessOptions(mailbox_size=5))

    with unit(Doer) as subject:
        subject.on_spawn(Echo)
        subject.on_call(Echo).answer("fine")
        pid = subject.call(spawn)
        spawned = subject.spawned[0]
        assert (spawned.pid, spawned.behavior, spawned.args, spawned.name) == (pid, Echo, (7,), "echo")
        assert spawned.options is not None
        assert spawned.options.mailbox_size == 5
        assert subject.call(lambda self: self.call("echo", "how are you")) == "fine"
        subject.message(lambda self: self.send(pid, "hello"))
        assert subject.sent(to=pid) == subject.sent(to="echo") == ["hello"]
        with pytest.raises(gen.NameTaken):
            subject.message(spawn)


def test_a_spawn_may_fail_and_may_return_a_pid_of_the_test() -> None:
    with unit(Doer) as subject:
        given = subject.stand_in()
        subject.on_spawn(Echo).sequence(given, OSError("no"))
        assert subject.call(lambda self: self.spawn(Echo)) == given
        with pytest.raises(OSError, match="no"):
            subject.call(lambda self: self.spawn(Echo))


def test_the_end_of_a_monitored_process_is_told() -> None:
    with unit(Doer) as subject:
        subject.exists("store")
        subject.message(lambda self: self.monitor("store"))
        assert subject.monitors == {"store"}
        subject.down("store", ValueError("gone"))
        message = subject.behavior.last[1]
        assert isinstance(message, gen.MessageDownName)
        assert str(message.reason) == "gone"
        with pytest.raises(gen.NameUnknown):
            subject.message(lambda self: self.send("store", 1))


def test_the_end_of_a_linked_process_ends_the_subject() -> None:
    with unit(Doer) as subject:
        pid = subject.stand_in()
        subject.message(lambda self: self.link(pid))
        assert subject.links == {pid}
        reason = ValueError("gone")
        subject.down(pid, reason)
        assert subject.exited is reason


def test_all_processes_of_a_class_can_end() -> None:
    async def two(self: Any) -> None:
        for _ in range(2):
            self.monitor(await self.spawn(Echo))

    class Counter(Doer):
        downs = 0

        async def handle_message(self, sender: Any, message: Any) -> None:
            self.downs += isinstance(message, gen.MessageDownPID)
            await super().handle_message(sender, message)

    with unit(Counter) as subject:
        subject.on_spawn(Echo)
        subject.message(two)
        subject.down(Echo, gen.TerminateKill)
        assert subject.behavior.downs == 2


def test_a_trapped_exit_signal_is_a_message_and_the_parents_is_none() -> None:
    class Trapping(Doer):
        trap_exit = True

    with unit(Trapping) as subject:
        other = subject.stand_in()
        subject.exit(ValueError("trapped"), sender=other)
        assert subject.behavior.last[1].pid == other
        assert subject.exited is None
        subject.exit(gen.TerminateShutdown)
        assert isinstance(subject.exited, gen.TerminateShutdown)


def test_an_exit_signal_that_the_subject_sends_ends_a_stand_in() -> None:
    with unit(Doer) as subject:
        subject.on_spawn(Echo)
        pid = subject.call(lambda self: self.spawn(Echo))
        subject.message(lambda self: self.monitor(pid))
        subject.message(lambda self: self.send_exit(pid, gen.TerminateShutdown))
        assert isinstance(subject.sent(to=pid)[0], gen.MessageExitPID)
        assert isinstance(subject.behavior.last[1], gen.MessageDownPID)


def test_a_meta_process_can_end() -> None:
    class Watching(Echo):
        async def init(self, port: int = 1) -> None:
            await super().init(port)
            self.monitor(self.server.alias)

        def handle_message(self, sender: Any, message: Any) -> None:
            self.last = message

    with unit(Watching) as subject:
        subject.down(subject.metas[0].alias, OSError("socket lost"))
        assert isinstance(subject.behavior.last, gen.MessageDownAlias)


def test_an_event_arrives_if_the_subject_has_subscribed() -> None:
    class Subscriber(act.Actor):
        def init(self) -> None:
            self.seen: list[Any] = []
            self.monitor_event(gen.Event("prices", self.node))

        def handle_event(self, event: gen.MessageEvent) -> None:
            self.seen.append(event.message)

    subject = unit(Subscriber)
    subject.exists(gen.Event("prices", "unit@localhost"))
    with subject:
        subject.event("prices", 5)
        assert subject.behavior.seen == [5]


def test_publications_of_the_subject_are_recorded() -> None:
    class Publisher(act.Actor):
        def init(self) -> None:
            self.send_event("prices", self.register_event("prices"), 5)

    with unit(Publisher) as subject:
        assert [(each.name, each.message) for each in subject.published] == [("prices", 5)]
        assert subject.events == {gen.Event("prices", "unit@localhost")}


# --- time -----------------------------------------------------------------------------------------------------------


class Ticker(act.Actor):
    def init(self) -> None:
        self.seen: list[Any] = []
        self.cancel = self.send_every(self.pid, "tick", 1.0)
        self.send_after(self.pid, "once", 2.5)
        self.send_after(self.parent, "report", 2.0)

    def handle_message(self, sender: Any, message: Any) -> None:
        self.seen.append(message)
        if message == "stop":
            self.cancel()


def test_timers_fire_in_order_and_not_before_their_time() -> None:
    with unit(Ticker) as subject:
        assert subject.behavior.seen == []
        subject.fire_timers(0.999)
        assert subject.behavior.seen == []
        subject.fire_timers(2.001)
        assert subject.behavior.seen == ["tick", "tick", "once", "tick"]
        assert subject.sent(to=subject.parent) == ["report"]
        assert subject.now == 3


def test_a_cancelled_timer_does_not_fire() -> None:
    with unit(Ticker) as subject:
        subject.fire_timers(1)
        subject.message("stop")
        subject.fire_timers(1.4)
        assert subject.behavior.seen == ["tick", "stop"]


def test_many_small_steps_are_as_one() -> None:
    with unit(Ticker) as subject:
        for _ in range(100):
            subject.fire_timers(0.1)
        assert subject.behavior.seen.count("tick") == 10


def test_an_asynchronous_callback_is_driven_to_its_end() -> None:
    async def slow(self: Any) -> float:
        await asyncio.sleep(30)
        return asyncio.get_running_loop().time()

    with unit(Doer) as subject:
        assert subject.call(slow, timeout=60) == 30
        with pytest.raises(gen.CallTimeout):
            subject.call(slow)


def test_a_thread_has_its_time() -> None:
    with unit(Doer) as subject:
        assert subject.call(lambda self: asyncio.wait_for(asyncio.to_thread(time.sleep, 0.05), 1.0)) is None


def test_a_callback_that_waits_for_ever_fails_the_test_and_is_named() -> None:
    async def wait(self: Any) -> None:
        await asyncio.Event().wait()  # for ever

    with unit(Doer) as subject:
        with pytest.raises(Stuck, match=r"Doer: handle_message waits at .*test_unit.py:\d+ in wait: .*for ever"):
            subject.message(wait)
        assert subject.exited is None
    assert isinstance(subject.exited, gen.TerminateKill)


def test_a_callback_that_waits_for_ever_is_found_beside_a_timer_that_always_ticks() -> None:
    class Stuckling(Doer):
        def init(self) -> None:
            self.send_every(self.parent, "tick", 1.0)

    with unit(Stuckling) as subject, pytest.raises(Stuck, match="handle_message waits at"):
        subject.message(lambda self: asyncio.Event().wait())


def test_an_init_that_waits_for_ever_is_named() -> None:
    class Never(act.Actor):
        async def init(self) -> None:
            await asyncio.Event().wait()

    with pytest.raises(gen.InitTimeout) as raised, unit(Never):
        pass
    assert "init waits at" in raised.value.__notes__[0]


def test_messages_without_end_fail_the_test() -> None:
    class Loop(act.Actor):
        def handle_message(self, sender: Any, message: Any) -> None:
            self.send(self.pid, message)

    with unit(Loop) as subject, pytest.raises(Stuck, match="does not come to rest"):
        subject.message(1)


# --- the end --------------------------------------------------------------------------------------------------------


class Ending(Doer):
    def init(self, fails: bool = False) -> None:
        self.reasons: list[Exception] = []
        self.fails = fails

    async def terminate(self, reason: Exception) -> None:
        await asyncio.sleep(1)
        self.reasons.append(reason)
        if self.fails:
            raise RuntimeError("terminate")


def test_terminate_runs_at_the_end_of_the_block() -> None:
    with unit(Ending) as subject:
        assert subject.exited is None
    assert isinstance(subject.exited, gen.TerminateShutdown)
    assert subject.behavior.reasons == [subject.exited]


def test_terminate_runs_once_if_the_subject_stops_itself() -> None:
    def stop(self: Any) -> None:
        raise gen.TerminateNormal

    with unit(Ending) as subject:
        subject.message(stop)
        assert isinstance(subject.exited, gen.TerminateNormal)
        with pytest.raises(gen.ProcessTerminated):
            subject.message("more")
    assert len(subject.behavior.reasons) == 1


def test_a_crash_is_raised_in_the_test_with_its_traceback() -> None:
    def crash(self: Any) -> None:
        raise ValueError("boom")

    with unit(Ending) as subject:
        with pytest.raises(ValueError, match="boom") as raised:
            subject.message(crash)
        assert subject.exited is raised.value
        assert raised.traceback[-1].name == "crash"
        assert subject.behavior.reasons == [raised.value]


def test_a_crash_of_the_answer_is_raised_rather_than_the_error_of_the_caller() -> None:
    def crash(self: Any) -> None:
        raise ValueError("boom")

    with unit(Doer) as subject, pytest.raises(ValueError, match="boom"):
        subject.call(crash)


def test_a_crash_in_a_timer_is_raised_where_time_advances() -> None:
    def crash(self: Any) -> None:
        raise ValueError("boom")

    with unit(Doer) as subject:
        subject.message(lambda self: self.send_after(self.pid, crash, 5.0) and None)
        with pytest.raises(ValueError, match="boom"):
            subject.fire_timers(5)


def test_an_exception_of_terminate_is_raised_at_the_end() -> None:
    with pytest.raises(RuntimeError, match="terminate"), unit(Ending, True):
        pass


def test_an_exception_of_the_block_is_not_hidden_by_that_of_terminate() -> None:
    with pytest.raises(KeyError), unit(Ending, True):
        raise KeyError


def test_an_exception_of_init_is_raised_and_terminate_does_not_run() -> None:
    class Failing(Ending):
        def init(self, fails: bool = False) -> None:
            raise LookupError("init")

    with pytest.raises(LookupError, match="init"), unit(Failing):
        pytest.fail("the block ran")


def test_a_system_exit_is_raised_in_the_test() -> None:
    def leave(self: Any) -> None:
        raise SystemExit(3)

    with unit(Doer) as subject:
        with pytest.raises(SystemExit):
            subject.message(leave)
        assert isinstance(subject.exited, gen.TerminatePanic)


def test_the_log_of_the_subject_is_kept() -> None:
    before = logging.getLogger("homing").level
    with unit(Doer) as subject:
        subject.message(lambda self: self.log.debug("seen %d", 5))
        assert [record.getMessage() for record in subject.log] == ["seen 5"]
    assert logging.getLogger("homing").level == before


# --- around it --------------------------------------------------------------------------------------------------------


def test_the_kit_works_in_a_test_that_is_a_coroutine() -> None:
    async def main() -> None:
        task = asyncio.current_task()
        with unit(Doer) as subject:
            await asyncio.sleep(0)
            assert subject.call(lambda self: asyncio.sleep(20, 5), timeout=30) == 5
            assert asyncio.current_task() is task
        await asyncio.sleep(0.001)

    asyncio.run(main())


def test_the_class_of_the_subject_is_one_of_the_users() -> None:
    with unit(Echo, 9) as subject:
        assert isinstance(subject.behavior, Echo)
        assert type(subject.behavior).__name__ == "Echo"


def test_a_method_that_the_user_overrides_runs() -> None:
    class Counting(Doer):
        sends = 0

        def send(self, to: Any, message: Any) -> None:  # type: ignore[override]
            self.sends += 1
            super().send(to, message)

    with unit(Counting) as subject:
        subject.message(lambda self: self.send(self.parent, 1))
        assert subject.behavior.sends == 1
        assert subject.sent(to=subject.parent) == [1]


def test_the_environment_and_the_options_are_those_of_a_node() -> None:
    with unit(Doer, name="doer", options=gen.ProcessOptions(env={"a": 1}), node="demo@host") as subject:
        behavior = subject.behavior
        assert (behavior.env["a"], behavior.node, behavior.name) == (1, "demo@host", "doer")


BAD: dict[str, Any] = {
    "behavior": lambda: unit(object),  # type: ignore[type-var]
    "name": lambda: unit(Doer, name=""),
    "options": lambda: unit(Doer, options=5),  # type: ignore[arg-type]
    "thread": lambda: unit(Doer, options=gen.ProcessOptions(thread=True)),
    "target": lambda: unit(Doer).on_call(int),  # type: ignore[arg-type]
    "address": lambda: unit(Doer).exists(5),  # type: ignore[arg-type]
    "error": lambda: unit(Doer).on_call("store").raises("no"),  # type: ignore[arg-type]
    "function": lambda: unit(Doer).on_call("store").by(5),  # type: ignore[arg-type]
    "outcomes": lambda: unit(Doer).on_call("store").sequence(),
}


@pytest.mark.parametrize("option", BAD)
def test_a_bad_option_is_named(option: str) -> None:
    with pytest.raises(gen.BadOption) as raised:
        BAD[option]()
    assert raised.value.option == option


BAD_WITHIN: dict[str, Any] = {
    "data": lambda subject: subject.datagram("text", PEER),
    "addr": lambda subject: subject.datagram(b"", ("192.0.2.1", -1)),
    "server": lambda subject: subject.datagram(b"", PEER, server=gen.Alias("x@y", 1, 1)),
    "sender": lambda subject: subject.message(1, sender=5),
    "to": lambda subject: subject.sent(to="stroe"),
    "seconds": lambda subject: subject.fire_timers(-1),
    "reason": lambda subject: subject.exit("bye"),
    "event": lambda subject: subject.event("undeclared", 1),
}


@pytest.mark.parametrize("option", BAD_WITHIN)
def test_a_bad_argument_is_named(option: str) -> None:
    with unit(Doer) as subject, pytest.raises((gen.BadOption, gen.BadAddress)) as raised:
        BAD_WITHIN[option](subject)
    assert getattr(raised.value, "option", "addr") == option


@pytest.mark.parametrize("behavior", [act.Pool, act.Supervisor, act.Router])
def test_a_pool_a_supervisor_and_a_router_are_tested_in_a_node(behavior: Any) -> None:
    with pytest.raises(gen.BadOption, match="test it in a node"):
        unit(behavior)


def test_a_unit_is_used_in_a_block_and_once() -> None:
    subject = unit(Doer)
    with pytest.raises(gen.NotAllowed, match="with unit"):
        subject.message(1)
    with subject:
        pass
    with pytest.raises(gen.NotAllowed, match="block"):
        subject.message(1)
    with pytest.raises(gen.NotAllowed, match="make another"), subject:
        pass


def test_a_callback_cannot_drive_its_own_subject() -> None:
    with unit(Doer) as subject, pytest.raises(gen.NotAllowed, match="only the test"):
        subject.message(lambda self: subject.message(1))


def test_callbacks_that_run_side_by_side_are_all_driven_to_their_end() -> None:
    class Slow(act.Actor):
        def init(self) -> None:
            self.seen: list[int] = []

        async def handle_message(self, sender: Any, message: Any) -> None:
            await asyncio.sleep(message.data[0])
            self.seen.append(message.data[0])

    with unit(Slow, options=gen.ProcessOptions(concurrency=3)) as subject:
        subject.datagrams((b"\x03", PEER), (b"\x01", PEER), (b"\x02", PEER))
        assert subject.behavior.seen == [1, 2, 3]
        assert subject.now == 3
