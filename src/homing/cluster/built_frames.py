"""Frames of groups, of processes started on other nodes, and of the workers of pools: see `wire`."""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct


class Spawn(Struct, array_like=True, tag=16, frozen=True):
    """A request to start what is offered as `name`. args: kind and body of each. left: milliseconds that it may take.
    bound: it ends when the asker says so, or is down."""

    number: int
    name: str
    args: list[tuple[int, Raw]]
    left: int
    bound: bool = False


class Groups(Struct, array_like=True, tag=17, frozen=True):
    """Memberships of processes of the sending node in groups. kind: 0: a change; 1: a part of all; 2: the last part."""

    kind: int
    joined: list[tuple[str, list[int]]]
    left: list[tuple[str, list[int]]]


class Spawned(Struct, array_like=True, tag=50, frozen=True):
    """The answer to a `Spawn`. error: None if the process `id` has started."""

    number: int
    id: int
    error: Any = None


class SpawnOver(Struct, array_like=True, tag=51, frozen=True, gc=False):
    """The asker knows of what was started (keep), or does not want it any more. number: of the `Spawn`; of a bound
    process that is to end behind its messages, its own number, negative."""

    number: int
    keep: bool


class Mark(Struct, array_like=True, tag=52, frozen=True, gc=False):
    """So many messages were sent to a worker of a pool. Answered by `Handled` when it has taken them."""

    worker: int
    count: int


class Handled(Struct, array_like=True, tag=53, frozen=True, gc=False):
    """A worker has taken so many messages of a pool."""

    worker: int
    count: int


class WorkerGone(Struct, array_like=True, tag=54, frozen=True):
    """A worker of a pool has ended."""

    worker: int
    reason: Any


BUILT = Spawn | Groups | Spawned | SpawnOver | Mark | Handled | WorkerGone
"""The frames of what is built on links."""
