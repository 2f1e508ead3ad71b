"""The options of `homing run` from all places: command line, environment, file, defaults. The first wins."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ...gen import BadConfiguration, BadOption, NodeOptions
from ...observe.observer import REQUESTS, Request
from ...observe.refusals import RequestRefused
from ..run_options import CLUSTER, RunOptions
from .variables import is_ours

if TYPE_CHECKING:
    from ...node import Node
    from .reload import Reloader
    from .source import Loaded


@dataclass(frozen=True, slots=True)
class Settings:
    """All options of one run.

    options: in force. loaded: the values of the file and the environment; None if neither has any.
    command, given: the options of the command line, and the names of those that were given there.
    """

    options: RunOptions
    loaded: Loaded | None
    command: RunOptions
    given: frozenset[str]

    def again(self) -> Settings:
        """Returns the settings as they would be if the program was started now. Raises `BadConfiguration`."""
        file = Path(self.command.config)
        if self.command.config and file.exists() and not (file.is_file() or file.is_dir()):
            raise BadConfiguration((f"{file}: it can be read only once, as it is no regular file",))
        return read_settings(self.command, self.given)

    @property
    def target(self) -> str:
        """The target in the file; "" if it has none."""
        return "" if self.loaded is None else self.loaded.run.get("target", "")

    def unused(self) -> Iterator[str]:
        """Yields a line for each UDP server in the file that the program has not made so far."""
        return iter(()) if self.loaded is None else self.loaded.configuration.unused()

    def gives(self, option: str) -> bool:
        """Returns True if an option of the command is given anywhere; otherwise it has its default."""
        return option in self.given or (self.loaded is not None and option in self.loaded.run)

    def located(self, error: BadOption) -> str:
        """Returns the text of an option that is refused, after the place where it is given."""
        if self.loaded is not None and error.option.startswith("cluster."):
            return f"{self.loaded.configuration.where(('cluster', error.option[8:]))}: {error}"
        if error.option in self.given and getattr(self.command, error.option) == error.value:
            error = BadOption(f"--{error.option.replace('_', '-')}", error.value, error.why)
        is_given = self.loaded is not None and error.option in self.loaded.run and error.option not in self.given
        where = self.loaded.configuration.where((error.option,)) if self.loaded is not None and is_given else ""
        return ": ".join(filter(None, (where, str(error))))

    def environment(self) -> dict[str, str]:
        """Returns the environment of processes. Raises `BadOption` if one is not KEY=VALUE."""
        return dict(map(_key_and_value, self.options.env))

    def node_options(self) -> NodeOptions:
        """Returns the options of the node. Raises `BadOption`."""
        own: dict[str, Any] = {"env": self.environment(), "stop_timeout": self.options.stop_timeout}
        if self.loaded is None:
            return NodeOptions(**own)
        return NodeOptions(**self.loaded.node, **own, config=self.loaded.configuration)

    def cluster_fields(self) -> dict[str, Any]:
        """Returns the fields of `gen.ClusterOptions` that are given anywhere."""
        found = {} if self.loaded is None else dict(self.loaded.cluster)
        for option, field in CLUSTER.items():
            if option in self.given:
                value = getattr(self.command, option)
                found[field] = tuple(value) if isinstance(value, list) else str(value) if field == "trust" else value
        return found


def read_settings(command: RunOptions, given: frozenset[str]) -> Settings:
    """Returns the settings for a command line. Raises `BadConfiguration`."""
    if not command.config and not any(map(is_ours, os.environ)):
        return Settings(command, None, command, given)
    from .source import load

    loaded = load(command.config)
    more = {name: value for name, value in loaded.run.items() if name not in given and name != "target"}
    env = [f"{key}={value}" for key, value in loaded.env.items()]
    return Settings(replace(command, **more, env=[*env, *command.env]), loaded, command, given)


def make_reloader(node: Node, settings: Settings) -> Reloader | None:
    """Returns the object that reads the file of a running node again, on SIGHUP and on the request `reload`; None if
    there is no file. To be called before observers of the node are made: they learn the request."""
    reloader = None
    if settings.command.config:
        from .reload import Reloader

        reloader = Reloader(node, settings)
    handler = _no_file if reloader is None else reloader.reload
    REQUESTS["reload"] = Request(lambda *_: handler(), changes=True)
    return reloader


async def _no_file() -> NoReturn:
    raise RequestRefused("failed", "the program was started without --config: there is no file to read again")


def pass_reloads_on() -> None:
    """Lets an observer of several nodes, which is made next, pass the request `reload` on to these."""
    REQUESTS["reload"] = Request(lambda *_: _no_file(), changes=True)


def _key_and_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise BadOption("--env", text, f"{text!r} is not KEY=VALUE")
    return key, value
