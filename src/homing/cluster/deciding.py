"""Deciding: what a node has to do about a singleton or placement, from what it sees. One function, without state.

Rule 1: the owners are the first `copies` of the candidates by rendezvous hash. A draining node is no candidate. Each
    node that has declared it votes for those that are the owners in its view.
Rule 2: an owner without the votes of `quorum` nodes, its own included, does not run it.
Rule 3: a node that is no owner stops it. If enough of the owners run it already, that was a conflict, otherwise a move.
Rule 4: an owner starts it if fewer than `copies` other nodes run it: one that moves ends at its old node first.

All nodes that see the same have the same owners, so that each view has at most `copies` that run, once what was on its
way has arrived. Two halves of a divided network have two views: only a quorum of more than half keeps one from running.
It does so as well if two nodes do not see each other, but both see a third one: that one votes for one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from ..gen import PID
from .rendezvous import Candidate, owners


class Verdict(Enum):
    """Decisions."""

    RUN = "run"
    WAIT = "wait"
    """An owner, but enough others still run it."""
    STOP = "stop"
    CONFLICT = "conflict"
    """Stop, as enough owners run it: the network was divided."""
    NO_QUORUM = "no quorum"


@dataclass(frozen=True, slots=True)
class View:
    """A singleton or placement as one node sees it.

    voters: the nodes in view that have declared it, this one included. votes: those that vote for this node.
    candidates: those that may own it.
    running: the processes that stand for it, by node; those of this node are not looked at.
    """

    own: str
    voters: frozenset[str]
    candidates: tuple[Candidate, ...]
    running: Mapping[str, PID]
    votes: frozenset[str]

    def owners(self, name: str, copies: int, quorum: int) -> list[str]:
        """Returns the nodes that are to run it, the best first; none without a quorum."""
        if len(self.voters) < quorum:
            return []
        return [each.name for each in owners(name, self.candidates, copies)]


def decide(name: str, view: View, copies: int, quorum: int) -> tuple[Verdict, PID | None]:
    """Returns what the node has to do, and with `CONFLICT` the process that keeps the name."""
    if len(view.voters) < quorum:
        return Verdict.NO_QUORUM, None
    owning = view.owners(name, copies, quorum)
    others = [node for node in view.running if node != view.own]
    if view.own in owning:
        if len(view.votes) < quorum:
            return Verdict.NO_QUORUM, None
        return (Verdict.RUN if len(others) < copies else Verdict.WAIT), None
    keeping = [view.running[node] for node in owning if node in view.running]
    return (Verdict.CONFLICT, keeping[0]) if len(keeping) >= copies else (Verdict.STOP, None)
