"""Processes that are linked to others, monitor them, publish and subscribe."""

from __future__ import annotations

from typing import Any

from homing import act, gen

from .nodes import Member, behavior_of


class Watcher(act.Actor):
    """Keeps all that it gets, in order: messages, notices, exit signals and publications."""

    trap_exit = True

    def init(self) -> None:
        self.got: list[Any] = []

    def handle_message(self, sender: Any, message: Any) -> None:
        self.got.append(message)

    def handle_event(self, event: gen.MessageEvent) -> None:
        self.got.append(event.message)

    def handle_inspect(self, sender: Any, *items: str) -> Any:
        return {"items": ",".join(items)}


class Linked(Watcher):
    """Ends by the signals of its links."""

    trap_exit = False


class Publisher(Watcher):
    """Publishes "news", and raises the exceptions that it is sent."""

    def init(self, options: gen.EventOptions | None = None) -> None:
        super().init()
        self.token = self.register_event("news", options or gen.EventOptions())

    def publish(self, message: Any) -> int:
        return self.send_event("news", self.token, message)

    def handle_message(self, sender: Any, message: Any) -> None:
        if isinstance(message, Exception):
            raise message
        super().handle_message(sender, message)


async def process(member: Member, kind: type[act.Actor] = Watcher, *args: Any, **how: Any) -> Any:
    """Starts a process on that node and returns its behavior."""
    pid = await member.node.spawn(kind, *args, **how)
    return behavior_of(member.node, pid)


def news(member: Member) -> gen.Event:
    return gen.Event("news", member.node.name)


def relations_left(member: Member) -> tuple[int, ...]:
    """Counts all links, monitors and watches that a node has, in all its tables."""
    links, relations = member.node._core.links, member.cluster.relations
    sides = (*relations._watching.values(), *relations._consumers.values())
    kept = sum(len(one._ended) for one in relations._watching.values())
    return len(links._links), len(links._monitors), len(links._ends), sum(map(len, sides)), kept


NONE_LEFT = (0, 0, 0, 0, 0)


def reasons(process: Watcher, kind: type) -> list[Exception]:
    """The reasons in the notices of a class that a process has got."""
    return [message.reason for message in process.got if isinstance(message, kind)]
