"""Configuration: values that a program gets from outside, such as a file, for itself and for its UDP servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from .errors import BadOption
from .foreign import class_name, is_instance

T = TypeVar("T")


class Configuration:
    """The configuration of a node: `gen.NodeOptions(config=)`. `homing run --config` makes one from a file; this one is
    made by the program, for its tests for example.

    sections: objects that `Actor.config`, `Node.config` and `Service.config` return, by the name of their section; ""
        is the whole of `[app]`.
    servers: options of UDP servers, by `UDPServerOptions.name`; they replace those that the program gives.

    Raises `BadOption`.
    """

    def __init__(
        self,
        *,
        sections: Mapping[str, object] | None = None,
        servers: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        for option, value in (("sections", sections), ("servers", servers)):
            if value is not None and not is_instance(value, Mapping):
                raise BadOption(option, value, "give a mapping of names")
        self._sections = dict(sections or {})
        self._servers = {name: dict(options) for name, options in (servers or {}).items()}

    def section(self, kind: type[T], name: str) -> T:
        """Returns the object of a section, of class `kind`; if there is no such section, `kind()`.

        Raises `BadOption` if the section is of another class, or has no values and `kind` needs some.
        """
        option = f"config[{name!r}]"
        if name in self._sections:
            found = self._sections[name]
            if not is_instance(found, kind):
                raise BadOption(option, found, f"the program asks for a {kind.__name__}, not a {class_name(found)}")
            return found
        try:
            return kind()
        except TypeError as error:
            raise BadOption(option, None, f"there is no such section, and {error}") from None

    def server(self, name: str) -> Mapping[str, Any]:
        """Returns the options of the UDP server of that name, as fields of `meta.UDPServerOptions`; without a section,
        none."""
        return self._servers.get(name, {})
