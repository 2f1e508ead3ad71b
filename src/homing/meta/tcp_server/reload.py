"""The request to read the certificate of a TCP server again."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import Any

from ...gen import NO_REPLY, PID, HomingError, NotAllowed, Ref, Request
from ...node.processes.meta_process import MetaRunner
from ..tcp.tls import Certificates


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadCertificate(Request[int]):
    """A request to a TCP server with `tls`, or to a DTLS server:
    `await self.call(server.alias, meta.ReloadCertificate())`. New connections and sessions get the certificate that the
    files contain now; those that are open keep theirs.

    context: for a server that was given an `ssl.SSLContext`: the one to use from now on.

    Returns how often the certificate was changed since the start. Raises `BadOption`, and the former certificate stays
    in force, if a file cannot be used; `NotAllowed` if the sender is not the owner of the server, or it has no TLS.
    """

    context: ssl.SSLContext | None = None


def reload(
    process: MetaRunner, certificates: Certificates | None, sender: PID, ref: Ref, request: ReloadCertificate
) -> Any:
    """Reads the certificate of the server `process` again. Returns the answer, or sends the error."""
    try:
        if sender not in (process.parent, process.core.pid):
            raise NotAllowed(f"only its owner, {process.parent}, can change the certificate of {process.id}")
        if certificates is None:
            raise NotAllowed(f"{process.id} has no TLS")
        certificates.reload(request.context)
    except HomingError as error:
        process.send_response_error(sender, ref, error)
        return NO_REPLY
    return certificates.reloads
