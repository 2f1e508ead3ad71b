"""Message classes of the tests of types, and what reads what they write."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec.msgpack import Encoder

from homing import gen
from homing.cluster.types import Types

ENCODER = Encoder()


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Place(NamedTuple):
    x: int
    y: float = 0.5


class Reading(msgspec.Struct):
    device: str
    value: float
    at: int
    raw: bytes = b""


@dataclass
class Order:
    number: int
    lines: list[str] = field(default_factory=list)
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Frozen:
    key: str
    places: tuple[Place, ...] = ()


class All(msgspec.Struct, array_like=True):
    """A field of each kind."""

    reading: Reading
    frozen: Frozen
    color: Color
    level: Level
    who: gen.PID | None
    pair: tuple[int, str]
    names: dict[str, list[int]]
    flags: set[bool]
    moment: datetime.datetime | None
    amount: decimal.Decimal
    key: uuid.UUID
    state: Literal["on", "off"]
    share: Annotated[float, msgspec.Meta(ge=0, le=1)]
    below: All | None = None


KINDS: tuple[type, ...] = (Color, Level, Place, Reading, Order, Frozen, All)
TYPES = Types(KINDS)
READERS = TYPES.reader(TYPES.table())


def encoded(message: Any, types: Types = TYPES) -> tuple[int, bytes]:
    """Returns a message's number and its bytes."""
    number, body = types.outgoing(message)
    return number, ENCODER.encode(body)


def crossed(message: Any, types: Types = TYPES, there: Types | None = None) -> Any:
    """Returns the message as another node gets it."""
    number, body = encoded(message, types)
    reader = (there or types).reader(types.table())[number]
    assert reader is not None
    return reader(body)


def error_crossed(error: BaseException) -> Exception:
    """Returns the exception as another node gets it."""
    return TYPES.error_in(ENCODER.encode(TYPES.error_out(error)))
