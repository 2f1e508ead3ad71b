"""The messages of connections on their way to other nodes of a cluster: each as a tuple of plain data, and back.

So a frame that is sent on to another node can be answered there, and its connection closed: both go to the server.
"""

from __future__ import annotations

from typing import Any

from ...gen.cluster import travels
from ...gen.cluster_errors import RemoteError
from ...gen.foreign import class_name, safe_str
from ...gen.identifiers import Alias
from .info import ConnectionInfo
from .messages import CloseConnection, MessageTCP, MessageTCPConnect, MessageTCPDisconnect
from .reasons import REASONS, ClosedByPeer, ClosedHere, ConnectionEnd

_BY_NAME = {kind.__name__: kind for kind in REASONS}
_CAUSES = {"ConnectionReset": "error", "CutFrameTooLong": "error", "CutBadFrame": "error", "ServerEnded": "cause"}
"""Reasons that have an exception, and the attribute that is it."""


def _common(message: Any) -> tuple[Any, ...]:
    return message.id, message.addr, message.connection, _info_out(message.info)


def _info_out(info: Any) -> Any:
    if type(info) is not ConnectionInfo:
        return None
    return info.local, info.tls, info.cipher, info.alpn, info.certificate


def _info_in(told: Any) -> ConnectionInfo | None:
    if told is None:
        return None
    local, tls, cipher, alpn, certificate = told
    if not all(text is None or type(text) is str for text in (tls, cipher, alpn)):
        raise ValueError("info")
    if certificate is not None and type(certificate) is not dict:
        raise ValueError("certificate")
    return ConnectionInfo(local, tls, cipher, alpn, certificate)


def _checked(id: Any, connection: Any) -> None:
    if (id is not None and type(id) is not Alias) or type(connection) is not int:
        raise ValueError("connection")


def _frame_out(message: Any) -> tuple[Any, ...]:
    return *_common(message), message.data, message.is_answer is True


def _frame_in(id: Any, addr: Any, connection: Any, info: Any, data: Any, is_answer: Any) -> MessageTCP:
    _checked(id, connection)
    message = MessageTCP(id, addr, data, connection, _info_in(info))
    message.is_answer = is_answer is True
    return message


def _connect_in(id: Any, addr: Any, connection: Any, info: Any) -> MessageTCPConnect:
    _checked(id, connection)
    return MessageTCPConnect(id, addr, connection, _info_in(info))


def _disconnect_out(message: Any) -> tuple[Any, ...]:
    reason = message.reason
    name = class_name(reason)
    cause = getattr(reason, _CAUSES.get(name, ""), None)
    told = None if cause is None else (class_name(cause), safe_str(cause)[:1024])
    return *_common(message), name, told, getattr(reason, "unfinished", 0)


def _disconnect_in(id: Any, addr: Any, connection: Any, info: Any, *reason: Any) -> MessageTCPDisconnect:
    _checked(id, connection)
    return MessageTCPDisconnect(id, addr, connection, _reason_in(*reason), _info_in(info))


def _reason_in(name: Any, cause: Any, unfinished: Any) -> ConnectionEnd:
    kind: Any = _BY_NAME.get(name, ClosedHere)
    if kind is ClosedByPeer:
        return ClosedByPeer(unfinished if type(unfinished) is int else 0)
    if kind.__name__ in _CAUSES:
        kind_of_cause, text = cause
        return kind(RemoteError(str(kind_of_cause), str(text)))  # type: ignore[no-any-return]
    return kind()  # type: ignore[no-any-return]


def _close_in(connection: Any) -> CloseConnection:
    _checked(None, connection)
    return CloseConnection(connection)


travels(MessageTCP, _frame_out, _frame_in)
travels(MessageTCPConnect, _common, _connect_in)
travels(MessageTCPDisconnect, _disconnect_out, _disconnect_in)
travels(CloseConnection, lambda message: (message.connection,), _close_in)
