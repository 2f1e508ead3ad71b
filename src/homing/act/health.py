"""The health checks of an actor: a method of `Actor`, which names it in its class body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..node.health import TIMEOUT

if TYPE_CHECKING:
    from .actor import Actor


def health(self: Actor, name: str, ok: bool | None, *, timeout: float | None = TIMEOUT, reason: str = "") -> None:
    """Reports whether what this process depends on works, for readiness probes (`homing.observe`).

    The check fails when it was not reported again within `timeout`, or when this process has ended, until its successor
    reports it. Processes that use the same name have a check each.

    ok: None removes the check.
    timeout: seconds; None: the check stays until the next report.
    reason: why it is not ok; shown in the answer to a probe. At most 256 characters are kept.

    Raises `BadOption`, `NotAllowed` for more than 1000 checks on the node.

    >>> from homing import act
    >>> class Writer(act.Actor):
    ...     def init(self):
    ...         self.health("database", True, timeout=None)
    ...     def handle_message(self, sender, message):
    ...         self.health("database", False, timeout=None, reason="connection refused")
    """
    process = self._here
    process.core.health.report(process.id, name, ok, timeout, reason)
