"""States of registered types and of any plain data, by the codec of the cluster: in one program, and from another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest.mock import patch

import msgspec
import pytest

from homing import gen
from homing.cluster.state_types import StateTypes
from homing.gen import cluster
from homing.node.states import encoding
from homing.node.states.encoding import Encoded, decode, encode


class Reading(msgspec.Struct):
    place: str
    values: list[float]


class Point(NamedTuple):
    x: int
    y: int = 0


class Unmarked(msgspec.Struct):
    place: str


@pytest.fixture(autouse=True)
def marked() -> Iterator[None]:
    """Marks two classes for one test, with a codec of its own."""
    with patch.dict(cluster.MESSAGES, {}), patch.object(encoding, "_codec", [StateTypes()]):
        gen.message(Reading)
        gen.message(name="point")(Point)
        yield


VALUES: list[Any] = [
    b"bytes",
    Reading("roof", [1.0, 2.5]),
    Point(1, 2),
    {"readings": [Reading("roof", [])], (1, 2): {"set"}, "big": 2**100, "point": Point(3)},
    (1, [2, (3,)]),
    None,
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_state_comes_back_class_by_class(value: Any) -> None:
    found = decode(encode(value))
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_another_program_reads_it_by_the_names_of_the_classes(value: Any) -> None:
    encoded = encode(value)
    table = json.loads(json.dumps(encoded.table))
    with patch.object(encoding, "_codec", [StateTypes()]):
        found = decode(Encoded(encoded.form, encoded.data, encoded.number, table))
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("value", [Unmarked("roof"), [Unmarked("roof")], len, Reading(1, [])], ids=repr)  # type: ignore[arg-type]
def test_what_would_not_come_back_equal_is_refused(value: Any) -> None:
    with pytest.raises(gen.NotTransferable):
        encode(value)


def test_a_class_that_is_marked_later_is_known() -> None:
    encode(Point(1))

    class Late(msgspec.Struct):
        n: int

    gen.message(Late)
    assert decode(encode(Late(1))) == Late(1)


def test_a_state_outlives_the_marking_of_another_class() -> None:
    encoded = encode([Point(1), gen.MessageEvent(gen.Event("e", "n@h"), 0.0, 1)])

    class Early(msgspec.Struct):
        n: int

    gen.message(Early)
    encode(Early(1))
    assert decode(encoded)[0] == Point(1)


def test_a_class_that_is_not_known_here_is_named() -> None:
    encoded = encode(Reading("roof", []))
    del cluster.MESSAGES["Reading"]
    with pytest.raises(gen.BadOption, match="Reading"):
        decode(encoded)


def test_without_msgspec_what_was_encoded_by_it_is_refused() -> None:
    encoded = encode(Point(1))
    with patch.object(encoding, "_codec", [None]), pytest.raises(gen.BadOption, match="install msgspec"):
        decode(encoded)
