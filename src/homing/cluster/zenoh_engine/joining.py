"""Joining: waits for others for a moment, and says why nobody is seen. zenoh refuses silently, on both sides."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..discovery import reachable
from ..endpoints import Endpoint

if TYPE_CHECKING:
    from ..security import Security
    from .connection import Connection

_FIRST_NEIGHBOUR = 3.0
"""Seconds to wait for the first neighbour, if a seed accepts connections. Usually milliseconds; 2 s if others hold all
places of its listener with silent connections."""

_QUIET, _MOST_QUIET = 0.15, 1.0
"""Seconds without a new neighbour, after which all are thought to be there, and the most to wait for that. Measured: 5
nodes know all others 20 ms after they know one."""

ALONE = 10.0
"""Seconds without another node after which the likely cause is logged, if a seed accepts connections."""

_LOG = logging.getLogger("homing.cluster")


def wait_for_neighbours(connection: Connection) -> None:
    """Waits until a session is connected and its neighbours have introduced it to theirs, or a few seconds. Blocks."""
    began = time.monotonic()
    seen: set[str] = set()
    changed = began
    while (now := time.monotonic()) < began + _FIRST_NEIGHBOUR + _MOST_QUIET:
        present = connection.neighbours()
        if present != seen:
            seen, changed = present, now
        if (seen and now - changed > _QUIET) or (not seen and now - began > _FIRST_NEIGHBOUR):
            return
        time.sleep(0.005)


class Advice:
    """Logs once why this node sees no other, though it has seeds; anew after it has seen one."""

    def __init__(self, security: Security, cluster: str) -> None:
        self._security = security
        self._cluster = cluster
        self._reachable_since: float | None = None
        self._given: set[str] = set()

    def seen(self) -> None:
        """Another node is there."""
        self._reachable_since = None
        self._given.clear()

    async def alone(self, seeds: Iterable[Endpoint], neighbours: int, now: float) -> None:
        """No other node is there. neighbours: sessions that are connected nevertheless."""
        seeds = list(seeds)
        if not seeds:
            return
        answering = await reachable(seeds)
        if not answering:
            self._reachable_since = None
            self._log(logging.WARNING, f"no node answers at {_listed(seeds)}; it is tried again all the time")
            return
        if self._reachable_since is None:
            self._reachable_since = now
        elif now - self._reachable_since >= ALONE:
            self._log(logging.ERROR, self._cause(answering, neighbours))

    def _log(self, level: int, text: str) -> None:
        if text not in self._given:
            self._given.add(text)
            _LOG.log(level, "cluster %r: %s", self._cluster, text)

    def _cause(self, answering: list[Endpoint], neighbours: int) -> str:
        at = _listed(answering)
        if neighbours:
            why = "it is in a cluster of another name, or of a version with another protocol"
            if self._security.names is not None:
                why += f", or the file {'names'!r} beside one of the certificates does not list the other node"
            return f"{at} is connected, but no node of this cluster: {why}"
        if self._security.uses_certificates:
            why = (
                f"its certificate is not of the authority in {self._security.authority}, or ours is not of its; "
                "or one is over (`openssl x509 -enddate`); or it does not use TLS"
            )
        else:
            why = (
                f"its password is another one than that in {self._security.secret_file} (other machines and users need "
                "a copy: --cluster-secret, secret_file=); or it is in a cluster of another name, or uses TLS"
            )
        return f"{at} accepts connections, but refuses this node: {why}"


def _listed(endpoints: list[Endpoint]) -> str:
    shown = ", ".join(str(one) for one in endpoints[:3])
    return shown + (f" and {len(endpoints) - 3} more" if len(endpoints) > 3 else "")
