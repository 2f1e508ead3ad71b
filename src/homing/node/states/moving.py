"""States on their way to the next OS process, and from the one before.

The predecessor holds each process whose state has a name: behind all messages that wait there the process dumps its
state, and handles no more messages, because nothing may change a state that the successor has. If the successor fails,
these processes continue; otherwise they wait for the exit signal by which the node ends them.

The successor has started its processes already. Each loads its state in a turn of its own; states without a process
wait for one, as after a crash.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from ...gen import NotAllowed, StateOptions
from ..mailbox.envelope import Exit, is_coroutine
from ..scheduling.stepping import is_cancelled
from . import encoding
from .encoding import Encoded
from .entries import Hold, Load
from .slot import Slot
from .store import store_of

if TYPE_CHECKING:
    from ..core import Core
    from ..processes.process import Process
    from .keeper import Keeper

_POLL = 0.002
"""Seconds between two looks whether something is over: a hand-over takes some milliseconds."""


class Moved(NamedTuple):
    """A state on its way. age: seconds for which it has been behind."""

    name: str
    encoded: Encoded
    age: float


# --- in the predecessor -------------------------------------------------------------------------------------


class _Held:
    """One process that is held. over: None; "on": it continues; "end": it waits for its end."""

    def __init__(self, process: Process, keeper: Keeper) -> None:
        self.process = process
        self.keeper = keeper
        self.over: str | None = None
        self._dumped = False
        process.put_runtime(Hold(self._begin), 0)

    @property
    def waits(self) -> bool:
        """True until its state has been dumped."""
        return not self._dumped and self.process.alive

    def _begin(self) -> Any:
        """In the process's own turn."""
        self.keeper.uncounted += 1
        if self.over == "on":
            return None
        self.keeper.held = False  # until the end of an earlier hold, a moment ago, has come to its process
        self.keeper.dump()
        self.keeper.held = self._dumped = True
        return self._stay()

    async def _stay(self) -> None:
        try:
            while not self._may_go():
                await asyncio.sleep(_POLL)
        finally:
            self.keeper.held = False

    def _may_go(self) -> bool:
        if self.over == "end":
            return any(isinstance(entry, Exit) for entry in tuple(self.process.urgent or ()))
        return self.over == "on"


class Leaving:
    """The named states of a node that another OS process takes over."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._held: list[_Held] = []

    def _slots(self) -> list[Slot]:
        return [] if self._core.states is None else list(self._core.states.named.values())

    @property
    def any(self) -> bool:
        """True if there are states to dump."""
        return bool(self._slots())

    async def dump(self, seconds: float) -> list[Moved]:
        """Holds the processes and returns their states. Of a process that does not come to it within `seconds`, the
        last dump, however far it is behind: that is logged."""
        loop, slots = self._core.loop, self._slots()
        self._held = [_Held(slot.owner, slot.owner.keeper) for slot in slots if slot.owner is not None]
        end = loop.time() + seconds
        while any(held.waits for held in self._held) and loop.time() < end:
            await asyncio.sleep(_POLL)
        for held in self._held:
            if held.waits:
                text = "%s is still at work after %g s: its last dump goes to the next OS process"
                self._core.log.warning(text, held.process.title, seconds)
        now = loop.time()
        return [Moved(str(slot.name), slot.encoded, slot.age(now) or 0.0) for slot in slots if slot.encoded is not None]

    def go_on(self) -> None:
        """Lets the processes continue, because the successor has failed."""
        for held in self._held:
            held.over = "on"

    def end(self) -> None:
        """Lets the processes handle nothing more but their exit signals, because the successor has their states."""
        for held in self._held:
            held.over = "end"


# --- in the successor ---------------------------------------------------------------------------------------


class _Loading:
    """One process that is to load a state."""

    def __init__(self, process: Process, keeper: Keeper, moved: Moved) -> None:
        self._process = process
        self._keeper = keeper
        self._moved = moved
        self._over = False
        keeper.awaits = True
        process.put_runtime(Load(self._begin), 1)

    @property
    def waits(self) -> bool:
        """True until the state was loaded or refused."""
        return not self._over and self._process.alive

    def _begin(self) -> Any:
        """In the process's own turn."""
        self._keeper.uncounted += 1
        behavior: Any = self._process.behavior
        before = dict(getattr(behavior, "__dict__", ()))
        try:
            pending = behavior.load_state(encoding.decode(self._moved.encoded))
        except BaseException as error:
            self._refuse(error, before)
            return None
        if is_coroutine(pending):
            return self._later(pending, before)
        self._loaded()
        return None

    async def _later(self, pending: Any, before: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(self._process.options.init_timeout):
                await pending
        except BaseException as error:
            self._refuse(error, before)
            if is_cancelled(error):
                raise
            return
        self._loaded()

    def _loaded(self) -> None:
        self._keeper.loaded(self._moved.age)
        self._end()

    def _refuse(self, error: BaseException, before: dict[str, Any]) -> None:
        """Sets the attributes as they were. (The process is not started again: it has sockets to take over.)"""
        attributes = getattr(self._process.behavior, "__dict__", None)
        if attributes is not None:
            attributes.clear()
            attributes.update(before)
        self._keeper.refused(error)
        self._end()

    def _end(self) -> None:
        self._keeper.awaits = False
        self._over = True


async def arrive(core: Core, states: Iterable[Moved], seconds: float) -> None:
    """Passes states from the OS process before this one to their processes, and waits until these have loaded them, at
    most `seconds`. A process that is at work for longer loads its state later."""
    store, loop = store_of(core), core.loop
    loading: list[_Loading] = []
    for moved in states:
        slot = store.named.get(moved.name)
        if slot is None:
            slot = store.named[moved.name] = Slot(moved.name, StateOptions())
        slot.set(moved.encoded, loop.time(), moved.age)
        owner = slot.owner
        if owner is None:
            store.keep(slot, None)
        elif _fits(slot, moved, owner):
            loading.append(_Loading(owner, owner.keeper, moved))
    end = loop.time() + seconds
    while any(one.waits for one in loading) and loop.time() < end:
        await asyncio.sleep(_POLL)


def _fits(slot: Slot, moved: Moved, owner: Process) -> bool:
    """Returns True unless the state is too old or too large for the options that the process has here."""
    size, most = len(moved.encoded.data), slot.options.most
    if size > most:
        owner.keeper.refused(NotAllowed(f"it has {size:,} bytes; the option `most` allows {most:,}"))  # type: ignore[union-attr]
        return False
    return slot.take(owner.core.loop.time()) is not None
