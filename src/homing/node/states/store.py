"""The slots of a node: by name, and those of processes that have ended and whose successor was not started yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...gen import PID, NameTaken, StateOptions
from .slot import Slot

if TYPE_CHECKING:
    from ..core import Core
    from ..processes.process import Process


class Store:
    """The slots of one node. `named`: of running processes, and of those that have ended and may get a successor."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._ended: dict[PID, Slot] = {}
        self.named: dict[str, Slot] = {}

    def open(self, process: Process, options: StateOptions, name: str | None, previous: PID | None) -> Slot:
        """Returns the slot of a process that is being started, the successor to `previous`. Raises `NameTaken` if
        another process keeps its state under that name."""
        known = options.name or name
        slot = None
        if known is not None:
            slot = self.named.get(known)
            if slot is not None and slot.owner is not None:
                raise NameTaken(known, slot.owner.id)
        elif previous is not None:
            slot = self._ended.pop(previous, None)
        if slot is None:
            slot = Slot(known, options)
        self._cancel(slot)
        slot.options = options
        slot.owner = process
        if known is not None:
            self.named[known] = slot
        return slot

    def keep(self, slot: Slot, ended: PID | None) -> None:
        """Keeps a slot whose process has ended for the successor; `ended`: that process."""
        slot.owner = None
        if slot.name is not None:
            self.named[slot.name] = slot
            self._forget_later(slot, None)
        elif ended is not None:
            self._ended[ended] = slot
            self._forget_later(slot, ended)

    def forget(self, slot: Slot) -> None:
        """Forgets the state in a slot without a process."""
        self._cancel(slot)
        slot.owner = None
        slot.encoded = None
        if slot.name is not None and self.named.get(slot.name) is slot:
            del self.named[slot.name]

    def forget_ended(self, pid: PID) -> None:
        """Forgets the state of a process that has ended and gets no successor."""
        slot = self._ended.pop(pid, None)
        if slot is not None:
            self._cancel(slot)

    def close(self) -> None:
        """Forgets all states, as the node has stopped."""
        for slot in (*self.named.values(), *self._ended.values()):
            self._cancel(slot)
        self.named.clear()
        self._ended.clear()

    def _forget_later(self, slot: Slot, ended: PID | None) -> None:
        """Forgets the slot when its state is too old: nobody may ever ask for it."""
        age = slot.age(self._core.loop.time()) or 0.0
        left = max(0.0, slot.options.max_age - age)
        self._cancel(slot)
        slot.timer = self._core.loop.call_later(left, self._too_old, slot, ended)

    def _too_old(self, slot: Slot, ended: PID | None) -> None:
        slot.timer = None
        whose = repr(slot.name) if ended is None else str(ended)
        if slot.encoded is not None:
            self._core.note(self._core.log, "the state of %s is too old and forgotten: nobody has asked for it", whose)
        if ended is not None:
            self._ended.pop(ended, None)
        elif slot.owner is None:
            self.forget(slot)

    def _cancel(self, slot: Slot) -> None:
        timer, slot.timer = slot.timer, None
        if timer is not None:
            timer.cancel()


def store_of(core: Core) -> Store:
    """Returns the slots of a node."""
    store = core.states or Store(core)
    if core.states is None:  # read again, as making the store may have run a finalizer that has made one
        core.states = store
    return core.states
