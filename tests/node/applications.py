"""What the tests of applications share: one that notes what happens to it, and members that do what they are told."""

from __future__ import annotations

import asyncio
from typing import Any

from homing import gen

from .actors import Doer

MODES = list(gen.ApplicationMode)
TEMPORARY, TRANSIENT, PERMANENT = MODES


class Member(Doer):
    """Notes its start and its end by its name; runs the functions it is sent."""

    def init(self, notes: list[Any]) -> None:  # type: ignore[override]
        self.notes = notes
        notes.append(("init", self.name))

    def terminate(self, reason: Exception) -> None:
        self.notes.append(("terminate", self.name))


class Broken(Member):
    """Cannot be started."""

    def init(self, notes: list[Any]) -> None:
        raise ValueError("broken")


class Stubborn(Member):
    """Ends only when its cancellation comes."""

    async def terminate(self, reason: Exception) -> None:  # type: ignore[override]
        await asyncio.Event().wait()


class Noted(gen.Application):
    """An application whose members are named; it notes its callbacks."""

    def __init__(self, name: str = "app", members: Any = ("a", "b", "c"), **spec: Any) -> None:
        self.notes: list[Any] = spec.pop("notes", [])
        made = [
            member
            if isinstance(member, gen.ApplicationMember)
            else gen.ApplicationMember(behavior=Member, args=(self.notes,), name=member)
            for member in members
        ]
        self.spec = gen.ApplicationSpec(name=name, members=tuple(made), **spec)

    def load(self, node: Any, *args: Any) -> gen.ApplicationSpec:
        return self.spec

    def start(self, mode: gen.ApplicationMode) -> None:
        self.notes.append(("start", mode))

    def terminate(self, reason: Exception) -> None:
        self.notes.append(("end", type(reason)))


def member(behavior: type[gen.ProcessBehavior], name: str, *args: Any, **options: Any) -> gen.ApplicationMember:
    return gen.ApplicationMember(behavior=behavior, args=args, name=name, options=gen.ProcessOptions(**options))
