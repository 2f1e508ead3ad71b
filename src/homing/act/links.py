"""Links and monitors, as methods of an actor: the grid of {link, monitor, unlink, demonitor} x {any, pid, name,
alias, event}."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ..gen import PID, Alias, BadOption, Event, MessageEvent, NotAllowed, ProcessID, Subject

if TYPE_CHECKING:
    from ..node.processes.process import Process

S = TypeVar("S")


def check_address(subject: S, kind: type | tuple[type, ...], words: str) -> S:
    """Gives `subject` back if it is of that kind. Raises `BadOption`."""
    if not isinstance(subject, kind):
        raise BadOption("address", subject, f"give {words}")
    return subject


class Relating:
    """What an actor can do to learn of the end of others."""

    _process: Process

    def link(self, subject: Subject) -> list[MessageEvent]:
        """Links this process to a PID, name, alias or event: when that ends, for whatever reason, this process gets an
        exit signal. One way, as in Ergo. For an event: gives what its buffer holds.

        Raises `AlreadyLinked`, `NotAllowed` for itself, and the errors of an address that leads nowhere.
        """
        return self._relate(subject, link=True)

    def monitor(self, subject: Subject) -> list[MessageEvent]:
        """Monitors a PID, name, alias or event: when that ends, this process gets `gen.MessageDownPID` or its kin.
        For an event: gives what its buffer holds. Raises as `link` does."""
        return self._relate(subject, link=False)

    def unlink(self, subject: Subject) -> bool:
        """Takes a link back. False if there was none."""
        return self._process.core.relations.unlink(self._process, subject)

    def demonitor(self, subject: Subject) -> bool:
        """Takes a monitor back. False if there was none."""
        return self._process.core.relations.demonitor(self._process, subject)

    def _relate(self, subject: Subject, *, link: bool) -> list[MessageEvent]:
        process, core = self._process, self._process.core
        process.require_alive()
        if isinstance(subject, Event):
            return core.events.subscribe(process, subject, link=link)
        if core.registry.find(subject) is process:
            raise NotAllowed(f"{process.id} cannot link to or monitor itself")
        (core.relations.link if link else core.relations.monitor)(process, subject)
        return []

    # --- the same for one kind of subject ------------------------------------------------------------------

    def link_pid(self, subject: PID) -> None:
        """As `link`, for a PID only: `BadOption` for anything else."""
        self.link(check_address(subject, PID, "a PID"))

    def link_name(self, subject: str | ProcessID) -> None:
        """As `link`, for a registered name only: `BadOption` for anything else."""
        self.link(check_address(subject, (str, ProcessID), "a registered name"))

    def link_alias(self, subject: Alias) -> None:
        """As `link`, for an Alias only: `BadOption` for anything else."""
        self.link(check_address(subject, Alias, "an Alias"))

    def link_event(self, subject: Event) -> list[MessageEvent]:
        """As `link`, for an Event only: `BadOption` for anything else."""
        return self.link(check_address(subject, Event, "an Event"))

    def monitor_pid(self, subject: PID) -> None:
        """As `monitor`, for a PID only: `BadOption` for anything else."""
        self.monitor(check_address(subject, PID, "a PID"))

    def monitor_name(self, subject: str | ProcessID) -> None:
        """As `monitor`, for a registered name only: `BadOption` for anything else."""
        self.monitor(check_address(subject, (str, ProcessID), "a registered name"))

    def monitor_alias(self, subject: Alias) -> None:
        """As `monitor`, for an Alias only: `BadOption` for anything else."""
        self.monitor(check_address(subject, Alias, "an Alias"))

    def monitor_event(self, subject: Event) -> list[MessageEvent]:
        """As `monitor`, for an Event only: `BadOption` for anything else."""
        return self.monitor(check_address(subject, Event, "an Event"))

    def unlink_pid(self, subject: PID) -> bool:
        """As `unlink`, for a PID only: `BadOption` for anything else."""
        return self.unlink(check_address(subject, PID, "a PID"))

    def unlink_name(self, subject: str | ProcessID) -> bool:
        """As `unlink`, for a registered name only: `BadOption` for anything else."""
        return self.unlink(check_address(subject, (str, ProcessID), "a registered name"))

    def unlink_alias(self, subject: Alias) -> bool:
        """As `unlink`, for an Alias only: `BadOption` for anything else."""
        return self.unlink(check_address(subject, Alias, "an Alias"))

    def unlink_event(self, subject: Event) -> bool:
        """As `unlink`, for an Event only: `BadOption` for anything else."""
        return self.unlink(check_address(subject, Event, "an Event"))

    def demonitor_pid(self, subject: PID) -> bool:
        """As `demonitor`, for a PID only: `BadOption` for anything else."""
        return self.demonitor(check_address(subject, PID, "a PID"))

    def demonitor_name(self, subject: str | ProcessID) -> bool:
        """As `demonitor`, for a registered name only: `BadOption` for anything else."""
        return self.demonitor(check_address(subject, (str, ProcessID), "a registered name"))

    def demonitor_alias(self, subject: Alias) -> bool:
        """As `demonitor`, for an Alias only: `BadOption` for anything else."""
        return self.demonitor(check_address(subject, Alias, "an Alias"))

    def demonitor_event(self, subject: Event) -> bool:
        """As `demonitor`, for an Event only: `BadOption` for anything else."""
        return self.demonitor(check_address(subject, Event, "an Event"))
