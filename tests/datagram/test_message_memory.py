"""The memory of messages that have ended is used again, of which nobody may notice anything."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import pytest

from homing import gen, meta
from homing.datagram import MessageUDP

pytestmark = pytest.mark.once

SERVER = gen.Alias("node@localhost", 1, 2)
MANY = 200


def messages(count: int = MANY, **fields: Any) -> list[MessageUDP]:
    return [MessageUDP(SERVER, ("127.0.0.1", number), b"x", **fields) for number in range(count)]


def test_a_new_message_has_nothing_of_an_earlier_one() -> None:
    earlier = messages(truncated=True)
    for message in earlier:
        message.info = meta.PacketInfo(tos=4)
    del earlier, message
    for message in messages():
        assert (message.truncated, message.info, message._lease) == (False, None, None)


def test_fields_end_with_their_message() -> None:
    class Data(bytes):
        pass

    data = Data(b"data")
    ended = weakref.ref(data) if hasattr(Data, "__weakref__") else None
    before = sys.getrefcount(SERVER)
    held = [MessageUDP(SERVER, ("127.0.0.1", 1), data) for _ in range(MANY)]
    assert sys.getrefcount(SERVER) == before + MANY
    held.clear()
    assert sys.getrefcount(SERVER) == before
    assert sys.getrefcount(data) == 2
    del data
    assert ended is None or ended() is None


def test_messages_in_a_cycle_are_collected_and_their_memory_used_again() -> None:
    before = sys.getrefcount(SERVER)
    for _ in range(3):
        for message in messages():
            message.addr = (message, 0)
        del message
        gc.collect()
        assert sys.getrefcount(SERVER) == before
    assert all(gc.is_tracked(message) for message in messages())


def test_a_subclass_has_memory_of_its_own() -> None:
    class Noted(MessageUDP):
        note = ""

    for number in range(MANY):
        noted = Noted(SERVER, ("127.0.0.1", number), b"x")
        noted.note = str(number)
        plain = MessageUDP(SERVER, ("127.0.0.1", number), b"y")
        assert noted.note == str(number)
        assert type(plain) is MessageUDP
        assert type(noted) is Noted


def test_many_messages_more_than_are_kept_are_each_their_own() -> None:
    for _ in range(3):
        held = messages(1000)
        assert len({id(message) for message in held}) == 1000
        assert [message.addr[1] for message in held] == list(range(1000))
