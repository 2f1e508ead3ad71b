"""Opens sessions: their files of users, and what zenoh says if it cannot listen."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ...gen.cluster_errors import ListenFailed
from ..endpoints import Endpoint, with_port
from .connection import Connection, ConnectionFailed, OnToken
from .settings import dictionary_of, lease_of, new_session_id, settings

if TYPE_CHECKING:
    from ...gen import ClusterOptions
    from ..engine import Peer
    from ..security import Security
    from .inbox import Inbox
    from .keys import Keys

_OS_ERROR = re.compile(r"\(os error (\d+)\)")
_ADVICE = {
    "EADDRINUSE": "another program listens there: `ss -ltnp` shows it",
    "EADDRNOTAVAIL": "it is no address of this machine: `ip addr` shows them",
    "EACCES": "this user may not listen there",
}


class Opener:
    """Makes connections of one node to its cluster."""

    def __init__(self, own: Peer, options: ClusterOptions, security: Security, keys: Keys) -> None:
        self._own = own
        self._options = options
        self._security = security
        self._keys = keys

    def listeners(self) -> tuple[Endpoint, ...]:
        """Returns the addresses to listen at, with free ports in place of 0. May block. Raises `ListenFailed`."""
        found = []
        for one in self._security.listen:
            try:
                found.append(with_port(one))
            except OSError as error:
                raise _failed((one,), error.errno or 0, error.strerror or str(error)) from None
        return tuple(found)

    def prepare(self, listen: Iterable[Endpoint], connect: Iterable[Endpoint]) -> Connection:
        """Returns a connection that is not open yet."""
        session = new_session_id()
        found = settings(
            self._security,
            self._keys,
            self._own.name,
            session,
            listen,
            connect,
            lease=lease_of(self._options.node_timeout),
            window=self._options.link_window,
        )
        return Connection(self._own, self._keys, session, found)

    def open(
        self,
        connection: Connection,
        listen: tuple[Endpoint, ...],
        loop: asyncio.AbstractEventLoop,
        inbox: Inbox,
        on_token: OnToken,
    ) -> None:
        """Opens a connection. Blocks. Raises `ListenFailed`, `ConnectionFailed`."""
        try:
            with _dictionary(self._security) as more:
                connection.open(more, loop, inbox, on_token)
        except ConnectionFailed as error:
            number = _OS_ERROR.search(str(error))
            if number is None:
                raise
            raise _failed(listen, int(number[1]), os.strerror(int(number[1]))) from None


@contextmanager
def _dictionary(security: Security) -> Iterator[dict[str, str]]:
    """Yields the settings that name the file of users, which zenoh reads while it opens. Nobody else can read it, and
    it is removed after that."""
    if security.uses_certificates:
        yield {}
        return
    descriptor, path = tempfile.mkstemp(prefix="homing-", dir=_private_directory(security))  # mode 0600
    try:
        with open(descriptor, "w") as file:
            file.write(dictionary_of(security))
        yield {"transport/auth/usrpwd/dictionary_file": path}
    finally:
        os.unlink(path)


def _private_directory(security: Security) -> Path | None:
    """The directory of the secret, if this user can write there; None: the system's for temporary files."""
    path = security.secret_file
    return path.parent if path is not None and os.access(path.parent, os.W_OK) else None


def _failed(listen: tuple[Endpoint, ...], number: int, text: str) -> ListenFailed:
    advice = next((advice for name, advice in _ADVICE.items() if getattr(errno, name, None) == number), "")
    return ListenFailed(tuple(map(str, listen)), number, text, advice)
