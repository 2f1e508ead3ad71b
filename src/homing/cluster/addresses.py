"""Addresses in frames: see `wire`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..gen import PID, Alias, ProcessID, Subject

if TYPE_CHECKING:
    from ..node.core import Core
    from .engine import Peer


def subject_out(subject: Subject) -> int | str:
    """Returns a subject of the receiving node as it stands in a frame: a number, negative for an alias, or a name."""
    if isinstance(subject, PID):
        return subject.id
    if isinstance(subject, Alias):
        return -subject.id
    return subject.name if isinstance(subject, ProcessID) else str(subject)


def subject_in(core: Core, subject: int | str) -> PID | Alias | str:
    """Returns the subject of this node that stands in a frame."""
    if isinstance(subject, str):
        return subject
    if subject < 0:
        return Alias(core.name, -subject, core.registry.creation)
    return PID(core.name, subject, core.registry.creation)


def pid_in(peer: Peer, number: int) -> PID:
    """Returns a PID of the sending node."""
    return PID(peer.name, number, peer.creation)
