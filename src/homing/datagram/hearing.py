"""Records what an endpoint receives. While a tap records, the endpoint decides in the place of the backend which
datagrams become messages, so that those that do not are recorded too, and counts the bytes of the others for the
amplification budget.

The backend has counted such a datagram as one that became a message; here the counters are put right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .address import Address
from .backend.base import Backend
from .backend.contract import Pooled
from .batch import DatagramBatch, end_batch, part_of
from .capture.tapping import Ear
from .message import MessageUDP
from .policy.admission import Admission
from .policy.budget import Budget


def heard(
    messages: list[MessageUDP], ear: Ear, admission: Admission, backend: Backend, budget: Budget
) -> list[MessageUDP]:
    """Records datagrams. Returns those that are admitted."""
    to = ear.receiver()
    if not admission.needed:
        for message in messages:
            ear.came(message, to)
            budget.heard_from(message.addr, len(message.data))
        return messages
    admitted = []
    for message in messages:
        cause = _refusal(admission, message.addr, message.data)
        if not cause:
            ear.came(message, to)
            budget.heard_from(message.addr, len(message.data))
            admitted.append(message)
        else:
            _uncount(backend, len(message.data), message.truncated)
            ear.refused(message.addr, message.data, message.info, cause)
    return admitted


def heard_pooled(
    received: list[Pooled],
    ear: Ear,
    admission: Admission,
    backend: Backend,
    budget: Budget,
    put: Callable[[Any], None],
) -> list[Pooled]:
    """Records datagrams in pooled buffers. Returns those that are admitted, and the buffers of the others to the
    pool."""
    admitted = []
    for one in received:
        buffer, length, address, truncated, info = one
        with memoryview(buffer) as view, view.cast("B") as flat:
            data = bytes(flat[:length])
        cause = _refusal(admission, address, data) if admission.needed else ""
        if not cause:
            ear.came_pooled(buffer, data, address, truncated, info)
            budget.heard_from(address, length)
            admitted.append(one)
        else:
            _uncount(backend, length, truncated)
            ear.refused(address, data, info, cause)
            put(buffer)
    return admitted


def heard_batch(
    batch: DatagramBatch, ear: Ear, admission: Admission, backend: Backend, budget: Budget
) -> DatagramBatch | None:
    """Records a batch. Returns it, or one of the datagrams that are admitted; None if there are none."""
    if not admission.needed:
        ear.came_together(batch)
        _hear_all(batch, budget)
        return batch
    admitted = []
    for number in range(len(batch)):
        message = batch[number]
        cause = _refusal(admission, message.addr, message.data)
        if not cause:
            admitted.append(number)
        else:
            _uncount(backend, len(message.data), message.truncated)
            ear.refused(message.addr, message.data, message.info, cause)
    if not admitted:
        end_batch(batch)
        return None
    rest = batch if len(admitted) == len(batch) else part_of(batch, admitted)
    ear.came_together(rest)
    _hear_all(rest, budget)
    return rest


def _hear_all(batch: DatagramBatch, budget: Budget) -> None:
    if budget.active:
        for number, size in enumerate(batch.lengths):
            budget.heard_from(batch.address(number), size)


def _refusal(admission: Admission, address: Address, data: bytes) -> str:
    """Returns why a datagram does not become a message, as `observe` names it, and counts it; "" if it does."""
    filtered, denied = admission.filtered, admission.denied
    if admission.admits(address, memoryview(data)):
        return ""
    if admission.filtered > filtered:
        return "filtered"
    return "denied" if admission.denied > denied else "rate_limit"


def _uncount(backend: Backend, length: int, truncated: bool) -> None:
    backend.packets_in -= 1
    backend.bytes_in -= length
    backend.truncated -= truncated
