"""The strategies of a supervisor, as enums and pure functions: which children are restarted."""

from __future__ import annotations

import enum
from collections.abc import Reversible
from itertools import takewhile
from typing import TypeVar

from ...gen import is_orderly

T = TypeVar("T")


class SupervisorType(enum.Enum):
    """Which children are restarted when one has ended (OTP's restart strategies, Ergo's supervisor types).

    ONE_FOR_ONE: that child alone.
    ALL_FOR_ONE: all children.
    REST_FOR_ONE: that child and those after it in the order of their start.
    SIMPLE_ONE_FOR_ONE: that child alone. All children are instances of one specification, started by `start_child`.
    """

    ONE_FOR_ONE = "one for one"
    ALL_FOR_ONE = "all for one"
    REST_FOR_ONE = "rest for one"
    SIMPLE_ONE_FOR_ONE = "simple one for one"


class RestartStrategy(enum.Enum):
    """When a child that has ended is restarted (OTP's restart types).

    PERMANENT: always.
    TRANSIENT: unless it ended with `normal` or `shutdown`.
    TEMPORARY: never, not even with others.
    """

    PERMANENT = "permanent"
    TRANSIENT = "transient"
    TEMPORARY = "temporary"


class AutoShutdown(enum.Enum):
    """When a supervisor ends because significant children have ended by themselves (OTP's automatic shutdown).

    NEVER: it does not.
    ANY_SIGNIFICANT: when one has ended.
    ALL_SIGNIFICANT: when the last one that still ran has ended.
    """

    NEVER = "never"
    ANY_SIGNIFICANT = "any significant"
    ALL_SIGNIFICANT = "all significant"


def starts_again(strategy: RestartStrategy, reason: Exception) -> bool:
    """Returns True if a child that has ended by itself for `reason` is restarted."""
    if strategy is RestartStrategy.TRANSIENT:
        return not is_orderly(reason)
    return strategy is RestartStrategy.PERMANENT


def affected(kind: SupervisorType, children: Reversible[T], ended: T) -> list[T]:
    """Returns the children that a restart of `ended` includes, in the order of their start."""
    if kind is SupervisorType.ALL_FOR_ONE:
        return list(children)
    if kind is SupervisorType.REST_FOR_ONE:
        later = takewhile(lambda child: child != ended, reversed(children))  # does not look at those before `ended`
        return [ended, *reversed([*later])]
    return [ended]


def shuts_down(mode: AutoShutdown, others: bool) -> bool:
    """Returns True if the end of a significant child ends the supervisor. `others`: another significant one exists."""
    if mode is AutoShutdown.ALL_SIGNIFICANT:
        return not others
    return mode is AutoShutdown.ANY_SIGNIFICANT
