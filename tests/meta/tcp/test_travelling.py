"""Frames that are sent on to another node of a cluster: they are answered there, and their connections closed."""

from __future__ import annotations

from typing import Any

import pytest

import homing
from homing import act, gen, meta
from homing.cluster.fitting import Unreadable
from homing.cluster.memory_engine import MemoryNetwork
from homing.cluster.types import Types
from homing.meta.tcp import closing
from homing.meta.tcp.messages import CloseConnection

from ...support import eventually
from .players import HOST, LINES, Stream

HERE, THERE = gen.Alias("a@localhost", 1, 1), gen.ProcessID("answering", "two@localhost")


class Front(act.Actor):
    """Has the server, whose frames go to a process of another node."""

    async def init(self) -> None:
        self.server = await meta.listen_tcp(self, host=HOST, frame=LINES)

    def handle_message(self, sender: Any, message: Any) -> None:
        self.send(THERE, message)

    def handle_call(self, sender: Any, ref: Any, request: Any) -> Any:
        return self.server


class Answering(act.Actor):
    """Answers frames of a server of another node, closes their connection for `bye`, and keeps the other messages."""

    def init(self, told: list[Any]) -> None:
        self.told = told

    async def handle_message(self, sender: Any, message: Any) -> None:
        self.told.append(message)
        if not isinstance(message, meta.MessageTCP):
            return
        if message.data == b"call":
            self.told.append(await self.call(message.id, message.reply(b"called")))
        else:
            self.reply(message, b"OK: " + message.data)
        if message.data == b"bye":
            message.close()
        if message.data == b"late":
            message.close()
            try:
                await self.call(message.id, message.reply(b"too late"))
            except gen.HomingError as error:
                self.told.append(error)


async def test_a_process_of_another_node_answers_frames_and_closes_their_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, told = MemoryNetwork(), []  # type: ignore[var-annotated]
    one, two = await homing.start_node("one@localhost"), await homing.start_node("two@localhost")
    try:
        joined = [
            await homing.cluster.join(node, gen.ClusterOptions(name="test"), engine=network.engine())
            for node in (one, two)
        ]
        await eventually(lambda: all(len(cluster.links) == 1 for cluster in joined))
        await two.spawn(Answering, told, name="answering")
        server = await one.call(await one.spawn(Front), "server")
        monkeypatch.setattr(closing, "_hubs", {})  # as in another OS process, which has no such server
        async with await Stream.to(server.local_address) as peer:
            assert await peer.ask(b"hello") == b"OK: hello"
            assert await peer.ask(b"call") == b"called"
            peer.send(b"bye\n")
            assert await peer.rest() == b"OK: bye\n"
        async with await Stream.to(server.local_address) as other:
            other.send(b"late\n")
            assert await other.rest() == b"OK: late\n"
        await eventually(lambda: sum(isinstance(message, meta.MessageTCPDisconnect) for message in told) == 2)
        await eventually(lambda: any(isinstance(message, gen.RemoteError) for message in told))
    finally:
        await two.stop()
        await one.stop()
    connect, first = told[:2]
    assert isinstance(connect, meta.MessageTCPConnect)
    assert (first.id, first.addr, first.connection) == (server.alias, connect.addr, 1)
    assert first.info.local == server.local_address
    assert len(b"called\n") in told
    (end, _) = [message for message in told if isinstance(message, meta.MessageTCPDisconnect)]
    assert isinstance(end.reason, meta.ClosedHere)
    (error,) = [message for message in told if isinstance(message, gen.RemoteError)]
    assert error.type_name.endswith("ConnectionEnded")
    assert server.statistics().dropped_closed == 1


def there_and_back(message: Any) -> Any:
    types = Types()
    number, body = types.prepare(message)
    reader = types.reader(types.table())[number]
    assert reader is not None
    return reader(body)


INFO = meta.ConnectionInfo((HOST, 53), "TLSv1.3", "AES", "dot", {"subject": ((("commonName", "a"),),)})


@pytest.mark.parametrize(
    "reason",
    [
        *(meta.ClosedByPeer(3), meta.ClosedHere(), meta.ConnectionReset(OSError(104, "reset")), meta.ConnectionIdle()),
        *(meta.CutFrameTooLong(meta.FrameTooLong(10)), meta.ServerEnded(gen.TerminateShutdown())),
    ],
    ids=lambda reason: type(reason).__name__,
)
def test_the_reason_of_an_end_comes_out_as_the_same_class_with_the_same_text(reason: Any) -> None:
    message = meta.MessageTCPDisconnect(HERE, (HOST, 1), 7, reason, INFO)
    found = there_and_back(message)
    assert type(found.reason) is type(reason)
    assert str(reason).rpartition(": ")[2] in str(found.reason)
    assert getattr(found.reason, "unfinished", 0) == getattr(reason, "unfinished", 0)
    assert found.info.common_name == "a"
    assert found.info.tls == "TLSv1.3"


def test_an_answer_is_one_also_after_its_way_through_another_node() -> None:
    message = meta.MessageTCP(HERE, (HOST, 1), b"data", 7)
    found, answer = there_and_back(message), there_and_back(message.reply(b"more"))
    assert (found.id, found.addr, found.data, found.connection, found.is_answer) == (HERE, (HOST, 1), b"data", 7, False)
    assert (answer.data, answer.is_answer) == (b"more", True)
    assert there_and_back(CloseConnection(7)).connection == 7


def test_a_frame_of_data_that_cannot_travel_is_refused_with_the_reason() -> None:
    with pytest.raises(gen.NotTransferable, match="object"):
        Types().prepare(meta.MessageTCP(HERE, (HOST, 1), object(), 7))


@pytest.mark.parametrize(
    "parts", [(), (1, 2), (None, None, "x", None, b"", True), (None, None, 1, (1, 2, 3, 4, 5), b"", True)], ids=str
)
def test_parts_that_are_no_frame_are_refused(parts: tuple[Any, ...]) -> None:
    types = Types()
    number, _ = types.prepare(meta.MessageTCP(HERE, (HOST, 1), b"", 7))
    _, body = types.prepare(parts)
    reader = types.reader(types.table())[number]
    assert reader is not None
    with pytest.raises(Unreadable):
        reader(body)
