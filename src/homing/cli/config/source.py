"""Reads the file and the environment into values, all of them checked."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, partial
from typing import Any, TypeVar, cast

from ...act import Actor
from ...gen import BadConfiguration, BadOption, ClusterOptions, Configuration, NodeOptions
from ...gen.options import check_seconds
from ...meta import UDPServerOptions
from ...node.start import check_node_name
from ...observe.http.options import parse_address
from .build import EnvironmentText, Problems, alike, build, build_members, key_text, parsed, refused_by
from .cluster_variables import path_of, value_of
from .lines import Path, lines_of
from .schema import TABLES, cluster_members, node_members, run_members, server_members
from .variables import PREFIX, is_ours

T = TypeVar("T")

LARGEST_FILE = 1 << 20
"""Most bytes of a file. The longest example has 20,000."""

_AT = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)")

_CHECKS: dict[str, Callable[[Any], object]] = {
    "name": check_node_name,
    "http": parse_address,
    "spin": partial(check_seconds, "spin", zero=True),
    "stop_timeout": partial(check_seconds, "stop_timeout", zero=True),
}
"""Options of `homing run` that are checked otherwise only when they are used."""

_NEEDS = {"path_mode": "path", "reuse_port_steering": "reuse_port"}
"""Options that are valid only beside another one, which the program may give."""


class Places:
    """The places of keys: called with a path, it returns "app.toml, line 3", or the environment variable."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.variables: dict[Path, str] = {}
        self._text = text

    def __call__(self, path: Path) -> str:
        for known in (path[:end] for end in range(len(path), 0, -1)):
            if known in self._lines and known not in self.variables:
                return f"{self.file}, line {self._lines[known]}"
            inside = (name for each, name in self.variables.items() if each[: len(known)] == known)
            if variable := self.variables.get(known) or next(inside, ""):
                return f"environment variable {variable}"
        return self.file

    def known(self) -> list[Path]:
        """Returns all paths that have a place."""
        return [*self.variables, *self._lines]

    @cached_property
    def _lines(self) -> dict[Path, int]:
        return lines_of(self._text)


class FileConfiguration(Configuration):
    """The sections and servers of a file and of the environment. names: of the servers in the file, by their normal
    form."""

    def __init__(self, app: Mapping[str, Any], servers: dict[str, dict[str, Any]], where: Places) -> None:
        super().__init__(servers=servers)
        self.app = app
        self.where = where
        self.names: dict[str, str] = {}
        self._used: set[str] = set()
        self._made: dict[tuple[int, str], tuple[type, Any]] = {}

    def section(self, kind: type[T], name: str) -> T:
        made = self._made.get((id(kind), name))
        if made is None:
            made = self._made[id(kind), name] = kind, self._make(kind, name)
        return cast(T, made[1])

    def _make(self, kind: type, name: str) -> Any:
        path = ("app", *filter(None, name.split(".")))
        value: Any = self.app
        for key in path[1:]:
            value = value.get(key, {}) if isinstance(value, Mapping) else {}
        problems = Problems(self.where)
        if not isinstance(value, (Mapping, EnvironmentText)):
            problems.no_table(path, value)
        made = build(value, kind, path, problems)
        if problems.found:
            raise BadConfiguration(tuple(problems.found))
        return made

    def server(self, name: str) -> Mapping[str, Any]:
        self._used.add(name)
        return super().server(normal(name))

    def place_of(self, name: str, option: str) -> str:
        """Returns the place of an option of the server of that name."""
        return next((self.where(path) for path in self.where.known() if _is_of(path, name, option)), self.where.file)

    def unused(self) -> Iterator[str]:
        """Yields a line for each server that the program has not made so far."""
        made = {normal(name) for name in self._used}
        for form, name in self.names.items():
            if form not in made:
                path = ("servers", name)
                hint = alike(name, dict.fromkeys(self._used))
                yield f"{self.where(path)}: {key_text(path)}: the program has made no such UDP server{hint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The values of a file and of the environment.

    file: the path of the file; "" if there is none.
    run: options of `homing run` that were given, and `target`. env: the environment of processes. node: options of the
        node. cluster: fields of `gen.ClusterOptions`. configuration: servers and sections.
    warnings: lines about environment variables that look misspelled.
    """

    file: str
    run: dict[str, Any]
    env: dict[str, str]
    node: dict[str, Any]
    cluster: dict[str, Any]
    configuration: FileConfiguration
    warnings: tuple[str, ...] = ()


def normal(name: str) -> str:
    """Returns the name of a server as names are compared: "dns.Answer" is "dns_answer", because the name of an
    environment variable cannot have a dot."""
    return re.sub(r"\W", "_", name).lower()


def _is_of(path: Path, name: str, option: str) -> bool:
    return len(path) == 3 and path[0] == "servers" and normal(str(path[1])) == normal(name) and path[2] == option


def load(file: str, environment: Mapping[str, str] = os.environ) -> Loaded:
    """Returns what `file` ("": none) and the environment say. Raises `BadConfiguration` with all that is wrong."""
    text = _read(file) if file else ""
    tree = _parse(text, file)
    places = Places(file, text)
    problems = Problems(places)
    warnings = tuple(_add_environment(tree, environment, places))
    options = _options(tree, problems)
    loaded = Loaded(file=file, warnings=warnings, configuration=_parts(tree, places, problems), **options)
    if problems.found:
        raise BadConfiguration(tuple(problems.found))
    return loaded


# --- the file -----------------------------------------------------------------------------------------------


def _read(file: str) -> str:
    try:
        with open(file, "rb") as opened:
            data = opened.read(LARGEST_FILE + 1)
        text = data.decode("utf-8-sig")  # Windows puts a byte order mark at the beginning
    except OSError as error:
        raise BadConfiguration((f"{file}: it cannot be read: {error.strerror or error}",)) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadConfiguration((f"{file}, line {line}: it is not UTF-8",)) from None
    if len(data) > LARGEST_FILE:
        raise BadConfiguration((f"{file}: it has more than {LARGEST_FILE:,} bytes",))
    return text


def _parse(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = _AT.fullmatch(str(error))
        line = found[2] if found and found[2] else str(text.count("\n") + 1)
        raise BadConfiguration((f"{file}, line {line}: it is not TOML: {found[1] if found else error}",)) from None


# --- the environment ----------------------------------------------------------------------------------------


def _add_environment(tree: dict[str, Any], environment: Mapping[str, str], places: Places) -> Iterator[str]:
    """Puts the values of the environment into the tree of the file. Yields warnings."""
    known = {*run_members(), *TABLES}
    for variable in sorted(filter(is_ours, environment)):
        first, *rest = variable.removeprefix(PREFIX).split("__")
        path = [first.lower(), *(rest if first.lower() == "env" else map(str.lower, rest))]
        path = path_of(path, environment[variable])
        if path[0] in known and all(path):
            value = EnvironmentText(value_of(path, environment[variable]))
            places.variables[_put(tree, path, value)] = variable
            continue
        similar = get_close_matches(path[0], known, 1, cutoff=0.75)
        if similar:  # others may use the prefix as well, such as Kubernetes for a service named homing
            yield f"environment variable {variable} is not used; did you mean {PREFIX}{similar[0].upper()}?"


def _put(tree: dict[str, Any], path: list[str], value: EnvironmentText) -> Path:
    """Puts a value into the tree, and returns its path there."""
    place, keys = tree, []
    for depth, name in enumerate(path):
        keys.append(_same_key(place, name, depth == 1 and path[0] == "servers"))
        if depth < len(path) - 1:
            if not isinstance(place.get(keys[-1]), dict):
                place[keys[-1]] = {}
            place = place[keys[-1]]
    place[keys[-1]] = value
    return tuple(keys)


def _same_key(place: Mapping[str, Any], name: str, is_server: bool) -> str:
    """Returns the key of the file that an environment variable names."""
    form: Callable[[str], str] = normal if is_server else str.lower
    return next((key for key in place if form(key) == form(name)), name)


# --- the values ---------------------------------------------------------------------------------------------


def _options(tree: Mapping[str, Any], problems: Problems) -> dict[str, dict[str, Any]]:
    """Returns the options of the command and of the node, and the environment of processes."""
    top = {key: value for key, value in tree.items() if key not in TABLES}
    run = build_members(top, run_members(), (), problems, {**run_members(), **dict.fromkeys(TABLES)})
    for name, check in _CHECKS.items():
        if run.get(name):
            try:
                check(run[name])
            except BadOption as error:
                problems.refused((), error)
    node = build_members(_table(tree, "node", problems), node_members(), ("node",), problems)
    refused_by(NodeOptions, dict(node), ("node",), problems)
    cluster = build_members(_table(tree, "cluster", problems), cluster_members(), ("cluster",), problems)
    if cluster.get("name") == "":
        del cluster["name"]  # none is joined
    refused_by(lambda **given: ClusterOptions(**{"name": "any", **given}), dict(cluster), ("cluster",), problems)
    env = build(_table(tree, "env", problems), dict[str, str], ("env",), problems)
    for key in env:
        if not key or "=" in key:
            problems.add(("env", key), "a name of a variable is not empty, and has no =")
    return {"run": run, "node": node, "cluster": cluster, "env": env or {}}


def _parts(tree: Mapping[str, Any], places: Places, problems: Problems) -> FileConfiguration:
    """Returns the options of servers, and the sections."""
    servers: dict[str, dict[str, Any]] = {}
    names: dict[str, str] = {}
    for name, value in _table(tree, "servers", problems).items():
        path = ("servers", name)
        value = _table_in(value)
        if normal(name) in servers:
            problems.add(path, "another table is for a server of this name: names are compared without case, . and -")
        if not isinstance(value, Mapping):
            problems.no_table(path, value)
            continue
        names[normal(name)] = name
        servers[normal(name)] = build_members(value, server_members(), path, problems)
        _check_server(servers[normal(name)], path, problems)
    made = FileConfiguration(_table(tree, "app", problems), servers, places)
    made.names = names
    return made


def _table(tree: Mapping[str, Any], name: str, problems: Problems) -> Mapping[str, Any]:
    value = _table_in(tree.get(name, {}))
    if not isinstance(value, Mapping):
        problems.no_table((name,), value)
        return {}
    return value


def _table_in(value: Any) -> Any:
    """Returns the table in the text of an environment variable; any other value as it is."""
    return parsed(value, dict) if isinstance(value, EnvironmentText) else value


class _AnyWorker(Actor):
    """A worker, for the check of options that need one, which the program gives."""


def _check_server(options: Mapping[str, Any], path: Path, problems: Problems) -> None:
    """Checks the options as far as that is possible without those that the program gives."""
    alone = {name: value for name, value in options.items() if _NEEDS.get(name, name) in options}
    if alone.keys() & {"workers", "route", "worker_options"}:
        alone["worker"] = _AnyWorker
    refused_by(UDPServerOptions, alone, path, problems)
