"""The request `nodes`: the nodes of the cluster, as one of them sees the others; and the same for metrics."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from ..gen import ClusterOptions, NotAllowed, RemoteNodeInfo
from ..node import Node
from ..node.node import internals
from .fields import FILTER, LIMIT
from .records import ClusterNodeRecord, ClusterSums, Nodes, PeerSums

if TYPE_CHECKING:
    from .observer import Observer

MOST_PEERS = 200
"""Most nodes that have metrics: each makes a dozen time series. A cluster in which every node is connected to every
other has far fewer."""

FIELDS = {"limit": LIMIT, "filter": FILTER}


class Joined(Protocol):
    """The part of a `Cluster` that is read here."""

    @property
    def name(self) -> str: ...
    @property
    def options(self) -> ClusterOptions: ...
    @property
    def addresses(self) -> tuple[str, ...]: ...
    @property
    def draining(self) -> bool: ...
    def nodes(self) -> list[RemoteNodeInfo]: ...


def cluster_of(node: Node) -> Joined | None:
    """Returns the cluster that a node is in; None if it is in none."""
    try:
        return node.cluster
    except NotAllowed:
        return None


async def nodes(observer: Observer, query: dict[str, int | str]) -> Nodes:
    """Returns the nodes of the cluster: this one, then the others by name."""
    cluster = cluster_of(observer.node)
    if cluster is None:
        return {"cluster": None, "nodes": [], "total": 0, "more": 0}
    text, limit = str(query["filter"]).lower(), int(query["limit"])
    own = observer.core.name
    others = sorted(cluster.nodes(), key=lambda info: info.name)
    rows = [_own(observer, cluster), *(_other(own, info) for info in others)]
    found = [row for row in rows if any(text in word.lower() for word in (row["name"], *row["tags"]))]
    return {"cluster": cluster.name, "nodes": found[:limit], "total": len(found), "more": max(0, len(found) - limit)}


def _own(observer: Observer, cluster: Joined) -> ClusterNodeRecord:
    own = observer.core.name
    return {
        "node": own,
        "name": own,
        "own": True,
        "creation": str(observer.core.pid.creation),
        "up": True,
        "uptime": round(observer.node.info().uptime, 3),
        "addresses": list(cluster.addresses),
        "tags": list(cluster.options.tags),
        "weight": cluster.options.weight,
        "draining": cluster.draining,
        "in_flight": None,
        "waiting": None,
        "rtt": None,
        "messages_in": None,
        "messages_out": None,
        "batches_in": None,
        "batches_out": None,
        "bytes_in": None,
        "bytes_out": None,
        "undelivered": {},
        "dropped": None,
        "resets": None,
    }


def _other(own: str, info: RemoteNodeInfo) -> ClusterNodeRecord:
    return {
        "node": own,
        "name": info.name,
        "own": False,
        "creation": str(info.creation),
        "up": info.up,
        "uptime": round(max(0.0, time.time() - info.since), 3) if info.up else None,
        "addresses": list(info.addresses),
        "tags": list(info.tags),
        "weight": info.weight,
        "draining": info.draining,
        "in_flight": info.in_flight,
        "waiting": info.waiting,
        "rtt": None if info.rtt is None else round(info.rtt, 6),
        "messages_in": info.messages_in,
        "messages_out": info.messages_out,
        "batches_in": info.batches_in,
        "batches_out": info.batches_out,
        "bytes_in": info.bytes_in,
        "bytes_out": info.bytes_out,
        "undelivered": dict(info.undelivered),
        "dropped": info.dropped,
        "resets": info.resets,
    }


# --- health -------------------------------------------------------------------------------------------------

JOIN_SECONDS = 10.0
"""Seconds for which a node is not ready because it has reached none of the nodes it was to join. Not longer: the first
node of a cluster finds nobody, and where nodes start one after the other, each when the one before is ready, no other
would ever start."""


class Joining:
    """Judges whether a node has joined the others of its cluster."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._loop = internals(node).core.loop
        self._since: float | None = None
        self._met = False

    def reason(self) -> str | None:
        """Returns why the node has not joined yet; "" if it has, or has waited for long enough; None if it is in no
        cluster."""
        cluster = cluster_of(self._node)
        if cluster is None:
            return None
        now = self._loop.time()
        if self._since is None:
            self._since = now
        if not self._met and (not cluster.options.join or any(info.up for info in cluster.nodes())):
            self._met = True
        if self._met or now - self._since >= JOIN_SECONDS:
            return ""
        return f"no node of cluster {cluster.name} is reached yet, by {', '.join(cluster.options.join)}"


# --- metrics ------------------------------------------------------------------------------------------------


def cluster_sums(node: Node) -> ClusterSums | None:
    """Returns the counters of the connections to other nodes; None if the node is in no cluster."""
    cluster = cluster_of(node)
    if cluster is None:
        return None
    infos = sorted(cluster.nodes(), key=lambda info: info.name)
    return {
        "cluster": cluster.name,
        "nodes": 1 + sum(info.up for info in infos),
        "peers": [_peer(info) for info in infos[:MOST_PEERS]],
    }


def _peer(info: RemoteNodeInfo) -> PeerSums:
    return {
        "peer": info.name,
        "up": info.up,
        "rtt": info.rtt,
        "in_flight": info.in_flight,
        "waiting": info.waiting,
        "messages_in": info.messages_in,
        "messages_out": info.messages_out,
        "bytes_in": info.bytes_in,
        "bytes_out": info.bytes_out,
        "undelivered": dict(info.undelivered),
        "dropped": info.dropped,
        "resets": info.resets,
    }
