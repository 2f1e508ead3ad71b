"""The keeper of one process: takes its dumps, and decides at its end whether a successor gets the last one.

Rule 1: a dump is taken between two callbacks, in the process's own turn (on its thread, if it has one).
Rule 2: at an end, the state is dumped once more if no callback has left it half-changed: an exit signal, a kill while
        the process slept. With `StateOptions.at_crash` also after a callback that has raised or was cancelled.
Rule 3: the code of the program (`dump_state`, and what it returns) may do anything. It ends no process.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ...gen import NotAllowed, StateInfo, StateOptions, is_orderly, is_succeeded
from ...gen.foreign import class_name, forget_frames, safe_repr
from ..mailbox.envelope import Exit, is_coroutine
from . import encoding
from .entries import Due
from .slot import Slot
from .store import Store, store_of

if TYPE_CHECKING:
    import asyncio

    from ...gen import PID
    from ..mailbox.mailbox import Entry
    from ..processes.process import Process


_ROUNDING = 1e-6
"""Seconds by which a loop may call too early: it rounds to the resolution of its clock."""


class Keeper:
    """Keeps the state of `process` in `slot`.

    uncounted: entries that the process has handled and that were the keeper's own.
    held: True while the process is held for another OS process; awaits: True while the state of another OS process is
        to be loaded. No dump is taken meanwhile. See `moving`.
    """

    __slots__ = (
        "_crashed",
        "_due",
        "_final",
        "_process",
        "_seen",
        "_store",
        "_timer",
        "awaits",
        "held",
        "options",
        "slot",
        "uncounted",
    )

    def __init__(self, process: Process, options: StateOptions, name: str | None, previous: PID | None) -> None:
        self._process = process
        self._store: Store = store_of(process.core)
        self.options = options
        self.slot: Slot = self._store.open(process, options, name, previous)
        self.held = self.awaits = False
        self.uncounted = 0
        self._seen = 0
        self._due = 0.0  # the first dump follows the first turn: the sooner, the less a crash loop can take for poison
        self._timer: asyncio.TimerHandle | None = None
        self._crashed = self._final = False
        process.own(self)

    def _now(self) -> float:
        return self._process.core.loop.time()

    def info(self) -> StateInfo:
        """Returns a snapshot of the slot."""
        return self.slot.info(self._now())

    # --- dumps --------------------------------------------------------------------------------------------

    def rested(self) -> None:
        """Called after each turn, and after each asynchronous callback: dumps the state, or waits until it is time."""
        if self._process.handled - self.uncounted == self._seen:
            return
        now = self._now()
        if now >= self._due - _ROUNDING:
            self.dump()
        else:
            self.slot.changed(now)
            if self._timer is None and self._process.options.thread:
                self._process.core.from_thread(self._wait)
            elif self._timer is None:
                self._wait()

    def _wait(self) -> None:
        if self._timer is None and self._process.alive:
            self._timer = self._process.core.loop.call_at(self._due, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._process.put_runtime(Due(self._tick), 1)

    def _tick(self) -> None:
        """In the process's own turn, after which `rested` finds that it is time."""
        self.uncounted += 1

    def cancel(self) -> None:
        """Cancels the timer, at the end of the process."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def dump(self, *, at_crash: bool = False) -> None:
        """Dumps the state. A failure is counted, and logged once; the former dump stays."""
        if self.held or self.awaits or self.slot.owner is not self._process:
            return  # the last: a thread that was left behind has a successor already
        self._dump(at_crash)
        self._acquit()
        # Until a suspected state is known to have changed there is a dump after each callback.
        self._due = self._now() + (0.0 if self.slot.suspected else self.options.every)

    def _acquit(self) -> None:
        if self.slot.suspected and perf_counter() - self._process.started_at >= self.options.trial:
            self.slot.acquit()

    def _dump(self, at_crash: bool) -> None:
        self._seen = self._process.handled - self.uncounted
        behavior: Any = self._process.behavior
        try:
            self.slot.dumped(self._encoded(behavior.dump_state()), at_crash=at_crash)
        except BaseException as error:
            kind, why = class_name(error), f"dump_state: {safe_repr(error)}"
            self.slot.failed(why)
            self.slot.changed(self._now())
            self._warn(kind, "the state of %s could not be dumped, and the former dump stays: %s", why)
            forget_frames(error)

    def _encoded(self, value: Any) -> encoding.Encoded | None:
        if is_coroutine(value):
            value.close()
            raise NotAllowed("dump_state is called between two callbacks; define it by a plain def")
        if value is None:
            return None
        encoded = encoding.encode(value)
        if len(encoded.data) > self.options.most:
            raise NotAllowed(
                f"the dump has {len(encoded.data):,} bytes; the option `most` allows {self.options.most:,}"
            )
        return encoded

    def _warn(self, kind: str, text: str, why: str) -> None:
        """Logs a failure, the first of its kind for this process and its successors."""
        if kind not in self.slot.logged and len(self.slot.logged) < 100:
            self.slot.logged.add(kind)
            self._process.log_adapter.warning(text, self._process.title, why)

    # --- the start of a process ------------------------------------------------------------------------------

    def wanted(self) -> tuple[Any] | None:
        """Returns the state to load, in a tuple; None if there is none that can be loaded."""
        before = self.slot.encoded
        encoded = self.slot.take(self._now())
        if encoded is None:
            if before is not None:
                self._process.log_adapter.warning("%s starts clean: %s", self._process.title, self.slot.error)
            return None
        try:
            return (encoding.decode(encoded),)
        except BaseException as error:
            self.refused(error)
            forget_frames(error)
            return None

    def loaded(self, age: float | None = None) -> None:
        """Notes that `load_state` has returned. age: of a state from another OS process."""
        self._seen = self._process.handled - self.uncounted
        self.slot.loaded(self._now(), age)

    def refused(self, error: BaseException) -> None:
        """Notes that the state could not be loaded: it is dropped."""
        why = f"load_state: {safe_repr(error)}"
        self.slot.discard(why)
        self._process.log_adapter.warning(
            "the state of %s could not be loaded, and it starts clean: %s", self._process.title, why
        )

    def undo(self, previous: PID | None) -> None:
        """The start has failed: the next attempt finds the slot as it was."""
        if self.slot.used:
            self._store.keep(self.slot, previous)
        else:
            self._store.forget(self.slot)

    # --- the end of a process --------------------------------------------------------------------------------

    def ends(self, reason: Exception, fault: BaseException | None, hand: Entry | None) -> None:
        """The process ends, before its meta-processes and `terminate`. hand: what it was handling."""
        if not is_succeeded(reason):
            return
        self._crashed = fault is not None and not is_orderly(reason)
        whole = fault is None and (
            hand is None or isinstance(hand, Due) or (isinstance(hand, Exit) and hand.reason is reason)
        )
        handled = self._process.handled - self.uncounted - isinstance(hand, Exit)
        changed = self.options.at_crash if not whole else handled != self._seen
        if changed:
            if self._process.options.thread:
                self._final = True
            else:
                self._process.scheduler.run_for(self._process, self._dump_final, None)

    def _dump_final(self, _: None) -> None:
        self.dump(at_crash=self._crashed)

    @property
    def final(self) -> Callable[[], None] | None:
        """Dumps the state before `terminate`, on the process's thread; None if that is not to be done."""
        return partial(self._dump_final, None) if self._final else None

    def left(self, reason: Exception) -> None:
        """The process has ended; its links and monitors are notified next."""
        self.cancel()
        process, slot = self._process, self.slot
        if not is_succeeded(reason):
            self._store.forget(slot)
            return
        slot.ended(self._now())
        first = process.handled - self.uncounted <= 1
        self._acquit()
        if self._crashed and slot.crashed(first):
            process.log_adapter.error("%s has crashed twice with the same state, and starts clean", process.title)
        parent = process.core.processes.get(process.parent)
        succeeded = parent is not None and parent.alive and parent.hooks.succeeds
        self._store.keep(slot, process.id if succeeded else None)
