"""The names, aliases and events of an actor.

Each function here is a method of `Actor`, which names it in its class body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..gen import Alias, EventOptions, Ref

if TYPE_CHECKING:
    from .actor import Actor


def register_name(self: Actor, name: str) -> None:
    """Registers this process under `name`. Raises `NameTaken`, `NotAllowed` if it has a name, `BadOption`."""
    self._here.require_alive()
    self._process.core.registry.register_name(name, self._process)


def unregister_name(self: Actor) -> None:
    """Gives the name up. Who links to it or monitors it is told `Unregistered`."""
    self._here.unregister_name()


def create_alias(self: Actor) -> Alias:
    """Gives this process one more address."""
    return self._here.create_alias()


def delete_alias(self: Actor, alias: Alias) -> None:
    """Takes an alias back. Who links to it or monitors it is told `Unregistered`. Raises `NotAllowed`."""
    self._here.delete_alias(alias)


# --- events -----------------------------------------------------------------------------------------------


def register_event(self: Actor, name: str, options: EventOptions | None = None) -> Ref:
    """Registers an event and gives the token that `send_event` takes. Whoever has the token may publish.

    Raises `EventTaken`, `BadOption`.
    """
    self._here.require_alive()
    return self._here.core.events.register(self._process, name, EventOptions() if options is None else options)


def unregister_event(self: Actor, name: str) -> None:
    """Takes the event back. Who links to it or monitors it is told `Unregistered`. Raises `EventUnknown`."""
    self._here.core.events.unregister(self._process, name)


def send_event(self: Actor, name: str, token: Ref, message: Any) -> int:
    """Publishes `message` to all who are linked to the event or monitor it; each gets it once, in `handle_event`.

    Gives the number of mailboxes reached; full ones are counted (`NodeInfo.event_failures`).
    Raises `EventUnknown`, and `BadOption` for a wrong token.
    """
    reached = self._here.core.events.send(name, token, message)
    self._process.messages_out += reached
    return reached
