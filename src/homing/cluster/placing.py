"""Placing: an application that runs on some of the nodes that have loaded it. The others wait, and step in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..gen import ApplicationRunning, ApplicationState, HomingError
from ..gen.cluster import check_strings
from ..gen.options import check_integer, check_name, check_type
from .singleton import MOST_NODES, STOP_TIMEOUT

if TYPE_CHECKING:
    from ..node.core import Core
    from .cluster import Cluster


class ApplicationRunner:
    """Runs one application that is loaded."""

    def __init__(self, core: Core, name: str) -> None:
        self._applications = core.applications
        self._core = core
        self._name = name

    async def start(self) -> None:
        """Starts the application, and those that it depends on; one that runs already is kept."""
        try:
            await self._applications.start(self._name, None)
        except ApplicationRunning:
            pass  # somebody else has started it

    async def stop(self, reason: Exception) -> None:
        """Stops it. One that has ended meanwhile is stopped already."""
        try:
            await self._applications.stop(self._name, STOP_TIMEOUT)
        except HomingError as error:
            self._core.log.warning("application %s cannot be stopped: %s", self._name, error)

    async def ended(self) -> None:
        """Returns when it has ended."""
        application = self._applications.find(self._name)
        if application.state is not ApplicationState.LOADED:
            await application.wait()


def place(
    self: Cluster,
    application: str,
    copies: int = 1,
    *,
    tag: str | None = None,
    nodes: tuple[str, ...] = ("*",),
    quorum: int = 1,
) -> None:
    """Declares an application that is to run on `copies` nodes of the cluster. Each node on which it may run loads it
    (`node.application_load`), does not start it, and declares it with the same numbers; the owners by rendezvous hash
    of its name start it, the others keep it loaded. When an owner drains, leaves or dies, the next one steps in. One
    that ends by itself is started again.

    application: its name. tag, nodes, quorum: as for `singleton`, whose rules apply.
    Raises `ApplicationUnknown` if it is not loaded, `NotAllowed` if it is declared already, `BadOption`.
    """
    check_name("application", application)
    copies = check_integer("copies", copies, 1, MOST_NODES)
    check_type("tag", tag, (str, type(None)), "a tag or None")
    check_strings("nodes", nodes)
    quorum = check_integer("quorum", quorum, 1, MOST_NODES)
    self.core.applications.find(application)
    runner = ApplicationRunner(self.core, application)
    self.placements.declare(application, runner, copies=copies, quorum=quorum, tag=tag, nodes=nodes)
