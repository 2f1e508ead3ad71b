"""The process of a UDP server with sessions: it forwards each datagram to the owner of its session."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from ...act.actor import Actor, ActorHooks
from ...gen import PID, Alias
from ...gen.hooks import ProcessHooks
from ...meta.udp.outgoing import take_datagrams
from ...meta.udp_server.peers import start_peers, with_key
from ...node.mailbox.envelope import Exit
from ...node.processes.spawning import spawn
from ...node.scheduling.forwarder import Forwarder
from .session_table import SessionTable

if TYPE_CHECKING:
    from ...meta.udp_server.options import UDPServerOptions
    from ...node.processes.meta_process import MetaRunner
    from .exchange import Exchange

_TAKEN = 256
"""Most datagrams taken in one go."""


class UDPSessionsHooks(ActorHooks):
    """Hooks of the process."""

    __slots__ = ()

    kind: ClassVar[str] = "sessions"
    forwards: ClassVar[bool] = True


class UDPSessions(Actor):
    """Forwards the datagrams of a UDP server to the owners of their sessions. It ends when the server does."""

    _runtime_hooks: ClassVar[type[ProcessHooks]] = UDPSessionsHooks
    _table: SessionTable

    def init(self, server: Alias, make: Callable[[Any], SessionTable]) -> None:
        self.link(server)
        self._table = make(self._process)
        self._process.forwarder = _ToOwners(self._table)

    @property
    def table(self) -> SessionTable:
        """The sessions."""
        return self._table

    def terminate(self, reason: Exception) -> None:
        self._table.close()

    def handle_inspect(self, sender: PID, *items: str) -> dict[str, Any]:
        """Returns the counters of the sessions."""
        facts = self._table.facts()["sessions"]
        return {item: facts[item] for item in items if item in facts} if items else facts


class _ToOwners(Forwarder):
    """Takes the main lane of the process.

    closing: see `retire`.
    """

    def __init__(self, table: SessionTable) -> None:
        super().__init__()
        self._table = table
        self._process = table.process
        self.closing: Exit | None = None

    def take_main(self, main: deque[Any]) -> int:
        """Forwards the datagrams at the head of the main lane to their owners. Returns how many entries it took."""
        messages = take_datagrams(main, _TAKEN)
        if messages:
            left = self._table.route(messages)
            if left:  # nobody can own a session now: they wait, and so does the socket
                sender = self._process.parent
                for message in reversed(left):
                    main.appendleft((sender, message))
                self._process.pause()
            return len(messages) - len(left)
        entry = main.popleft()
        if type(entry) is tuple:
            self._process.behavior.handle_message(*entry)
        else:
            entry.handle(self._process)
        return 1


async def start_sessions(
    exchange: Exchange, server: MetaRunner, options: UDPServerOptions, current: Callable[[], object]
) -> SessionTable:
    """Starts the table of peers and the process of the sessions, as children of the server's owner. If either ends by
    itself, the server ends for the same reason, unless it has others by then (`current`)."""
    wanted: Any = options.peers
    peers = await start_peers(server, with_key(wanted, options.sessions), lambda: _peers_of(current()))
    make = partial(SessionTable, exchange, server, options, peers)
    pid = await spawn(server.core, server.owner, UDPSessions, (server.id, make), None, None)
    behavior: Any = server.core.processes[pid].behavior
    table: SessionTable = behavior.table
    table.when_ended(partial(_end_server, server, table, current))
    return table


def _peers_of(receivers: object) -> object:
    return receivers.peers if isinstance(receivers, SessionTable) else None


def _end_server(server: MetaRunner, table: SessionTable, current: Callable[[], object], reason: Exception) -> None:
    if current() is table:
        server.end(reason)
