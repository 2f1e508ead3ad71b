"""What the tests of the runtime share: processes and meta-processes that do what they are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from homing import act, gen

QUIET = gen.NodeOptions(handle_signals=False, stop_timeout=2.0, slow_callback_seconds=None)
"""For nodes that a test starts itself: no signal handlers, and no watchdog that a busy machine could rouse."""


class Doer(act.Actor):
    """Runs the functions it is sent, as itself; one that gives a coroutine makes the process await that."""

    def init(self, reasons: list[Exception] | None = None) -> None:
        self.reasons = [] if reasons is None else reasons

    def handle_message(self, sender: gen.PID, message: Any) -> Any:
        return message(self)

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return request(self)

    def terminate(self, reason: Exception) -> None:
        self.reasons.append(reason)


class Keeper(act.Actor):
    """Puts what it gets at the end of a list of the test's."""

    def init(self, kept: list[Any]) -> None:
        self.kept = kept

    def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.kept.append(message)


class Gate(act.Actor):
    """Keeps what it gets, and keeps the process busy with the first message until the test opens the gate."""

    def init(self, kept: list[Any], gate: asyncio.Event) -> None:
        self.kept = kept
        self.gate = gate

    async def handle_message(self, sender: gen.PID, message: Any) -> None:
        self.kept.append(message)
        await self.gate.wait()


def throw(error: BaseException | type[BaseException]) -> Callable[[Any], None]:
    """A function for `Doer` that raises `error`."""

    def function(actor: Any) -> None:
        raise error

    return function


def throw_later(error: BaseException | type[BaseException]) -> Callable[[Any], Any]:
    """As `throw`, from a coroutine that has been suspended."""

    async def function(actor: Any) -> None:
        await asyncio.sleep(0)
        raise error

    return function


async def hang(actor: Any) -> None:
    """For `Doer`: waits for ever."""
    await asyncio.Event().wait()


class Meta(gen.MetaBehavior):
    """A meta-process that runs until it is ended, and notes for what reasons `terminate` was called."""

    def __init__(self) -> None:
        self.reasons: list[Exception] = []
        self.got: list[tuple[gen.PID, Any]] = []

    async def start(self) -> None:
        await asyncio.Event().wait()

    def handle_message(self, sender: gen.PID, message: Any) -> Any:
        self.got.append((sender, message))
        return message(self) if callable(message) else None

    def handle_call(self, sender: gen.PID, ref: gen.Ref, request: Any) -> Any:
        return request(self) if callable(request) else ("answer", request)

    def handle_inspect(self, sender: gen.PID, *items: str) -> Any:
        return {"items": items}

    def terminate(self, reason: Exception) -> Any:
        self.reasons.append(reason)
