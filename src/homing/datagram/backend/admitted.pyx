"""Selects the datagrams read by the native backend that become messages: asks `policy.admission` once per slot. Records
their bytes for `policy.budget`, also once per slot."""

from libc.stdint cimport uint16_t, uint64_t

from ..policy.address_table cimport rest_of
from ..policy.admission cimport Admission
from ..policy.budget cimport Budget
from .arena cimport Arena, Slot, datagrams_from
from .peers cimport number_of
from .verdict cimport Verdict

cdef extern from "<netinet/in.h>" nogil:
    uint16_t ntohs(uint16_t value)


cdef Py_ssize_t admit(Admission admission, Arena arena, int* got) except -1:
    """Removes the datagrams that are not admitted from an arena, the first `got` slots of which were read. Returns the
    number of the remaining datagrams."""
    cdef int slot, kept = 0
    cdef Py_ssize_t count, all, datagrams = 0
    for slot in range(got[0]):
        all = fitting(admission, &arena.slots[slot])
        if all == 0:
            continue
        count = admitted(admission, &arena.slots[slot], all)
        _keep(arena, slot, &kept, count, all)
        datagrams += count
    got[0] = kept
    return datagrams


cdef Py_ssize_t admit_noting(Admission admission, Arena arena, int* got, int asked, holes, bint timed) except -1:
    """As `admit`, and notes the holes; admission: None admits all. asked: the read could have filled so many slots.
    timed: the slots have timestamps."""
    cdef int slot, kept = 0, read = got[0]
    cdef Py_ssize_t count, all, datagrams = 0
    for slot in range(read):
        count = admitted_noting(admission, &arena.slots[slot], &all, holes, timed)
        _keep(arena, slot, &kept, count, all)
        datagrams += count
    got[0] = kept
    if read < asked:
        holes.emptied()
    return datagrams


cdef inline void _keep(Arena arena, int slot, int* kept, Py_ssize_t count, Py_ssize_t all) noexcept:
    """Moves a slot, of whose datagrams the first `count` are admitted, behind the slots that were kept before."""
    if count == 0:
        return
    if count < all:
        arena.slots[slot].length = count * arena.slots[slot].segment
    if kept[0] < slot:
        arena.slots[kept[0]] = arena.slots[slot]
    kept[0] += 1


cdef Py_ssize_t admitted(Admission admission, Slot* slot, Py_ssize_t count) except -1:
    """Returns how many of the first `count` datagrams in a slot are admitted."""
    cdef uint64_t high, low
    cdef bint four = number_of(&slot.peer, &high, &low)
    return max(0, min(count, admission.admit(four, high, low, count)))


cdef int hear(Budget budget, Slot* slot, Py_ssize_t most) except -1:
    """Records the bytes of a slot, of each datagram at most `most`: of a longer one the rest is cut off."""
    cdef uint64_t high, low
    cdef bint four = number_of(&slot.peer, &high, &low)
    cdef Py_ssize_t size = slot.length, last
    if slot.segment > most or slot.length > most:
        last = slot.length % slot.segment if slot.length > slot.segment else slot.length
        size = (slot.length - last) // slot.segment * min(slot.segment, most) + min(last, most)
    budget.heard(
        four, high, low, rest_of(ntohs(<uint16_t> (slot.peer.words[0] >> 16)), slot.peer.words[3]), size
    )
    return 0


cdef Py_ssize_t fitting(Admission admission, Slot* slot) except -1:
    """Removes the datagrams that do not meet the condition from a slot. Returns how many remain."""
    cdef Py_ssize_t all = datagrams_from(slot, 0), kept
    cdef Verdict verdict = admission.verdict
    if verdict is None:
        return all
    kept = verdict.keep(slot)
    admission.filtered += all - kept
    return kept


cdef Py_ssize_t admitted_noting(Admission admission, Slot* slot, Py_ssize_t* count, holes, bint timed) except -1:
    """As `fitting` and `admitted` for the datagrams of a slot, and notes the holes before and behind them; admission:
    None admits all. Sets `count` to the number of those that meet the condition."""
    cdef Py_ssize_t kept
    cdef long long before
    holes.reached(slot.drops, slot.timestamp if timed else -1)
    if admission is None:
        kept = count[0] = datagrams_from(slot, 0)
        holes.place += kept
        return kept
    before = admission.limiter.limited
    kept = count[0] = fitting(admission, slot)
    if kept > 0:
        kept = admitted(admission, slot, kept)
    holes.place += kept
    if admission.limiter.limited > before:
        holes.limited(admission.limiter.limited - before)
    return kept
