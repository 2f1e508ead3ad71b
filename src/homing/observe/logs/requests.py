"""The requests about the log: the stream `logs`, and `log_level`, which changes the node."""

from __future__ import annotations

import difflib
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from ...gen import PID, Alias
from ...gen.foreign import safe_repr
from ...node.logs.levels import NAMES
from ..fields import TARGET, Field
from ..refusals import RequestRefused
from ..targets import find
from .records import LevelChange, LogRecord, Suppressed
from .ring import MOST_KEPT, Wanted, ring_of

if TYPE_CHECKING:
    from ..observer import Observer

DEFAULT = "default"
"""The level of a process without one of its own, and of a logger: that of the logger above it."""

FIELDS = {
    "level": Field(kind="choice", choices=tuple(NAMES), default="debug", text="Lowest level."),
    "target": Field(kind="text", default="", text=f"Only records of this process or meta-process. {TARGET.text}"),
    "last": Field(kind="integer", default=50, low=0, high=MOST_KEPT, text="Most records of the past."),
    "follow": Field(kind="flag", default=False, text="Go on with new records, without end."),
}
LEVEL_FIELDS = {
    "level": Field(
        kind="choice",
        choices=(*NAMES, DEFAULT),
        required=True,
        text="Lowest level that is logged. default: no level of its own any more.",
    ),
    "target": Field(kind="text", default="", text=f"The process or meta-process. {TARGET.text}"),
    "module": Field(kind="text", default="", text="The logger, mostly named like a module."),
}


async def logs(observer: Observer, query: dict[str, Any]) -> AsyncGenerator[LogRecord | Suppressed, None]:
    """Yields the last records, and then new ones if they are to be followed."""
    ring, wanted = ring_of(observer.node), _wanted(NAMES[query["level"]], query["target"])
    if query["target"] and not ring.last(1, wanted):
        find(observer.node, query["target"])  # refuses what is neither in the log nor alive
    if not query["follow"]:
        for facts in ring.last(query["last"], wanted):
            yield facts
        return
    with ring.stream(query["last"], wanted) as stream:
        async with aclosing(stream.items()) as items:
            async for item in items:
                yield item


def _wanted(lowest: int, target: str) -> Wanted:
    number = f".{target}>"

    def wanted(level: int, facts: LogRecord) -> bool:
        if level < lowest:
            return False
        if not target or target == facts["name"]:
            return True
        addresses = facts["pid"], facts["alias"]
        return any(each is not None and (each == target or each.endswith(number)) for each in addresses)

    return wanted


async def log_level(observer: Observer, query: dict[str, Any]) -> LevelChange:
    """Changes the level of a process, of a logger, or of the whole program."""
    name, target, module = query["level"], query["target"], query["module"]
    level = None if name == DEFAULT else NAMES[name]
    if target and module:
        raise RequestRefused("bad_request", "target and module: give one of them")
    if level is None and not (target or module):
        raise RequestRefused(
            "bad_request", "level='default': give a level, or the target or module that has none of its own"
        )
    if level is None and not (target or module):
        raise RequestRefused("bad_request", f"level={DEFAULT}: give a target or a module too, or another level")
    if module:
        _logger(module).setLevel(level or logging.NOTSET)
    else:
        key = _key(observer, target) if target else None
        observer.node.set_log_level(level, key)
        target = "" if key is None else str(key)
    return {"level": name, "target": target or None, "module": module or None}


def _key(observer: Observer, target: str) -> PID | Alias | str:
    """Returns a name if the target is named, so that its level applies to a successor of that name too."""
    found = find(observer.node, target)
    if target in observer.core.registry.names:
        return target
    key: PID | Alias = found.sender
    return key


def _logger(name: str) -> logging.Logger:
    """Returns a logger that exists: the creation of another would hide a mistyped name."""
    known = logging.getLogger().manager.loggerDict
    if name == "root" or name in known:
        return logging.getLogger(name)
    like = difflib.get_close_matches(name, list(known), 3)
    hint = f"similar: {', '.join(like)}" if like else "it has to have logged something, or to be imported"
    raise RequestRefused("unknown_target", f"no logger has the name {safe_repr(name, 60)}; {hint}")
