"""The differences between the settings in force and those of a changed file."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields, is_dataclass
from typing import Any, NamedTuple

from ...gen.foreign import safe_repr, same
from ...observe.records import ChangeRecord
from .build import HIDDEN, is_secret, key_text
from .lines import Path
from .settings import Settings

NOT_SET = "not set"


class Change(NamedTuple):
    """A key whose value has changed. old, new: the values, as text; those of secrets are not shown."""

    key: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.key}: {self.old} -> {self.new}" if self.old or self.new else f"{self.key} has changed"

    def as_record(self) -> ChangeRecord:
        """Returns a dict that JSON can hold."""
        return {"key": self.key, "old": self.old, "new": self.new}


def change_of(path: Path, old: object, new: object) -> Change:
    """Returns a change of a value; None: there is no value."""
    return Change(key_text(path), _text(path, old), _text(path, new))


def option_changes(before: Settings, now: Settings) -> Iterator[Change]:
    """Yields the changes of options of the command and of the node, and of the environment."""
    names = [each.name for each in fields(before.options) if each.name not in ("config", "env")]
    old = {name: getattr(before.options, name) for name in names}
    yield from _differences((), old, {name: getattr(now.options, name) for name in names})
    yield from _differences((), {"target": before.target}, {"target": now.target})
    yield from _differences(("env",), before.environment(), now.environment())
    yield from _differences(("node",), _node(before), _node(now))
    yield from _differences(("cluster",), before.cluster_fields(), now.cluster_fields())


def _node(settings: Settings) -> dict[str, Any]:
    options = settings.node_options()
    names = [each.name for each in fields(options) if each.name not in ("env", "stop_timeout", "config")]
    return {name: getattr(options, name) for name in names}


def _differences(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for name in dict.fromkeys((*old, *new)):
        if not same(old.get(name), new.get(name)):
            yield change_of((*path, name), old.get(name), new.get(name))


def _text(path: Path, value: object) -> str:
    if value is None or value == "":
        return NOT_SET
    if is_secret(path, value):
        return HIDDEN
    if is_dataclass(value) and not isinstance(value, type):
        given = {each.name: getattr(value, each.name) for each in fields(value) if not _is_default(each, value)}
        return f"{{ {', '.join(f'{name} = {safe_repr(inner)}' for name, inner in given.items())} }}"
    return safe_repr(value.value if isinstance(value, enum.Enum) else value)


def _is_default(each: Field[Any], value: object) -> bool:
    return same(getattr(value, each.name), each.default)
