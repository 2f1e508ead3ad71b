"""The methods of an actor for the cluster: processes on other nodes, and groups.

Each function but the first is a method of `Actor`, which names it in its class body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..gen import PID

if TYPE_CHECKING:
    from ..node.core import Core
    from .actor import Actor


def cluster_of(core: Core) -> Any:
    """Returns the cluster that a node is a member of. Raises `NotAllowed` if it is in none."""
    return core.other_nodes().cluster


async def spawn_remote(self: Actor, node: str, name: str, *args: Any, link: bool = False, timeout: float = 5.0) -> PID:
    """Starts a process on another node and returns its PID once its `init` has finished. No code travels: `name` is
    what that node offers under it, see `gen.ClusterOptions.spawnable`. The arguments for `init` travel as messages do.

    The process is a child of the other node itself, so this one does not end with it.
    link: this process is linked to it, as by `link`.
    timeout: seconds. If they are over, or this process ends meanwhile, a process that was started is ended again.
    Raises `gen.SpawnDenied` if that node does not offer it to this one; `NodeUnknown`; `NodeDown`; `CallTimeout`;
    `NotTransferable`; what `init` raises, or `gen.RemoteError`; `NotAllowed` if this node is in no cluster.
    """
    process = self._here
    process.require_alive()
    pid: PID = await cluster_of(process.core).spawning.ask(node, name, args, timeout)
    if link:
        self.link(pid)
    return pid


def join_group(self: Actor, name: str) -> None:
    """Makes this process a member of a group of the whole cluster (OTP's `pg`), until it leaves or ends. It may be in
    any number of groups, in each once. See `Cluster.members`. Raises `BadOption`, `NotAllowed`."""
    process = self._here
    cluster_of(process.core).membership.join(process, name)


def leave_group(self: Actor, name: str) -> bool:
    """Ends `join_group`. Returns False if this process was no member. Raises `NotAllowed`."""
    process = self._here
    left: bool = cluster_of(process.core).membership.leave(process, name)
    return left


def monitor_group(self: Actor, name: str) -> list[PID]:
    """Returns the members of a group. From then on each change comes to `handle_message` as `gen.MessageGroupJoined` or
    `gen.MessageGroupLeft`. Raises `BadOption`, `NotAllowed`."""
    process = self._here
    members: list[PID] = cluster_of(process.core).membership.monitor(process, name)
    return members


def demonitor_group(self: Actor, name: str) -> bool:
    """Ends `monitor_group`. Returns False if there was none. Raises `NotAllowed`."""
    process = self._here
    ended: bool = cluster_of(process.core).membership.demonitor(process, name)
    return ended
