"""The sending half of the native backend: sendmmsg(2), runs of datagrams to one peer passed to the kernel as one (udp(7)
UDP_SEGMENT), and the handling of refused datagrams and runs."""

import os
import socket
from time import monotonic

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, EINVAL, EIO, EMSGSIZE, errno
from libc.stdint cimport uint16_t, uint32_t

from ..address import family_of, send_refused
from ..message cimport MessageUDP
from .outbox cimport ENTRIES, RUN, RUN_BYTES, Outbox
from .own_address import OwnAddress
from .peers cimport PEERS, Key
from .system cimport MSG_DONTWAIT, SOL_UDP, UDP_SEGMENT, sendto, sockaddr

cdef enum:
    ALL_LENGTHS = 65535
    FORGET = 600  # seconds until a run is tried again that was refused: as long as Linux remembers the length of a path


cdef bint sets(object sock, int option, int value):
    """Sets an option of UDP. Returns False if the system refuses it."""
    try:
        sock.setsockopt(SOL_UDP, option, value)
    except OSError:
        return False
    return True


cdef class Sender:
    """Sends on one non-blocking socket."""

    def __cinit__(self):
        self._fd = -1
        self._family = AF_INET

    cdef int serve(self, sock, bint gso) except -1:
        """Sends on `sock` from now on. gso: pass runs to the kernel as one, if it accepts them."""
        self._family = family_of(sock)
        self._own = OwnAddress(sock)
        self._own_port = socket.htons(self._own.port)
        self.let_run(sock, gso)
        self._fd = sock.fileno()
        return 0

    cdef int let_run(self, sock, bint gso) except -1:
        """Turns the passing of runs as one on, if the kernel accepts them, or off."""
        self._gso_limit = self._gso_most = ALL_LENGTHS if gso and sets(sock, UDP_SEGMENT, 0) else 0
        return 0

    @property
    def gso(self):
        """False once the kernel has refused to take runs."""
        return self._gso_limit > 0

    def send(self, MessageUDP message not None):
        cdef list failures = []
        cdef long long before = self.bytes_out
        if self.send_many([message], failures) == 0:
            raise BlockingIOError(EAGAIN, os.strerror(EAGAIN))
        if failures:
            raise failures[0][1]
        return self.bytes_out - before

    cpdef bint send_lone(self, message) except -1:
        # `send_many`, which is called after a failure, reports it if it happens again.
        cdef MessageUDP datagram
        cdef object data
        cdef Key peer
        cdef char name[32]
        cdef int length
        cdef ssize_t sent
        if type(message) is not MessageUDP or self.retry is not None:
            return False
        datagram = message
        data = datagram.data
        if datagram.info is not None or datagram._lease is not None or not PyBytes_CheckExact(data):
            return False
        try:
            length = PEERS.raw(self._family, datagram.addr, &peer, name)
        except Exception:
            return False
        if <int> ((peer.words[0] >> 16) & 0xFFFF) == self._own_port:
            return False  # perhaps to itself
        sent = sendto(
            self._fd, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), MSG_DONTWAIT, <const sockaddr*> name, length
        )
        if sent < 0:
            return False
        self.packets_out += 1
        self.bytes_out += sent
        return True

    cpdef Py_ssize_t send_many(self, list messages, list failures) except -1:
        # A buffer's owner and `retry` may be the user's code and send here too: such a call uses an outbox of its own.
        cdef Outbox outbox = self._outbox
        if messages is None or failures is None:
            raise TypeError("give a list of messages, and a list for the failures")
        self._outbox = None
        if outbox is None:
            outbox = Outbox()
        try:
            return self._send_many(outbox, messages, failures)
        finally:
            outbox.clear()
            self._outbox = outbox

    def send_columns(self, list addresses not None, places, lengths not None, bytes data not None):
        # `send_many` sends the others, and finds out why they are special. Nothing here is the user's code.
        cdef Outbox outbox = self._outbox
        cdef const uint16_t[::1] place = places
        cdef const uint32_t[::1] length = lengths
        if self.retry is not None or self._gso_limit != self._gso_most:
            return 0
        self._outbox = None
        if outbox is None:
            outbox = Outbox()
        try:
            return self._send_columns(outbox, addresses, place, length, data)
        finally:
            outbox.clear()
            self._outbox = outbox

    cdef Py_ssize_t _send_columns(
        self, Outbox outbox, list addresses, const uint16_t[::1] place, const uint32_t[::1] length, bytes data
    ) except -1:
        cdef Py_ssize_t start = 0, index = 0, at = 0, end, count, size = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t bytes_of_run
        cdef bint fits = True
        cdef int entry, sent
        cdef const uint16_t* places = NULL
        count = length.shape[0] if place is None else min(length.shape[0], place.shape[0])
        if place is not None and count:
            places = &place[0]
        while start < count:
            while index < count and fits:
                end, bytes_of_run = self._run_of(places, &length[0], index, count)
                if bytes_of_run > size - at:
                    fits = False
                    break
                try:
                    fits = outbox.add_run(
                        self._family, addresses[0 if place is None else place[index]], PyBytes_AS_STRING(data) + at,
                        length[index], <int> (end - index), bytes_of_run, self._own_port,
                    )
                except Exception:
                    fits = False
                if fits:
                    index = end
                    at += bytes_of_run
            sent = outbox.send(self._fd) if outbox.count else 0
            for entry in range(sent):
                self.packets_out += outbox.entries[entry].count
                self.bytes_out += outbox.entries[entry].total
                start += outbox.entries[entry].count
            if sent < ENTRIES:
                break  # not full: these were the last ones; or the kernel has taken only a part
            outbox.clear()
            fits = True
        return start

    cdef (Py_ssize_t, Py_ssize_t) _run_of(
        self, const uint16_t* place, const uint32_t* length, Py_ssize_t index, Py_ssize_t count
    ) noexcept:
        """Returns the end of the run that begins with the datagram `index`, and its bytes: see `Outbox.add`."""
        cdef Py_ssize_t end = index + 1, total = length[index], most = min(count, index + RUN)
        cdef uint32_t segment = length[index]
        if segment > self._gso_limit:
            return end, total
        while end < most and 0 < length[end] <= segment and total + length[end] <= RUN_BYTES:
            if place != NULL and place[end] != place[index]:
                break
            total += length[end]
            end += 1
            if length[end - 1] < segment:
                break
        return end, total

    cdef Py_ssize_t _send_many(self, Outbox outbox, list messages, list failures) except -1:
        cdef Py_ssize_t start = 0, index
        cdef Py_ssize_t alone = 0  # those before this go without joining: the kernel has refused them as a run
        cdef Py_ssize_t suspect = 0  # the length of the run that was refused, until it is known whether that was why
        cdef int entry, sent, number, refusal = 0, tries = 0
        cdef MessageUDP message
        if self._gso_limit != self._gso_most and monotonic() >= self._gso_again:
            self._gso_limit = self._gso_most
        while start < len(messages):
            index = start
            try:
                while index < len(messages):
                    message = messages[index]
                    if not outbox.add(
                        self._family, message, index, 0 if index < alone else self._gso_limit, self._own, self._own_port
                    ):
                        break
                    index += 1
            except Exception as error:
                if index == start:
                    failures.append((index, error))
                    start += 1
                    continue
            sent = outbox.send(self._fd)
            number = errno
            for entry in range(max(sent, 0)):
                self.packets_out += outbox.entries[entry].count
                self.bytes_out += outbox.entries[entry].total
                start += outbox.entries[entry].count
            if sent > 0:
                tries = 0
            if sent > 0 and suspect:
                self._run_refused(suspect, refusal)  # single datagrams are accepted
                suspect = 0
            if sent < 0 and number == EAGAIN:
                break
            if sent < 0 and self.retry is not None and self.retry(number, tries):
                tries += 1
                outbox.clear()
                continue
            if sent < 0 and outbox.entries[0].count > 1:
                alone = start + outbox.entries[0].count
                suspect = outbox.entries[0].segment
                refusal = number
            elif sent < 0:
                failures.append((start, send_refused(number, _address_of(messages, start))))
                start += 1
                suspect = tries = 0
            outbox.clear()
        return start

    cdef void _run_refused(self, Py_ssize_t segment, int number) noexcept:
        """The kernel refused a run although it takes its datagrams one by one, see udp(7)."""
        self._gso_again = monotonic() + FORGET
        if number == EIO:
            self._gso_limit = 0  # the interface cannot split it
        elif number == EINVAL or number == EMSGSIZE:
            self._gso_limit = min(self._gso_limit, segment - 1)  # longer than a packet may be on that path


cdef object _address_of(list messages, Py_ssize_t index):
    """Returns the destination of a message; None if `retry` has replaced the message by something else."""
    return getattr(messages[index], "addr", None) if index < len(messages) else None
