"""Runs the program of a condition (`policy.compiling`) on the datagrams of a slot, as the kernel does on those of a
socket.

A program sees a datagram from the UDP header on. Of that header there is the port of the source, and of the header of IP
the version and the source.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memmove

from .arena cimport Slot
from .peers cimport number_of

from ..policy.compiling import FOUR_SOURCE as _FOUR_SOURCE, HEADER as _HEADER, NETWORK_HEADER as _NETWORK_HEADER
from ..policy.compiling import SIX_SOURCE as _SIX_SOURCE

cdef extern from "<arpa/inet.h>":
    unsigned short ntohs(unsigned short number) nogil

cdef uint32_t FOUR_SOURCE = _FOUR_SOURCE, SIX_SOURCE = _SIX_SOURCE, NETWORK_HEADER = _NETWORK_HEADER
cdef uint32_t HEADER = _HEADER


cdef class Verdict:
    """The verdict of a condition on datagrams."""

    def __cinit__(self, condition):
        cdef int at
        program = condition.program
        self._count = len(program)
        self._program = <Instruction*> calloc(self._count, sizeof(Instruction))
        if self._program == NULL:
            raise MemoryError()
        for at, (code, yes, no, number) in enumerate(program):
            self._program[at].code = code
            self._program[at].yes = yes
            self._program[at].no = no
            self._program[at].number = number

    def __dealloc__(self):
        free(self._program)

    cdef Py_ssize_t keep(self, Slot* slot) noexcept nogil:
        """Removes the datagrams that do not pass from a slot. Returns how many remain."""
        cdef Py_ssize_t at = 0, size, kept = 0, end = 0
        cdef char* start = slot.start
        while True:
            size = min(slot.segment, slot.length - at)
            if self.passes(<const unsigned char*> start + at, size, slot):
                if end < at:
                    memmove(start + end, start + at, size)
                end += size
                kept += 1
            at += slot.segment
            if at >= slot.length:  # a slot has at least one datagram, which may be empty
                break
        slot.length = end
        return kept

    cdef bint passes(self, const unsigned char* data, Py_ssize_t length, const Slot* slot) noexcept nogil:
        """Returns the verdict on one datagram. A load from where it has nothing refuses it, as in the kernel."""
        cdef uint32_t a = 0, x = 0, operand
        cdef uint32_t[16] memory
        cdef int at = 0
        cdef const Instruction* line
        while at < self._count:
            line = &self._program[at]
            at += 1
            operand = x if line.code & 0x08 else line.number
            if line.code == 0x30 or line.code == 0x28 or line.code == 0x20:
                if not _load(data, length, slot, line.number, 1 if line.code == 0x30 else 2 if line.code == 0x28 else 4, &a):
                    return False
            elif line.code == 0x80:
                a = <uint32_t> length + HEADER
            elif line.code == 0x06:
                return line.number != 0
            elif line.code == 0x05:
                at += line.number
            elif line.code & 0x07 == 0x05:
                if (
                    a == operand if line.code & 0xF0 == 0x10
                    else a > operand if line.code & 0xF0 == 0x20
                    else a >= operand
                ):
                    at += line.yes
                else:
                    at += line.no
            elif line.code & 0x07 == 0x04:
                a = _operate(line.code & 0xF0, a, operand)
            elif line.code == 0x02:
                memory[line.number & 15] = a
            elif line.code == 0x60:
                a = memory[line.number & 15]
            elif line.code == 0x07:
                x = a
        return False


cdef inline uint32_t _operate(int operation, uint32_t a, uint32_t b) noexcept nogil:
    if operation == 0x00:
        return a + b
    if operation == 0x10:
        return a - b
    if operation == 0x20:
        return a * b
    if operation == 0x30:
        return a // b if b else 0
    if operation == 0x40:
        return a | b
    if operation == 0x50:
        return a & b
    if operation == 0x60:
        return a << (b & 31)
    if operation == 0x70:
        return a >> (b & 31)
    if operation == 0x90:
        return a % b if b else 0
    return a ^ b


cdef bint _load(
    const unsigned char* data, Py_ssize_t length, const Slot* slot, uint32_t place, int size, uint32_t* into
) noexcept nogil:
    """Loads a big-endian number. Returns False if it is not there."""
    cdef uint64_t high, low
    cdef uint32_t number = 0
    cdef int at
    if place < HEADER:
        into[0] = ntohs((slot.peer.words[0] >> 16) & 0xFFFF)
        return True
    if place < NETWORK_HEADER:
        place -= HEADER
        if <Py_ssize_t> place + size > length:
            return False
        for at in range(size):
            number = number << 8 | data[place + at]
        into[0] = number
        return True
    cdef bint four = number_of(&slot.peer, &high, &low)
    if place == NETWORK_HEADER:
        into[0] = 0x45 if four else 0x60
    elif four:
        into[0] = <uint32_t> low
    else:
        at = (place - SIX_SOURCE) // 4
        into[0] = <uint32_t> ((high if at < 2 else low) >> (0 if at & 1 else 32))
    return True
