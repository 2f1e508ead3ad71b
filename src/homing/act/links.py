"""Links and monitors: the grid of {link, monitor, unlink, demonitor} x {any, pid, name, alias, event}.

Each function here is a method of `Actor`, which names it in its class body.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ..gen import PID, Alias, BadOption, Event, HomingError, MessageEvent, NotAllowed, ProcessID, Subject
from ..gen.foreign import is_a

if TYPE_CHECKING:
    from ..node.processes.process import Process
    from .actor import Actor

S = TypeVar("S")


def check_address(subject: S, kind: type | tuple[type, ...], words: str) -> S:
    """Returns `subject` if it is of that kind. Raises `BadOption` otherwise."""
    if not is_a(subject, kind):
        raise BadOption("address", subject, f"give {words}")
    return subject


def add_link(process: Process, subject: Subject) -> list[MessageEvent]:
    """Links `process` to `subject`. Raises as `link` does, and `NotAllowed` if the process has ended."""
    _require_other(process, subject)
    if is_a(subject, Event):
        return process.core.events.subscribe(process, subject, link=True)
    links = process.core.links
    links.link(process, subject)
    _hold(process, subject, links.unlink)
    return []


def add_monitor(process: Process, subject: Subject) -> list[MessageEvent]:
    """Makes `process` monitor `subject`. Raises as `add_link` does."""
    _require_other(process, subject)
    if is_a(subject, Event):
        return process.core.events.subscribe(process, subject, link=False)
    links = process.core.links
    links.monitor(process, subject)
    _hold(process, subject, links.demonitor)
    return []


def _require_other(process: Process, subject: Subject) -> None:
    """Raises an error unless the process is alive, and the subject exists and is not the process itself."""
    process.require_alive()
    if not is_a(subject, Event) and process.core.registry.find(subject) is process:
        raise NotAllowed(f"{process.id} cannot link to or monitor itself")


def _hold(process: Process, subject: PID | Alias | ProcessID | str, undo: Callable[[Process, Subject], bool]) -> None:
    """Undoes a link or monitor, and raises, if its subject ended before that existed, so that no signal came: memory
    allocated after the subject was found may have run a finalizer."""
    try:
        process.core.registry.find(subject)
    except HomingError:
        if undo(process, subject):
            raise


# --- methods of an actor ----------------------------------------------------------------------------------------


def link(self: Actor, subject: Subject) -> list[MessageEvent]:
    """Links this process to a PID, name, alias or event: when the subject ends, for whatever reason, this process gets
    an exit signal. One way, as in Ergo. For an event, returns the publications in its buffer.

    A subject of another node of the cluster also ends for this process when that node is down (`gen.NodeDown`,
    `gen.Superseded`), and at once if it does not exist there: the reason is then the error that a send would raise
    here, such as `gen.NameUnknown` (Erlang's `noproc`). The publications in the buffer of an event of another node come
    to `handle_event`, before all later ones; the list is empty.

    Raises `AlreadyLinked`, `NotAllowed` for this process itself, `NodeUnknown`, and the errors of an unknown or ended
    address of this node.
    """
    return add_link(self._here, subject)


def monitor(self: Actor, subject: Subject) -> list[MessageEvent]:
    """Monitors a PID, name, alias or event: when the subject ends, this process gets `gen.MessageDownPID` or the like.
    For an event, returns the publications in its buffer. Raises as `link` does."""
    return add_monitor(self._here, subject)


def unlink(self: Actor, subject: Subject) -> bool:
    """Removes a link. Returns False if there was none."""
    return self._here.core.links.unlink(self._here, subject)


def demonitor(self: Actor, subject: Subject) -> bool:
    """Removes a monitor. Returns False if there was none."""
    return self._here.core.links.demonitor(self._here, subject)


# --- the same for one kind of subject ------------------------------------------------------------------


def link_pid(self: Actor, subject: PID) -> None:
    """Like `link`, for a PID only: raises `BadOption` for any other subject."""
    self.link(check_address(subject, PID, "a PID"))


def link_name(self: Actor, subject: str | ProcessID) -> None:
    """Like `link`, for a registered name only: raises `BadOption` for any other subject."""
    self.link(check_address(subject, (str, ProcessID), "a registered name"))


def link_alias(self: Actor, subject: Alias) -> None:
    """Like `link`, for an Alias only: raises `BadOption` for any other subject."""
    self.link(check_address(subject, Alias, "an Alias"))


def link_event(self: Actor, subject: Event) -> list[MessageEvent]:
    """Like `link`, for an Event only: raises `BadOption` for any other subject."""
    return self.link(check_address(subject, Event, "an Event"))


def monitor_pid(self: Actor, subject: PID) -> None:
    """Like `monitor`, for a PID only: raises `BadOption` for any other subject."""
    self.monitor(check_address(subject, PID, "a PID"))


def monitor_name(self: Actor, subject: str | ProcessID) -> None:
    """Like `monitor`, for a registered name only: raises `BadOption` for any other subject."""
    self.monitor(check_address(subject, (str, ProcessID), "a registered name"))


def monitor_alias(self: Actor, subject: Alias) -> None:
    """Like `monitor`, for an Alias only: raises `BadOption` for any other subject."""
    self.monitor(check_address(subject, Alias, "an Alias"))


def monitor_event(self: Actor, subject: Event) -> list[MessageEvent]:
    """Like `monitor`, for an Event only: raises `BadOption` for any other subject."""
    return self.monitor(check_address(subject, Event, "an Event"))


def unlink_pid(self: Actor, subject: PID) -> bool:
    """Like `unlink`, for a PID only: raises `BadOption` for any other subject."""
    return self.unlink(check_address(subject, PID, "a PID"))


def unlink_name(self: Actor, subject: str | ProcessID) -> bool:
    """Like `unlink`, for a registered name only: raises `BadOption` for any other subject."""
    return self.unlink(check_address(subject, (str, ProcessID), "a registered name"))


def unlink_alias(self: Actor, subject: Alias) -> bool:
    """Like `unlink`, for an Alias only: raises `BadOption` for any other subject."""
    return self.unlink(check_address(subject, Alias, "an Alias"))


def unlink_event(self: Actor, subject: Event) -> bool:
    """Like `unlink`, for an Event only: raises `BadOption` for any other subject."""
    return self.unlink(check_address(subject, Event, "an Event"))


def demonitor_pid(self: Actor, subject: PID) -> bool:
    """Like `demonitor`, for a PID only: raises `BadOption` for any other subject."""
    return self.demonitor(check_address(subject, PID, "a PID"))


def demonitor_name(self: Actor, subject: str | ProcessID) -> bool:
    """Like `demonitor`, for a registered name only: raises `BadOption` for any other subject."""
    return self.demonitor(check_address(subject, (str, ProcessID), "a registered name"))


def demonitor_alias(self: Actor, subject: Alias) -> bool:
    """Like `demonitor`, for an Alias only: raises `BadOption` for any other subject."""
    return self.demonitor(check_address(subject, Alias, "an Alias"))


def demonitor_event(self: Actor, subject: Event) -> bool:
    """Like `demonitor`, for an Event only: raises `BadOption` for any other subject."""
    return self.demonitor(check_address(subject, Event, "an Event"))
