"""The request `tap`: a UDP server records its datagrams in a file from now on, or no longer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from ..datagram import format_address
from ..meta import Reconfigure, Tap
from ..meta.udp_server.reconfigure import Reconfigured
from ..node.processes.meta_process import MetaRunner
from ..node.servers import server_of
from .fields import TARGET, Field
from .refusals import RequestRefused
from .targets import find

if TYPE_CHECKING:
    from .observer import Observer

_PATIENCE = 2.0
"""Seconds for which the answer waits until the file is open, or closed."""

_LOOK = 0.01

FIELDS = {
    "target": TARGET,
    "path": Field(
        kind="text",
        nullable=True,
        text="The file, in the format pcapng. {pid} and {node} in it are replaced. Null: ends the recording.",
    ),
    "most": Field(kind="integer", default=1 << 30, low=1, high=1 << 44, text="Most bytes of the file."),
    "sample": Field(kind="number", default=1.0, low=0, high=1, text="The part of the datagrams that is recorded."),
    "rotate": Field(kind="integer", default=0, low=0, high=1000, text="Full files that are kept."),
    "snap": Field(kind="integer", default=65535, low=0, high=65535, text="Bytes of each payload that are recorded."),
}


async def tap(observer: Observer, query: dict[str, Any]) -> dict[str, Any]:
    """Starts or ends the recording of a UDP server. The target is the server, or a process that has one. Returns once
    the file is open, or closed; a file that cannot be written is an error."""
    node = observer.node
    server = server_of(observer.core, find(node, query.pop("target")))
    path = query.pop("path")
    options = None if path is None else Tap(path, **query)
    before = _told(server)
    now: Reconfigured = await node.call(server.id, Reconfigure(tap=options))
    ends = ("ended",) if options is None else ("writing", "ended")
    limit = observer.core.loop.time() + _PATIENCE
    while (told := _told(server)) is not None and told["state"] not in ends and observer.core.loop.time() < limit:
        await asyncio.sleep(_LOOK)
    if options is None and (before is None or before["state"] == "ended"):
        raise RequestRefused("failed", f"{server.title} records nothing")
    if options is not None and told is not None and told["error"]:
        raise RequestRefused("failed", told["error"])
    what = "ended" if options is None else "started"
    observer.core.log.warning("on request of an observer: the tap of %s was %s", server.title, what)
    return {"target": str(server.id), "address": format_address(now.local_address), "tap": told}


def _told(server: MetaRunner) -> Any:
    facts = server.hooks.facts()
    return None if facts is None else facts.get("tap")
