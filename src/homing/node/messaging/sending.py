# cython: binding=True
"""The short way of sending, for most messages: to a process that has no limit and has already received a message.

`send` and `send_request` are methods of `act.Actor`, so they are compiled as functions that a class can bind (only this
module is).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...gen import BadOption, MessagePriority, ProcessState, Ref, Target
from ..mailbox.lane import COMPILED, STAND_INS
from .pressure import HIGH_WATER, hold_back, hold_back_from

if TYPE_CHECKING:
    from collections.abc import Callable

    thread_ident: Callable[[], int]

if not COMPILED:
    globals().update(STAND_INS)

_COMPILED = COMPILED

ELSEWHERE = -1
"""The limit of an activity that stands for a process of another node: it has no mailbox, and nothing waits there."""

_NORMAL = MessagePriority.NORMAL
_ZOMBIE, _TERMINATED = ProcessState.ZOMBIE, ProcessState.TERMINATED


def send(behavior: Any, to: Target, message: Any) -> None:
    """Puts `message` into the mailbox behind `to`: a PID, a registered name, an alias, or `ProcessID(name, node)`.

    Never waits. Raises `ProcessUnknown`, `ProcessTerminated`, `NameUnknown`, `AliasUnknown`, `MetaTerminated`,
    `NodeUnknown`, `MailboxFull`, `BadOption` if `to` is no address, and `NotAllowed` on any thread but the node's.
    """
    process = behavior._process
    scheduler = process.scheduler
    if thread_ident() != scheduler.thread:
        scheduler.refuse_thread()
    target = process.last_target
    if target is None or target.id is not to or target.state is _ZOMBIE or target.state is _TERMINATED:
        try:
            target = process.last_target = process.routes.get(to)
        except Exception:
            target = None  # an object that cannot be hashed or compared is not an address
    if target is None or target.guarded:
        if target is not None and target.limit < 0:  # `ELSEWHERE`
            target.put((process.sender, message), 0, 0)
        else:
            process.core.delivery.send(process.sender, to, message)
            if target is None:
                _keep_at_hand(process, to)
            if process.fed:
                hold_back_from(process, to)
    else:
        lane = target.main  # first: to send at once may run a finalizer that ends the receiver
        forwarder = target.forwarder
        if forwarder is not None and forwarder.sends_now and forwarder.send_now(process, target, message):
            process.messages_out += 1
            return
        if _COMPILED:
            lane.put(process.sender, message)
        else:
            lane.append((process.sender, message))
        if lane is not target.main:
            target.settle(lane)  # the receiver has ended while this was put into its mailbox
        if process.fed:
            target.fed = True
            if len(lane) + target.outstanding >= HIGH_WATER:
                hold_back(process, target)
        if not target.scheduled:
            scheduler.schedule(target)
    process.messages_out += 1


def _keep_at_hand(process: Any, to: Target) -> None:
    """Keeps the activity behind `to` at hand for the next message, if it sends to another node."""
    registry = process.core.registry
    if registry.elsewhere is not None and process.routes is registry.routes:
        process.last_target = registry.elsewhere.known(to)


def send_request(
    behavior: Any,
    to: Target,
    request: Any,
    label: Any = None,
    timeout: float = 5.0,
    *,
    priority: MessagePriority = _NORMAL,
) -> Ref:
    """Sends a request and returns its reference at once. Exactly one `handle_response(label, answer)` follows, in the
    main lane, unless the request is cancelled or this process ends.

    As OTP's `gen_server:send_request/4` with a request-id collection, which keeps the label. A request to this process
    itself is possible. While it is open, a stop of the node waits for it, as for a call.

    label: anything; passed to `handle_response`.
    timeout: seconds until the answer is a `CallTimeout`. A later answer is dropped and counted.
    Raises the errors of `send` and `BadOption`, `TooManyRequests` beyond `ProcessOptions.max_requests`, `NotAllowed` if
    this process has ended: then no response follows.
    """
    process = behavior._process
    return process.core.calls.send_request(process, to, request, label, timeout, priority)  # type: ignore[no-any-return]


def reply(behavior: Any, message: Any, data: Any, info: Any = None) -> None:
    """Answers a datagram: sends `message.reply(data, info)` to the UDP server or client that received it.

    message: the `meta.MessageUDP` received. To answer a request, return from `handle_call` or use `send_response`.
    data, info: as for `MessageUDP.reply`.
    Raises as `send` and `MessageUDP.reply` do, and `BadOption` if `message` is no datagram.
    """
    try:
        answer = message.reply(data) if info is None else message.reply(data, info)
    except AttributeError:
        if hasattr(message, "reply"):
            raise
        raise BadOption(
            "message", message, "give the meta.MessageUDP to answer; to answer a request, return from handle_call"
        ) from None
    behavior.send(message.id, answer)
