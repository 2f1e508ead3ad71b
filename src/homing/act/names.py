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
    """Unregisters the name. Links to it and monitors of it are notified with `Unregistered`."""
    self._here.unregister_name()


def create_alias(self: Actor) -> Alias:
    """Creates and returns one more address of this process."""
    return self._here.create_alias()


def delete_alias(self: Actor, alias: Alias) -> None:
    """Removes an alias. Links to it and monitors of it are notified with `Unregistered`. Raises `NotAllowed`."""
    self._here.delete_alias(alias)


# --- events -----------------------------------------------------------------------------------------------


def register_event(self: Actor, name: str, options: EventOptions | None = None) -> Ref:
    """Registers an event and returns the token that `send_event` takes. Any process that has the token may publish.

    Raises `EventTaken`, `BadOption`.
    """
    self._here.require_alive()
    return self._here.core.events.register(self._process, name, EventOptions() if options is None else options)


def unregister_event(self: Actor, name: str) -> None:
    """Unregisters the event. Links to it and monitors of it get `Unregistered`. Raises `EventUnknown`."""
    self._here.core.events.unregister(self._process, name)


def send_event(self: Actor, name: str, token: Ref, message: Any) -> int:
    """Publishes `message` to the processes that link to the event or monitor it, once each, in `handle_event`.

    Returns the number of mailboxes reached; full ones are counted (`NodeInfo.event_failures`). With more than 64
    subscribers, the rest receive it between the turns of processes and are counted as reached. This process's later
    messages to a subscriber arrive after it, and its own next message is handled once all subscribers have it.
    Raises `EventUnknown`, and `BadOption` for a wrong token.
    """
    reached = self._here.core.events.send(self._process, name, token, message)
    self._process.messages_out += reached
    return reached
