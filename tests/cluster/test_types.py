"""Message types: which classes may travel, what comes out of them, and how versions of them meet."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import math
import re
import uuid
from collections import namedtuple
from collections.abc import Callable, Iterator
from dataclasses import InitVar, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homing import cluster, gen, meta
from homing.cluster.fitting import Unreadable
from homing.cluster.types import Types
from homing.gen.cluster import MESSAGES

from ..hostile import Hostile, HostileText
from .messages import (
    ENCODER,
    KINDS,
    READERS,
    TYPES,
    All,
    Color,
    Frozen,
    Level,
    Order,
    Place,
    Reading,
    crossed,
    encoded,
)


@pytest.fixture
def marks() -> Iterator[None]:
    """Forgets what a test marks."""
    before = dict(MESSAGES)
    yield
    MESSAGES.clear()
    MESSAGES.update(before)


def renamed(name: str, base: type) -> Any:
    """Returns a class of that name with the annotations of `base`: another version of a message."""
    base.__name__ = base.__qualname__ = name
    return base


MADE: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(st.characters(exclude_categories=("Cs",))),
    int: st.integers(-(2**63), 2**64 - 1),
    float: st.floats(allow_nan=False),
}
for _kind, _strategy in MADE.items():
    st.register_type_strategy(_kind, _strategy)
PIDS = st.builds(gen.PID, MADE[str], st.integers(0, 2**63), st.integers(0, 2**63))
PLACES = st.builds(Place, MADE[int], MADE[float])
READINGS = st.builds(Reading, MADE[str], MADE[float], MADE[int], st.binary())
FROZEN = st.builds(Frozen, MADE[str], st.lists(PLACES, max_size=3).map(tuple))
ALL = st.deferred(
    lambda: st.builds(
        All,
        reading=READINGS,
        frozen=FROZEN,
        color=st.sampled_from(Color),
        level=st.sampled_from(Level),
        who=st.none() | PIDS,
        pair=st.tuples(MADE[int], MADE[str]),
        names=st.dictionaries(MADE[str], st.lists(MADE[int], max_size=3), max_size=3),
        flags=st.sets(st.booleans()),
        moment=st.none() | st.datetimes(timezones=st.just(datetime.UTC)) | st.datetimes(),
        amount=st.decimals(allow_nan=False),
        key=st.uuids(),
        state=st.sampled_from(["on", "off"]),
        share=st.floats(0, 1),
        below=st.none() | ALL,
    )
)
ORDERS = st.builds(Order, MADE[int], st.lists(MADE[str], max_size=3), st.none() | MADE[str])
MESSAGES_MADE = st.one_of(st.sampled_from(Color), st.sampled_from(Level), PLACES, READINGS, FROZEN, ALL, ORDERS, PIDS)


@given(MESSAGES_MADE)
def test_a_message_comes_out_equal_and_of_its_class(message: Any) -> None:
    out = crossed(message)
    assert out == message
    assert type(out) is type(message)


@given(MESSAGES_MADE)
def test_many_messages_of_one_type_are_read_at_once(message: Any) -> None:
    number, body = encoded(message)
    reader = READERS[number]
    assert reader is not None
    assert reader.many(b"\x92" + body + body) == [message, message]
    with pytest.raises(Unreadable):
        reader.many(b"\x92" + body)


def test_messages_of_the_runtime_travel() -> None:
    pid, event = gen.PID("a@b", 1, 2), gen.Event("e", "a@b")
    for message in (
        gen.MessageEventStart(event),
        gen.MessageNodeUp("a@b", 5),
        gen.MessagePriority.HIGH,
        gen.MessageEvent(event, 1.5, ("x", [Reading("d", 1.0, 2)])),
        gen.MessageFallback(pid, "tag", "name", {1: (2,)}),
    ):
        out = crossed(message)
        assert out == message
        assert type(out) is type(message)
    down = crossed(gen.MessageDownPID(pid, gen.ProcessTerminated(pid, ValueError("x"))))
    assert down.pid == pid
    assert type(down.reason) is gen.ProcessTerminated
    assert repr(down.reason.reason) == "ValueError('x')"


def test_a_datagram_can_be_answered_on_the_other_node() -> None:
    server, info = gen.Alias("edge@a", 7, 9), meta.PacketInfo(local="192.0.2.9", ttl=3)
    message = crossed(meta.MessageUDP(server, ("192.0.2.1", 53), b"question", info=info))
    assert (message.id, message.addr, message.data, message.truncated) == (
        server,
        ("192.0.2.1", 53),
        b"question",
        False,
    )
    assert message.info == info
    answer = message.reply(b"answer")
    assert (answer.id, answer.addr, answer.info.local) == (server, ("192.0.2.1", 53), "192.0.2.9")


@pytest.mark.parametrize("address", [None, "/run/x.sock", b"\0abstract", ("::1", 5, 0, 2)])
def test_a_datagram_keeps_its_address_and_its_data_come_out_as_bytes(address: Any) -> None:
    message = crossed(meta.MessageUDP(None, address, memoryview(bytearray(b"abc"))))
    assert (message.id, message.addr, message.data) == (None, address, b"abc")


def test_a_registered_message_can_be_a_part_of_plain_data() -> None:
    message = ("store", {"last": Reading("d", 1.0, 2)}, [Place(1), Color.RED])
    out = crossed(message)
    assert out == message
    assert type(out[2][0]) is Place


# --- what is refused at `send` -------------------------------------------------------------------------------


class Warmer(Reading):
    pass


def whole(**changes: Any) -> Any:
    """Returns an `All` with some of its fields changed."""
    fields: dict[str, Any] = {
        "reading": Reading("d", 1.0, 2),
        "frozen": Frozen("k"),
        "color": Color.RED,
        "level": Level.LOW,
        "who": None,
        "pair": (1, "x"),
        "names": {"a": [1]},
        "flags": {True},
        "moment": None,
        "amount": decimal.Decimal(1),
        "key": uuid.UUID(int=1),
        "state": "on",
        "share": 0.5,
    }
    return All(**(fields | changes))


REFUSED: dict[str, Callable[[], Any]] = {
    "a str in an int field": lambda: Reading("d", 1.0, "2"),  # type: ignore[arg-type]
    "an int in a float field": lambda: Reading("d", 1, 2),
    "a bool in an int field": lambda: Reading("d", 1.0, True),
    "a subclass of str": lambda: Reading(HostileText("x"), 1.0, 2),
    "a bytearray in a bytes field": lambda: Reading("d", 1.0, 2, bytearray()),  # type: ignore[arg-type]
    "a subclass": lambda: Warmer("d", 1.0, 2),
    "a subclass in a field": lambda: whole(reading=Warmer("d", 1.0, 2)),
    "a part of a part": lambda: whole(frozen=Frozen("k", (Place(1, 2),))),
    "a list in a tuple field": lambda: Frozen("k", [Place(1)]),  # type: ignore[arg-type]
    "a tuple of another length": lambda: whole(pair=(1, "x", 2)),
    "an item of another class": lambda: whole(names={"a": [1, 2.0]}),
    "a key of another class": lambda: whole(names={1: []}),
    "another literal": lambda: whole(state="maybe"),
    "a member of another enum": lambda: whole(color=Level.LOW),
    "the value of an enum": lambda: whole(level=1),
    "beyond the limits of its annotation": lambda: whole(share=2.0),
    "a NamedTuple with a wrong field": lambda: Place("x"),  # type: ignore[arg-type]
    "a dataclass with a wrong field": lambda: Order("x"),  # type: ignore[arg-type]
    "a PID with a wrong field": lambda: gen.PID("a", "b", 1),  # type: ignore[arg-type]
    "nothing in it works": lambda: Reading(Hostile(), 1.0, 2),
    "a class that is not registered": lambda: whole,
    "such an object in plain data": lambda: [{"a": Hostile()}],
    "a refused message in plain data": lambda: [Reading("d", 1, 2)],
    "an integer that is too long": lambda: Reading("d", 1.0, 2**64),
    "half of a character": lambda: Reading("\ud800", 1.0, 2),
    "an exception as data": lambda: [ValueError()],
    "a datagram without bytes": lambda: meta.MessageUDP(None, None, 5),
    "a datagram of no server": lambda: meta.MessageUDP("x", None, b""),
    "a datagram with an odd address": lambda: meta.MessageUDP(None, ("x", 1.5), b""),
    "a datagram with odd info": lambda: meta.MessageUDP(None, None, b"", info=5),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_message_that_would_not_come_out_equal_is_refused(name: str) -> None:
    message = REFUSED[name]()
    with pytest.raises(gen.NotTransferable):
        TYPES.prepare(message)


def test_the_error_names_the_field() -> None:
    with pytest.raises(gen.NotTransferable, match=r"Reading .*'at' holds, '2', does not fit"):
        TYPES.outgoing(Reading("d", 1.0, "2"))  # type: ignore[arg-type]
    unset = Order.__new__(Order)
    with pytest.raises(gen.NotTransferable, match=r"Order .*'number' raises AttributeError"):
        TYPES.outgoing(unset)


def test_what_is_not_a_number_travels_as_such() -> None:
    assert math.isnan(crossed(Reading("d", math.nan, 1)).value)


# --- what is refused at registration --------------------------------------------------------------------------


class HoldsAny(msgspec.Struct):
    content: Any


class HoldsCallable(msgspec.Struct):
    function: Callable[[], int]


class HoldsObject(NamedTuple):
    thing: object


class HoldsUnknown(msgspec.Struct):
    inner: Unregistered


class Unregistered(msgspec.Struct):
    x: int


class HoldsNothingFound(msgspec.Struct):
    inner: Nowhere  # type: ignore[name-defined] # noqa: F821


class HoldsComplex(msgspec.Struct):
    number: complex


class HoldsBareList(msgspec.Struct):
    items: list  # type: ignore[type-arg]


class HoldsTwoStructs(msgspec.Struct):
    either: Unregistered | Reading


@dataclass
class HoldsInitVar:
    once: InitVar[int]


class Omits(msgspec.Struct, omit_defaults=True):
    x: int = 1


@dataclass
class Failure(Exception):
    code: int


class Flags(enum.Flag):
    A = 1


class Odd(enum.Enum):
    A = (1, 2)


NoAnnotations = namedtuple("NoAnnotations", "x")  # noqa: PYI024


class Usual:
    x: int


CANNOT = [
    (HoldsAny, "HoldsAny .*'content' .*Any"),
    (HoldsCallable, "HoldsCallable .*'function'"),
    (HoldsObject, "HoldsObject .*'thing'"),
    (HoldsUnknown, "HoldsUnknown .*'inner' holds .*Unregistered, which may not travel: mark it too"),
    (HoldsNothingFound, "HoldsNothingFound .*'inner' .*'Nowhere' is not defined"),
    (HoldsComplex, "HoldsComplex .*'number'"),
    (HoldsBareList, "HoldsBareList .*'items' .*Any"),
    (HoldsTwoStructs, "HoldsTwoStructs .*'either'"),
    (HoldsInitVar, "HoldsInitVar .*InitVar"),
    (Omits, "omit_defaults"),
    (Failure, "Failure .*no msgspec.Struct, dataclass, NamedTuple or Enum"),
    (Flags, "flags"),
    (Odd, "Odd"),
    (NoAnnotations, "NoAnnotations .*'x' .*not at all"),
    (Usual, "Usual .*no msgspec.Struct"),
    (dict, "dict"),
]


@pytest.mark.parametrize(("kind", "text"), CANNOT)
def test_a_class_that_cannot_travel_is_refused_by_class_and_field(kind: type, text: str) -> None:
    with pytest.raises(gen.BadOption, match=text):
        Types([kind])


def test_two_classes_cannot_have_one_name(marks: None) -> None:
    class Place(NamedTuple):
        z: int

    with pytest.raises(gen.BadOption, match=r"messages\.Place travels as 'Place'"):
        Types([*KINDS, Place])
    gen.message(name="place-of-another-kind")(Place)
    assert crossed(Place(1), Types([*KINDS])) == Place(1)


def test_a_name_of_homing_is_refused(marks: None) -> None:
    gen.message(name="homing.PID")(Unregistered)
    with pytest.raises(gen.BadOption, match="Homing's own"):
        Types()


def test_a_marked_class_is_registered_and_an_unmarked_one_is_explained(marks: None) -> None:
    with pytest.raises(gen.NotTransferable, match=r"mark its class by @gen.message"):
        Types().outgoing(Unregistered(1))
    gen.message(Unregistered)
    assert crossed(Unregistered(1), Types()) == Unregistered(1)


# --- versions ---------------------------------------------------------------------------------------------------


class Tuple1(NamedTuple):
    a: int


class Tuple2(NamedTuple):
    a: int
    b: str = "new"


class Tuple2Needed(NamedTuple):
    a: int
    b: str


def version(base: Any, fields: list[tuple[Any, ...]]) -> Any:
    """Returns a version of the message "M" with these fields."""
    if base is msgspec.Struct:
        return msgspec.defstruct("M", fields)
    if base is list:
        return msgspec.defstruct("M", fields, array_like=True)
    if base is dataclass:
        return dataclasses.make_dataclass(
            "M", [(*f[:2], dataclasses.field(default=f[2])) if f[2:] else f for f in fields]
        )
    kind: Any = {1: Tuple1, 2: Tuple2 if fields[-1][2:] else Tuple2Needed}[len(fields)]
    kind.__name__ = "M"
    return kind


BASES = [msgspec.Struct, list, dataclass, NamedTuple]
OLD: list[tuple[Any, ...]] = [("a", int)]
NEW: list[tuple[Any, ...]] = [("a", int), ("b", str, "new")]


@pytest.mark.parametrize("base", BASES)
def test_a_new_field_with_a_default_is_filled_in_for_an_older_node(base: Any) -> None:
    old, new = version(base, OLD), version(base, NEW)
    assert crossed(old(1), Types([old]), Types([new])) == new(1, "new")


@pytest.mark.parametrize("base", BASES)
def test_a_field_of_a_newer_node_is_ignored(base: Any) -> None:
    old, new = version(base, OLD), version(base, NEW)
    assert crossed(new(1, "x"), Types([new]), Types([old])) == old(1)


@pytest.mark.parametrize("base", BASES)
def test_a_missing_field_without_a_default_makes_a_message_unreadable(base: Any) -> None:
    old, new = version(base, OLD), version(base, [("a", int), ("b", str)])
    with pytest.raises(Unreadable):
        crossed(old(1), Types([old]), Types([new]))


def test_the_digest_tells_versions_apart_by_names_types_and_defaults() -> None:
    fields = [[("a", int)], [("b", int)], [("a", str)], [("a", int, 1)], [("a", int, 2)]]
    digests = {Types([version(msgspec.Struct, one)]).table()[-1 - len(_after())][2] for one in fields}
    assert len(digests) == len(fields)
    first, second = (Types([version(msgspec.Struct, one)]) for one in fields[:2])
    assert first.differences(second.table()) == ["M"]
    assert first.differences(Types([version(msgspec.Struct, fields[0])]).table()) == []


def _after() -> list[Any]:
    """The rows behind those of the program's classes."""
    names = [name for _, name, _ in Types([version(msgspec.Struct, OLD)]).table()]
    return names[names.index("M") + 1 :]


def test_numbers_are_those_of_the_peer_and_unknown_types_have_no_reader() -> None:
    one, other = Types([Reading, Place]), Types([Place, Order])
    readers = other.reader(one.table())
    assert readers[one.numbers[Reading]] is None
    number, body = encoded(Place(3), one)
    place = readers[number]
    assert place is not None
    assert place(body) == Place(3)


@pytest.mark.parametrize(
    "row", [None, 5, (1, 2), ("x", "Place", 1), (1 << 40, "Place", 1), (-1, "Place", 1), (0, "Place", 1), (5, 6, 7)]
)
def test_a_row_that_makes_no_sense_is_ignored(row: Any) -> None:
    readers = TYPES.reader([row])
    assert len(readers) <= 4096
    assert all(reader is None for reader in readers[2:])


def test_nothing_in_the_package_of_the_cluster_runs_what_it_is_told() -> None:
    forbidden = re.compile(
        r"pickle|marshal|\beval\(|\bexec\(|import_module|__import__|__reduce(?!__ = refuse_copy)|__setstate__"
    )
    for path in Path(cluster.__file__).parent.rglob("*.py*"):
        if path.suffix in (".py", ".pyx", ".pxd"):
            assert not forbidden.search(path.read_text()), path


# --- garbage ------------------------------------------------------------------------------------------------------

BOMBS = {
    "lists in lists": b"\x91" * 200_000,
    "maps in maps": b"\x81\xc0" * 100_000,
    "extensions in extensions": b"\xc9\x00\x03\x00\x00\x01" * 30_000,
    "a list of 2**32 items": b"\xdd\xff\xff\xff\xff",
    "a map of 2**32 items": b"\xdf\xff\xff\xff\xff",
    "a text of 4 GiB": b"\xdb\xff\xff\xff\xff",
    "bytes of 4 GiB": b"\xc6\xff\xff\xff\xff",
    "an extension of 4 GiB": b"\xc9\xff\xff\xff\xff\x01",
    "long lists in long lists": b"\xdd\x00\x0f\x00\x00" * 200_000,
    "an unknown extension": b"\xc7\x01\x63x",
    "a time that is none": b"\xc7\x0c\xff" + b"\xff" * 12,
    "nothing": b"",
    "an unused byte": b"\xc1",
    "a set of lists": b"\xc7\x02\x03\x91\x90",
    "half a pair": b"\xc7\x02\x05\x91\x01",
    "a message of an unknown number": b"\xc7\x03\x08\xff\xff\xc0",
    "a message without its number": b"\xc7\x00\x08",
    "an identifier of an unknown kind": b"\xc7\x05\x07\x93\x63\xa1a\x01",
    "an identifier that is none": b"\xc7\x01\x07\xc0",
    "two values": b"\xc0\xc0",
}


def read_all(data: bytes) -> None:
    """Reads `data` as each type, and as an error: raises what is not `Unreadable`."""
    for reader in READERS:
        assert reader is not None
        for read in (reader, reader.many):
            try:
                read(data)
            except Unreadable:
                pass
    assert isinstance(TYPES.error_in(data), Exception)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_no_message_of_any_type(name: str) -> None:
    read_all(BOMBS[name])
    for reader in READERS:
        assert reader is not None
        with pytest.raises(Unreadable):
            reader(BOMBS[name])


def test_nested_extensions_end_at_the_depth_that_a_sender_keeps() -> None:
    data = b"\x90"
    for _ in range(40):
        data = ENCODER.encode(msgspec.msgpack.Ext(1, b"\x91" + data if data != b"\x90" else data))
    reader = READERS[0]
    assert reader is not None
    with pytest.raises(Unreadable):
        reader(data)


@given(st.binary(max_size=64))
@settings(max_examples=200)
def test_garbage_raises_only_that_it_is_unreadable(data: bytes) -> None:
    read_all(data)


@given(MESSAGES_MADE, st.data())
def test_a_damaged_message_is_another_one_or_unreadable(message: Any, data: st.DataObject) -> None:
    body = bytearray(encoded(message)[1])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    read_all(bytes(body))


@pytest.mark.slow
@given(st.binary(max_size=4096) | st.binary(max_size=200).map(lambda data: ENCODER.encode([data]) + data))
@settings(max_examples=20_000)
def test_much_garbage_raises_only_that_it_is_unreadable(data: bytes) -> None:
    read_all(data)
