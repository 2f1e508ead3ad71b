"""The checks that a program reports: whether what it depends on works.

A check belongs to the process that reports it. Processes may use the same name, such as the workers of a pool; each
then has a check of its own. All is judged when somebody asks, so that the end of a process costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..gen import PID, BadOption, HealthCheck, NotAllowed, ProcessState
from ..gen.foreign import is_instance, safe_str
from ..gen.options import check_name, check_seconds

if TYPE_CHECKING:
    from .core import Core
    from .node import Node

MOST_CHECKS = 1000
"""Most checks of one node. A program has a few for each process that waits for another system."""

LONGEST_REASON = 256
"""Most characters of a reason. Longer reasons are cut: they are shown in tables, and sent to every prober."""

TIMEOUT = 10.0
"""Seconds for which a report is valid, unless the program says otherwise."""


@dataclass(slots=True)
class _Report:
    ok: bool
    reason: str
    at: float
    timeout: float | None


class Health:
    """The checks of one node."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._reports: dict[tuple[str, PID], _Report] = {}

    def report(self, owner: PID, name: str, ok: bool | None, timeout: float | None, reason: str) -> None:
        """See `Node.health`. owner: the process that reports it, or the node's own address.

        The first report of an owner replaces that of one that has ended, so that a restarted process need only report
        again.
        """
        check_report(name, ok, timeout, reason)
        name, reason = safe_str(name), safe_str(reason)[:LONGEST_REASON]  # of any class, whose methods may raise later
        key = (name, owner)
        if ok is None:
            self._reports.pop(key, None)
            return
        if key not in self._reports:
            self._forget_one_ended(name)
            if len(self._reports) >= MOST_CHECKS:
                raise NotAllowed(f"the node has {MOST_CHECKS} health checks already; use fewer names")
        self._reports[key] = _Report(bool(ok), reason, self._core.loop.time(), timeout)

    def checks(self) -> list[HealthCheck]:
        """Returns all checks, in the order of their first reports."""
        now = self._core.loop.time()
        return [self._judge(name, owner, report, now) for (name, owner), report in self._reports.items()]

    def _judge(self, name: str, owner: PID, report: _Report, now: float) -> HealthCheck:
        age = max(0.0, now - report.at)
        ok, reason = report.ok, report.reason
        if self._ended(owner):
            ok, reason = False, f"{owner}, which reported it, has ended"
        elif report.timeout is not None and age > report.timeout:
            ok, reason = False, f"not reported for {age:.1f} s, longer than its timeout of {report.timeout:g} s"
        return HealthCheck(name=name, ok=ok, reason=reason, owner=owner, age=age, timeout=report.timeout)

    def _ended(self, owner: PID) -> bool:
        process = self._core.processes.get(owner)
        if process is None:
            return owner != self._core.pid
        return process.state in (ProcessState.ZOMBIE, ProcessState.TERMINATED)

    def _forget_one_ended(self, name: str) -> None:
        for key in self._reports:
            if key[0] == name and self._ended(key[1]):
                del self._reports[key]
                return


def check_report(name: object, ok: object, timeout: object, reason: object) -> None:
    """Raises `BadOption` unless these can be the arguments of `Node.health`."""
    check_name("name", name)
    if not (ok is None or is_instance(ok, bool)):
        raise BadOption("ok", ok, "give True, False, or None to remove the check")
    if timeout is not None:
        check_seconds("timeout", timeout)
    if not is_instance(reason, str):
        raise BadOption("reason", reason, "give a text")


# --- methods of `Node` ----------------------------------------------------------------------------------------


def health(self: Node, name: str, ok: bool | None, *, timeout: float | None = TIMEOUT, reason: str = "") -> None:
    """Reports whether what the program depends on works, for readiness probes (`homing.observe`).

    ok: None removes the check.
    timeout: seconds until the check fails unless it is reported again. None: it stays until the next report.
    reason: why it is not ok; shown in the answer to a probe. At most 256 characters are kept.

    In an actor, `self.health` does the same: the check then also fails when the actor has ended, until it, or its
    successor, reports again. Raises `BadOption`, `NotAllowed` for more than 1000 checks.
    """
    core = self._here
    core.health.report(core.pid, name, ok, timeout, reason)


def health_checks(self: Node) -> list[HealthCheck]:
    """Returns what the program has reported with `health`, here, in actors and in a `Service`."""
    return self._here.health.checks()
