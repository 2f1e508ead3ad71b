"""PeerActor: a base for the processes of peers."""

from __future__ import annotations

from typing import Any

from ...act.actor import Actor
from ...gen import NotAllowed
from ...gen.behavior import Result
from ...gen.foreign import class_name, is_a
from .peer import Peer


def assign(behavior: object, peer: Peer) -> None:
    """Makes `peer` the peer of `behavior`, if that is a `PeerActor`."""
    if is_a(behavior, PeerActor):
        behavior._peer = peer


class PeerActor(Actor):
    """An actor that serves one peer of a UDP server: see `PeerOptions`. Its `handle_message` gets the peer's datagrams
    in order; `self.peer` is there from `init` on."""

    _peer: Peer | None = None

    @property
    def peer(self) -> Peer:
        """The peer. Raises `NotAllowed` if the process was not started by a UDP server with `peers`."""
        if self._peer is None:
            raise NotAllowed(f"{class_name(self)} has no peer: it was not started by a UDP server with peers=")
        return self._peer

    def handle_release(self, key: Any) -> Any:
        """With `meta.Sessions`: called when the session moves to another node, after all datagrams that came before.
        Returns the session's state, a message that can be sent to other nodes; None: there is none. May be `async`. The
        process ends afterwards.

        key: of the session: the source's address for `key="source"`.
        """
        return None

    def handle_adopt(self, key: Any, state: Any) -> Result:
        """With `meta.Sessions`: called when the session has come from another node, after `init` and before any
        datagram. May be `async`.

        key, state: as given to, and returned by, `handle_release` there. None: the state was lost, or there is none.
        """
        return None
