"""Checks before a message leaves that it will come out equal: each field holds exactly what its annotation says.

msgspec encodes without looking at annotations: `x: int` with a `str` in it would be refused by the receiver only, and
an instance of a subclass, or a list in a `tuple` field, would silently come out as something else. Compiled: it runs
for each message.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import getattr_static
from struct import pack
from typing import TYPE_CHECKING, Any

from ..gen.cluster_errors import NotTransferable
from ..gen.foreign import safe_repr
from ..node.mailbox.lane import COMPILED

if TYPE_CHECKING:
    first_other: Callable[[Any, bytes, tuple[Any, ...], int], int]
    place_of: Callable[[Any], int]
if not COMPILED:
    # C functions, which the .pxd file describes: interpreted, nothing is known of where an object has its fields
    globals().update(first_other=lambda value, places, exact, at: at, place_of=lambda member: -1)

PLAIN, TUPLE = 0, 1
"""Numbers of data without a registered class: a tuple, which has no sign of its own in msgpack, and all else."""

_PLAIN, _TUPLE = PLAIN, TUPLE


class Unreadable(Exception):
    """Bytes of another node are no message of that type. The only exception that readers raise."""


class Check:
    """The condition for a value to come out equal. Here: it is an instance of exactly `kind`."""

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def fits(self, value: Any) -> bool:
        """Returns True if `value` comes out equal and of the same class. May raise what the value's methods raise."""
        return type(value) is self.kind


class FieldsCheck(Check):
    """An instance of exactly `kind`, whose fields pass their checks. `exact[i]` is the class of the field `names[i]`;
    None if `checks[i]` decides. A check of a class alone needs no call. places: where in the object each field is, as
    an encoder finds it, so that nothing is looked up by name; empty if they are not all known."""

    def __init__(self, kind: type) -> None:
        super().__init__(kind)
        self.names: tuple[str, ...] = ()
        self.exact: tuple[Any, ...] = ()
        self.places = b""
        self.checks: tuple[Check, ...] = ()

    def fill(self, names: tuple[str, ...], checks: tuple[Check, ...]) -> None:
        """Sets the fields: later than the class, because it may have fields of its own class."""
        self.names = names
        self.checks = checks
        self.exact = tuple([check.kind if type(check) is Check else None for check in checks])
        self.places = _places(self.kind, names)

    def fits(self, value: Any) -> bool:
        if type(value) is not self.kind:
            return False
        i = first_other(value, self.places, self.exact, 0)
        while i < len(self.names):
            part = getattr(value, self.names[i])
            exact = self.exact[i]
            if exact is None:
                check = self.checks[i]
                if not check.fits(part):
                    return False
            elif type(part) is not exact:
                return False
            i = first_other(value, self.places, self.exact, i + 1)
        return True


def _places(kind: Any, names: tuple[str, ...]) -> bytes:
    """Returns the offsets of the fields `names` in an instance of `kind`, as C has them; empty if they are not all
    known."""
    if kind.__getattribute__ is not object.__getattribute__:
        return b""
    found = [place_of(getattr_static(kind, name, None)) for name in names]
    return b"" if -1 in found else pack(f"{len(found)}n", *found)


class ItemsCheck(Check):
    """A list, tuple, set or frozenset of any length, whose items pass `item`."""

    def __init__(self, kind: type, item: Check) -> None:
        super().__init__(kind)
        self.item = item

    def fits(self, value: Any) -> bool:
        if type(value) is not self.kind:
            return False
        check = self.item
        items: Any = value
        for part in items:  # noqa: SIM110 - compiled, a loop needs no generator
            if not check.fits(part):
                return False
        return True


class TupleCheck(Check):
    """A tuple with an item for each of `items`."""

    def __init__(self, items: tuple[Check, ...]) -> None:
        super().__init__(tuple)
        self.items = items

    def fits(self, value: Any) -> bool:
        if type(value) is not tuple or len(value) != len(self.items):
            return False
        for i in range(len(self.items)):
            check = self.items[i]
            if not check.fits(value[i]):
                return False
        return True


class DictCheck(Check):
    """A dict, whose keys and values pass their checks."""

    def __init__(self, key: Check, part: Check) -> None:
        super().__init__(dict)
        self.key = key
        self.part = part

    def fits(self, value: Any) -> bool:
        if type(value) is not dict:
            return False
        first, second = self.key, self.part
        for key, part in value.items():  # noqa: SIM110 - see above
            if not (first.fits(key) and second.fits(part)):
                return False
        return True


class UnionCheck(Check):
    """A value that passes one of `choices`."""

    def __init__(self, choices: tuple[Check, ...]) -> None:
        super().__init__(object)
        self.choices = choices

    def fits(self, value: Any) -> bool:
        for check in self.choices:  # noqa: SIM110 - see above
            if check.fits(value):
                return True
        return False


class LiteralCheck(Check):
    """One of `values`, of the same class."""

    def __init__(self, values: tuple[Any, ...]) -> None:
        super().__init__(object)
        self.values = values

    def fits(self, value: Any) -> bool:
        for one in self.values:  # noqa: SIM110 - see above
            if type(value) is type(one) and value == one:
                return True
        return False


class LimitedCheck(Check):
    """A value that passes `inner`, and `limits`, which raises an error if it is against the limits of the annotation
    (`msgspec.Meta`)."""

    def __init__(self, inner: Check, limits: Callable[[Any], object]) -> None:
        super().__init__(object)
        self.inner = inner
        self.limits = limits

    def fits(self, value: Any) -> bool:
        check = self.inner
        if not check.fits(value):
            return False
        try:
            self.limits(value)
        except Exception:
            return False
        return True


class Outgoing:
    """Turns messages into what an encoder writes as it is.

    numbers: of the classes that msgspec encodes as they are. checks: their checks, by number.
    other: prepares messages of all other classes.
    """

    def __init__(
        self, numbers: dict[type, int], checks: tuple[Check, ...], other: Callable[[Any], tuple[int, Any]]
    ) -> None:
        self.numbers = numbers
        self.checks = checks
        self.other = other
        self._kind: Any = None  # the class of the last message, its number and check: the next one is often like it
        self._number = 0
        self._check = Check(object)

    def outgoing(self, message: Any) -> tuple[int, Any]:
        """Returns (number, body) of a message; see `types.Types.outgoing`."""
        number = self.number_of(message)
        return self.other(message) if number < 0 else (number, message)

    def number_of(self, message: Any) -> int:
        """Returns the number of a message that an encoder writes as it is; -1 of others, which `other` prepares.
        Raises `NotTransferable`."""
        kind = type(message)
        if kind is not self._kind:
            if kind is bytes or kind is str:
                return _PLAIN
            number = self.numbers.get(kind)
            if number is None:
                return _TUPLE if kind is tuple and is_flat(message) else -1
            self._check = self.checks[number]
            self._number = number
            self._kind = kind
        check, at = self._check, self._number
        try:
            if check.fits(message):
                return at
        except Exception:  # a field that was never set, or an `__eq__` of the program: `why_not` tells the cause
            pass
        raise NotTransferable(message, why_not(check, message))

    def check(self, number: int, message: Any) -> None:
        """Raises `NotTransferable` if a message of the class `number` would not come out equal."""
        check = self.checks[number]
        try:
            if check.fits(message):
                return
        except Exception:  # see above
            pass
        raise NotTransferable(message, why_not(check, message))


def is_flat(message: tuple[Any, ...]) -> bool:
    """Returns True for a tuple of nothing but simple values, which an encoder writes as it is."""
    for part in message:
        kind = type(part)
        if kind is int:
            if part > 0xFFFFFFFFFFFFFFFF or part < -0x8000000000000000:
                return False
        elif not (kind is str or kind is bytes or kind is float or kind is bool or part is None):
            return False
    return True


def why_not(check: Check, message: Any) -> str:
    """Returns why a message does not pass the check of its class, in words."""
    fields = zip(check.names, check.checks, strict=True) if isinstance(check, FieldsCheck) else ()
    for name, one in fields:
        try:
            value = getattr(message, name)
            if not one.fits(value):
                return f"what its field {name!r} holds, {safe_repr(value, 100)}, does not fit the annotation exactly"
        except Exception as error:
            return f"its field {name!r} raises {safe_repr(error)}"
    return "it does not fit its class"


class Reader:
    """Decodes the bodies of one type: `reader(body)`.

    decode: of a body. many: of a msgpack array of bodies, into a list.
    Both may raise any exception: the methods of the reader raise only `Unreadable`.
    """

    def __init__(self, decode: Callable[[Any], Any], many: Callable[[Any], list[Any]]) -> None:
        self.decode = decode
        self.decode_many = many

    def __call__(self, body: Any) -> Any:
        """Returns the message in a body. Raises `Unreadable`, whatever the bytes are."""
        try:
            return self.decode(body)
        except Exception as error:  # of msgspec, of a `__post_init__`, of the depth, of a hash
            raise Unreadable(type(error).__name__) from None

    def many(self, bodies: Any) -> list[Any]:
        """Returns the messages in a msgpack array of bodies. Raises `Unreadable` if any of them is; then read one by
        one."""
        try:
            return self.decode_many(bodies)
        except Exception as error:
            raise Unreadable(type(error).__name__) from None
