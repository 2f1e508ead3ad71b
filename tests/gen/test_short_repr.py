"""What the runtime may log of a message."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from homing import gen, meta
from homing.gen.messages import has_short_repr
from homing.node.mailbox.preserved import describe

SENDER = gen.PID("demo@localhost", 1001, 1)


@dataclass
class Secret:
    text: str


class Short(Secret):
    _short_repr = True

    def __repr__(self) -> str:
        return f"Short({len(self.text)} characters)"


DATAGRAM = meta.MessageUDP(None, ("127.0.0.1", 1), b"secret")


@pytest.mark.parametrize(
    ("message", "short"), [(Secret("secret"), False), ("secret", False), (Short("secret"), True), (DATAGRAM, True)]
)
def test_a_class_says_that_its_repr_is_short(message: object, short: bool) -> None:
    assert has_short_repr(message) is short


def test_an_attribute_of_an_object_says_nothing() -> None:
    message = Secret("secret")
    message._short_repr = True  # type: ignore[attr-defined]
    assert not has_short_repr(message)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (Secret("secret"), "a Secret"),
        (Short("secret"), "Short(6 characters)"),
        (DATAGRAM, "MessageUDP(None, ('127.0.0.1', 1), 6 bytes)"),
    ],
)
def test_the_log_of_a_crash_has_a_short_repr_or_the_type_but_no_content(message: object, words: str) -> None:
    assert describe((SENDER, message)) == f", handling {words}"
