"""The seam to other nodes: the methods that a node asks when an address, a reference or an event is not its own.

A node without a cluster has none (`Core.elsewhere` is None), and says of such addresses that their node is not known.
`cluster` has the implementation. It is asked only after the node's own tables were: what stays on this node costs
nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Protocol

from ..gen import PID, Ref

if TYPE_CHECKING:
    from .processes.process import Process
    from .scheduling.activity import Activity


class Elsewhere(Protocol):
    """The other nodes of a cluster, as this node sees them. Called on the loop's thread only."""

    @property
    def cluster(self) -> Any:
        """The `Cluster` that this is a part of."""

    @property
    def udp(self) -> Any:
        """Carries datagrams between UDP servers and receivers of other nodes: `meta.udp_server.elsewhere.Carrier`."""

    def find(self, to: object) -> Activity | None:
        """Returns the activity that sends to `to`, an address of another node; None if it is no such address.

        Raises `NodeUnknown` if that node is not up, and `ProcessTerminated` or `MetaTerminated` if the address belongs
        to an earlier start of it.
        """

    def known(self, to: Any) -> Activity | None:
        """Returns the activity that `find` has returned for `to`; None if it is not at hand."""

    def answer(self, ref: Ref, answer: Any) -> bool:
        """Sends the answer to a request of another node. Returns False if that node is not up."""

    def fail(self, ref: Ref, error: Exception) -> bool:
        """Sends an error as the answer to a request of another node. Returns False if that node is not up."""

    def send_important(self, sender: PID, to: Any, message: Any, timeout: float) -> Awaitable[None]:
        """Sends a message whose arrival in the mailbox is reported. See `Actor.send_important`."""

    def monitor_node(self, process: Process, name: str) -> bool:
        """See `Actor.monitor_node`."""

    def demonitor_node(self, process: Process, name: str) -> bool:
        """See `Actor.demonitor_node`."""

    def leave(self) -> Awaitable[None]:
        """Leaves the cluster, as the node stops."""
