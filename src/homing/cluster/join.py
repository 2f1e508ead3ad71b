"""Joining a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..gen import BadOption, ClusterOptions, NotAllowed
from ..node.node import Node, internals

if TYPE_CHECKING:
    from .cluster import Cluster
    from .zenoh_engine import ZenohEngine


async def join(node: Node, options: ClusterOptions, *, engine: Any = None) -> Cluster:
    """Makes `node` a member of a cluster, and returns when it can be reached. The other nodes are found afterwards: see
    `Cluster.event`.

    engine: carries the batches; None: zenoh.
    Raises `NotAllowed` if the node is in a cluster or a package is missing, `NodeTaken` if the name is,
    `ListenFailed`, `NodeTerminated`, `BadOption`.
    """
    if not isinstance(node, Node):
        raise BadOption("node", node, "give the node that start_node returned")
    if not isinstance(options, ClusterOptions):
        raise BadOption("options", options, "give gen.ClusterOptions")
    core = internals(node).core
    core.require_running()
    if core.elsewhere is not None:
        raise NotAllowed(f"node {node.name!r} is in a cluster already")
    try:
        from .cluster import Cluster
        from .types import Types
    except ModuleNotFoundError as error:
        raise NotAllowed(f"a cluster needs the package {error.name!r}: pip install 'homing[cluster]'") from error
    cluster = Cluster(node, options, _zenoh(options) if engine is None else engine, Types(options.types))
    await cluster.open()
    return cluster


def _zenoh(options: ClusterOptions) -> ZenohEngine:
    try:
        from .zenoh_engine import ZenohEngine
    except ModuleNotFoundError as error:
        raise NotAllowed(f"a cluster needs the package {error.name!r}: pip install 'homing[cluster]'") from error
    return ZenohEngine(options)
