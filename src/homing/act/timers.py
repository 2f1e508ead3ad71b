"""The timers of an actor, and its timeout of silence. The functions here are methods of `Actor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..gen import CancelTimer, Target
from ..gen.options import check_seconds
from ..node.processes.idle import IdleTimer

if TYPE_CHECKING:
    from .actor import Actor


class IdleTimeout:
    """The attribute `idle_timeout` of actors. A class that sets it sets the time of its processes."""

    def __get__(self, behavior: Any, owner: type) -> Any:
        if behavior is None:
            return self
        idle = behavior._process.idle
        return None if idle is None else idle.seconds

    def __set__(self, behavior: Any, value: object) -> None:
        seconds = _checked(value)
        behavior._set_idle_timeout(seconds)


IDLE_TIMEOUT = IdleTimeout()


def class_value(behavior: type) -> Any:
    """Returns the time that a class, or a class that it derives from, sets in its body: seconds or None. Returns
    `IDLE_TIMEOUT` if there is none. Raises `BadOption`."""
    value = next(vars(kind)["idle_timeout"] for kind in behavior.__mro__ if "idle_timeout" in vars(kind))
    return IDLE_TIMEOUT if hasattr(type(value), "__get__") else _checked(value)  # also for a program's own property


def _checked(value: object) -> float | None:
    return None if value is None else check_seconds("idle_timeout", value)


def _set_idle_timeout(self: Actor, seconds: float | None) -> None:
    process = self._here
    if process.idle is None and seconds is not None:
        fresh = IdleTimer(process)
        if process.idle is None:  # read again, as making the timer may have run a finalizer that has set one
            process.idle = fresh
    if process.idle is not None:
        process.idle.set(seconds)


def send_after(self: Actor, to: Target, message: Any, seconds: float) -> CancelTimer:
    """Sends `message` once, `seconds` from now. Returns the function that cancels it: True if the timer had not
    fired or its message was still queued, which it removes; False if the message was handled or dropped.

    The timer ends with this process. If the receiver has ended or is full when it fires, that is counted
    (`NodeInfo.timer_failures`). Raises `BadOption`.
    """
    self._here.require_alive()
    return self._process.core.timers.start(self._process, to, message, seconds, periodic=False)


def send_every(self: Actor, to: Target, message: Any, seconds: float) -> CancelTimer:
    """Sends `message` every `seconds`. Returns the function that cancels the timer and removes its queued tick.

    Ticks are due at start + n * seconds. Those missed while the loop was busy are dropped. A tick is also dropped,
    and counted (`NodeInfo.timer_skips`), while the previous one is still queued. The timer ends with this process,
    or when the receiver's PID or alias has ended. Raises `BadOption`.
    """
    self._here.require_alive()
    return self._process.core.timers.start(self._process, to, message, seconds, periodic=True)
