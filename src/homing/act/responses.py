"""The requests of an actor that do not stop it, and its answers to calls and requests.

Each function here is a method of `Actor`, which names it in its class body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..gen import PID, Alias, BadOption, MessagePriority, Ref, Target, as_reason
from ..gen.foreign import is_a
from ..node.messaging.pressure import hold_back_from
from .links import check_address

if TYPE_CHECKING:
    from .actor import Actor

_NORMAL = MessagePriority.NORMAL


def cancel_request(self: Actor, ref: Ref) -> bool:
    """Cancels a request of this process: no response comes, also if it waits in the mailbox already; the callee is not
    told. As OTP's `gen_server:receive_response/2` abandons a request at its timeout.

    Returns False if the response was handled, or there is no such request. Raises `BadOption` if `ref` is no reference.
    """
    if not is_a(ref, Ref):
        raise BadOption("ref", ref, "give the reference that send_request returned")
    process = self._here
    return process.core.calls.cancel_request(process, ref)


def requests(self: Actor) -> int:
    """The number of requests of `send_request` that are open: sent, and their response not handled yet."""
    return len(self._process.requests or ())


def send_response(self: Actor, to: PID, ref: Ref, answer: Any) -> None:
    """Answers a request whose `handle_call` returned `gen.NO_REPLY`; any process may. A late answer is counted."""
    self._process.core.calls.answer(ref, answer)
    self._process.messages_out += 1


def send_response_error(self: Actor, to: PID, ref: Ref, error: Exception) -> None:
    """Answers a request with an error, which `call` raises. This process continues."""
    self._process.core.calls.fail(ref, as_reason(error))
    self._process.messages_out += 1


def forward(
    self: Actor,
    to: Target,
    message: Any,
    *,
    sender: PID | Alias,
    ref: Ref | None = None,
    priority: MessagePriority = _NORMAL,
) -> None:
    """Forwards a message, or a request if `ref` is given, as if `sender` had sent it to `to`: the answer goes to
    the original caller, which gets an error at once if the new callee ends. `handle_call` then returns
    `gen.NO_REPLY`.

    Raises the errors of `send`, and `CallToSelf` for a request forwarded to this process.
    """
    core = self._process.core
    check_address(sender, (PID, Alias), "the PID of the sender, or the alias of the meta-process")
    if ref is None:
        core.delivery.send(sender, to, message, priority)
    else:
        core.calls.forward(self._process, to, sender, ref, message, priority)
    self._process.messages_out += 1
    if self._process.fed:
        hold_back_from(self._process, to)
