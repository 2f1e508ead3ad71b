"""The configuration, as an actor reads it. The function is a method of `Actor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from .actor import Actor

T = TypeVar("T")


def config(self: Actor, kind: type[T], section: str = "", *, notify: bool = False) -> T:
    """Returns the program's own values in the configuration: the table `[app]` of the file given to `homing run
    --config`, and environment variables such as HOMING_APP__PORT. Without a configuration, `kind()`.

    kind: class of the values: a dataclass, or a `msgspec.Struct`.
    section: "database" for the table `[app.database]`. "": `[app]` itself.
    notify: send this process a `gen.MessageConfig` when the section changes: after SIGHUP, or `homing reload`.

    Raises `gen.BadConfiguration` if the values do not fit `kind`, with file, line, and what to write; `BadOption`.
    """
    configuration = self._here.core.configuration
    values = configuration.get(kind, section)
    if notify:
        configuration.subscribe(self._process, kind, section)
    return values
