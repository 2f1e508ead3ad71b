"""The process of a UDP server that has the table of its peers."""

from __future__ import annotations

from typing import Any, ClassVar

from ...act.actor import Actor, ActorHooks
from ...gen import PID, Alias
from ...gen.hooks import ProcessHooks
from .forwarder import PeerForwarder
from .lifecycle import Lifecycle
from .options import PeerOptions


class UDPPeersHooks(ActorHooks):
    """Hooks of the process that has the table."""

    __slots__ = ()

    kind: ClassVar[str] = "peers"
    forwards: ClassVar[bool] = True
    succeeds: ClassVar[bool] = True
    succeeds_orderly: ClassVar[bool] = True


class UDPPeers(Actor):
    """The table of peers of a UDP server. It ends when the server does, and the peers' processes with it."""

    _runtime_hooks: ClassVar[type[ProcessHooks]] = UDPPeersHooks
    _life: Lifecycle

    def init(self, server: Alias, options: PeerOptions) -> None:
        self.link(server)
        self._life = Lifecycle(self._process, self._limited_log, options)
        self._process.forwarder = PeerForwarder(self._life)

    @property
    def life(self) -> Lifecycle:
        """The peers, and their processes."""
        return self._life

    def terminate(self, reason: Exception) -> None:
        self._life.end_all(reason)

    def handle_inspect(self, sender: PID, *items: str) -> dict[str, Any]:
        """Returns the counters, `peers` (places taken), `proven` and `unproven`, and the limits in force."""
        facts = self._life.facts()
        return {item: facts[item] for item in items if item in facts} if items else facts
