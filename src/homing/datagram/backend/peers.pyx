"""Peers: from the kernel's addresses to the socket module's tuples, and back. A bounded cache in both directions.

Each table holds 4096 peers at most, in 4 places for each hash: a thousand of them fit without a conflict. All peers of
one read are looked up together, so that the memory's latencies overlap. A peer without a free place replaces another,
and costs as much as without a cache: 0.3 us in, 1 us out. The hash uses every bit of an address, each 32 bits with
their own secret, so an attacker cannot choose sources that collide.
"""

import os
import socket
from operator import index

from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from ..address import check_destination

cdef extern from "<netinet/in.h>" nogil:
    cdef enum:
        AF_INET
        AF_INET6
    struct in_addr:
        uint32_t s_addr
    struct in6_addr:
        unsigned char s6_addr[16]
    struct sockaddr_in:
        uint16_t sin_family
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        uint16_t sin6_family
        uint16_t sin6_port
        uint32_t sin6_flowinfo
        in6_addr sin6_addr
        uint32_t sin6_scope_id
    uint16_t ntohs(uint16_t value)
    uint16_t htons(uint16_t value)
    uint32_t ntohl(uint32_t value)
    uint32_t htonl(uint32_t value)

cdef extern from * nogil:
    """
    #define HOMING_PREFETCH(where) __builtin_prefetch((where), 1)
    """
    void prefetch "HOMING_PREFETCH"(const void* where)

cdef extern from "<endian.h>" nogil:
    uint64_t be64toh(uint64_t value)

cdef extern from "<arpa/inet.h>" nogil:
    const char* inet_ntop(int family, const void* source, char* text, unsigned int size)
    int inet_pton(int family, const char* text, void* target)


cdef enum:
    SETS = 1024
    WAYS = 4
    PLACES = 4096

ctypedef struct Known:
    Key key
    PyObject* address

ctypedef struct Tuple:
    PyObject* address
    Key key


cdef Key key_of(const char* raw) noexcept nogil:
    """The key of a `sockaddr`: family, port and flowinfo; address; scope."""
    cdef Key key
    cdef const sockaddr_in* four = <const sockaddr_in*> raw
    cdef const sockaddr_in6* six = <const sockaddr_in6*> raw
    memset(&key, 0, sizeof(Key))
    if four.sin_family == AF_INET:
        key.words[0] = <uint64_t> AF_INET | (<uint64_t> four.sin_port << 16) | (<uint64_t> four.sin_addr.s_addr << 32)
    elif six.sin6_family == AF_INET6:
        key.words[0] = <uint64_t> AF_INET6 | (<uint64_t> six.sin6_port << 16) | (<uint64_t> six.sin6_flowinfo << 32)
        memcpy(&key.words[1], &six.sin6_addr, 16)
        key.words[3] = six.sin6_scope_id
    return key


cdef bint number_of(const Key* key, uint64_t* high, uint64_t* low) noexcept nogil:
    """The number of a peer's address in two halves, and whether it is an IPv4 one: `networks.number_of`."""
    if (key.words[0] & 0xFFFF) == AF_INET:
        high[0] = 0
        low[0] = ntohl(<uint32_t> (key.words[0] >> 32))
        return True
    high[0] = be64toh(key.words[1])
    low[0] = be64toh(key.words[2])
    if high[0] == 0 and low[0] >> 32 == 0xFFFF:
        low[0] = <uint32_t> low[0]
        return True
    return False


cdef class Peers:
    """The cache. Used under the interpreter's lock only."""

    def __cinit__(self):
        self._known = calloc(PLACES, sizeof(Known))
        self._tuples = calloc(PLACES, sizeof(Tuple))
        if self._known == NULL or self._tuples == NULL:
            raise MemoryError()
        secret = os.urandom(sizeof(self._secret))
        memcpy(self._secret, <const char*> secret, sizeof(self._secret))

    def __dealloc__(self):
        cdef Known* known = <Known*> self._known
        cdef Tuple* tuples = <Tuple*> self._tuples
        cdef int place
        for place in range(PLACES):
            if known != NULL:
                Py_XDECREF(known[place].address)
            if tuples != NULL:
                Py_XDECREF(tuples[place].address)
        free(known)
        free(tuples)

    cdef int place(self, const Key* key) noexcept nogil:
        """Returns the place of a peer in the cache, and prefetches it."""
        cdef int place = <int> (self._hash(key) >> 54) * WAYS
        prefetch((<Known*> self._known) + place)
        return place

    cdef inline uint64_t _hash(self, const Key* key) noexcept nogil:
        """A multilinear hash, as in `policy.limiter`. The steps after the sum scatter neighboring addresses."""
        cdef const uint64_t* secret = self._secret
        cdef uint64_t hash = (
            secret[0]
            + secret[1] * <uint32_t> key.words[0]
            + secret[2] * (key.words[0] >> 32)
            + secret[3] * <uint32_t> key.words[1]
            + secret[4] * (key.words[1] >> 32)
            + secret[5] * <uint32_t> key.words[2]
            + secret[6] * (key.words[2] >> 32)
            + secret[7] * <uint32_t> key.words[3]
        )
        hash = (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93ULL
        return (hash ^ (hash >> 32)) * 0xD6E8FEB86659FD93ULL

    cdef void expect(self, int place) noexcept nogil:
        """Prefetches the tuple at a place, once the place itself was fetched."""
        cdef PyObject* address = (<Known*> self._known)[place].address
        if address != NULL:
            prefetch(address)

    cdef object address(self, const Key* key, int place):
        """Returns the tuple of a peer, the same object each time while it is in the cache."""
        cdef Known* places = (<Known*> self._known) + place
        cdef int way
        cdef PyObject* old
        for way in range(WAYS):
            if places[way].address != NULL and same(&places[way].key, key):
                return <object> places[way].address
        address = _tuple(key)
        for way in range(WAYS):
            if places[way].address == NULL:
                break
        else:
            way = self._victim & (WAYS - 1)
            self._victim += 1
        old = places[way].address
        Py_INCREF(address)
        places[way].key = key[0]
        places[way].address = <PyObject*> address
        Py_XDECREF(old)
        if _is_destination(key):
            self._remember(address, key)  # it is likely to be answered
        return address

    cdef int raw(self, int family, object address, Key* key, char* out) except -1:
        """Writes the `sockaddr` of `address`, a tuple, to `out`, and its key; returns its length.

        Raises `BadAddress`, or `OSError` if IPv6 has an unknown scope.
        """
        cdef Tuple* place = (<Tuple*> self._tuples) + _place(<PyObject*> address)
        if (
            place.address == <PyObject*> address
            and (place.key.words[0] & 0xFFFF) == <uint64_t> (family & 0xFFF)
            and (family != AF_INET6 or not _is_mapped(&place.key))
        ):
            key[0] = place.key
        else:
            check_destination(family, address)
            key[0] = _parsed(family, address)
            if type(address) is tuple and "%" not in address[0]:  # the name may belong to another link next time
                self._remember(address, key)
        return _sockaddr(key, out)

    cdef void _remember(self, object address, const Key* key) noexcept:
        """Stores the key of a tuple by the tuple's identity, and so keeps the tuple alive."""
        cdef Tuple* place = (<Tuple*> self._tuples) + _place(<PyObject*> address)
        cdef PyObject* old = place.address
        Py_INCREF(address)
        place.address = <PyObject*> address
        place.key = key[0]
        Py_XDECREF(old)


cdef inline Py_ssize_t _place(PyObject* address) noexcept nogil:
    return <Py_ssize_t> (((<uint64_t> <uintptr_t> address) >> 4) * 0x9E3779B97F4A7C15ULL >> 52)


cdef inline bint _is_destination(const Key* key) noexcept nogil:
    """Returns False for addresses that `check_destination` refuses: a stored key is not checked again."""
    cdef uint64_t high, low
    cdef bint four = number_of(key, &high, &low)
    return (key.words[0] >> 16) & 0xFFFF != 0 and (low != 0 or (not four and high != 0))


cdef tuple _tuple(const Key* key):
    """Makes the socket module's tuple: (host, port) or (host, port, flowinfo, scope_id)."""
    cdef char text[64]
    cdef int family = key.words[0] & 0xFFFF
    cdef int port = ntohs((key.words[0] >> 16) & 0xFFFF)
    cdef uint32_t four = key.words[0] >> 32
    if family == AF_INET:
        inet_ntop(AF_INET, &four, text, sizeof(text))
        return (text.decode("ascii"), port)
    if family == AF_INET6 and _is_mapped(key):
        inet_ntop(AF_INET, <const char*> &key.words[1] + 12, text, sizeof(text))
        return (text.decode("ascii"), port)
    if family == AF_INET6:
        inet_ntop(AF_INET6, &key.words[1], text, sizeof(text))
        return (text.decode("ascii"), port, ntohl(four), <uint32_t> key.words[3])
    return ("", 0)


cdef inline bint _is_mapped(const Key* key) noexcept nogil:
    """An IPv4 address on a socket that carries both, see `address.DUAL_STACK`."""
    return key.words[1] == 0 and memcmp(<const char*> &key.words[1] + 8, b"\x00\x00\xff\xff", 4) == 0


cdef Key _parsed(int family, object address) except *:
    """The key of an address that `check_destination` has accepted."""
    cdef char raw[28]
    cdef sockaddr_in* four = <sockaddr_in*> raw
    cdef sockaddr_in6* six = <sockaddr_in6*> raw
    memset(raw, 0, sizeof(raw))
    host = address[0]
    if family != AF_INET:
        six.sin6_family = AF_INET6
        six.sin6_port = htons(index(address[1]))
        six.sin6_flowinfo = htonl(index(address[2]) if len(address) > 2 else 0)
        six.sin6_scope_id = index(address[3]) if len(address) > 3 else 0
        if "%" in host:
            found = socket.getaddrinfo(host, 0, AF_INET6, socket.SOCK_DGRAM, 0, socket.AI_NUMERICHOST)[0][4]
            host = found[0].partition("%")[0]
            six.sin6_scope_id = found[3]
        elif ":" not in host:
            host = "::ffff:" + host
        inet_pton(AF_INET6, host.encode("ascii"), &six.sin6_addr)
    else:
        four.sin_family = AF_INET
        four.sin_port = htons(index(address[1]))
        inet_pton(AF_INET, host.encode("ascii"), &four.sin_addr)
    return key_of(raw)


cdef int _sockaddr(const Key* key, char* out) noexcept nogil:
    cdef sockaddr_in* four = <sockaddr_in*> out
    cdef sockaddr_in6* six = <sockaddr_in6*> out
    memset(out, 0, 28)
    if (key.words[0] & 0xFFFF) == AF_INET:
        four.sin_family = AF_INET
        four.sin_port = (key.words[0] >> 16) & 0xFFFF
        four.sin_addr.s_addr = key.words[0] >> 32
        return 16
    six.sin6_family = AF_INET6
    six.sin6_port = (key.words[0] >> 16) & 0xFFFF
    six.sin6_flowinfo = key.words[0] >> 32
    memcpy(&six.sin6_addr, &key.words[1], 16)
    six.sin6_scope_id = key.words[3]
    return 28


cdef Peers PEERS = Peers()


def set_of(int family, address):
    """Returns the number of the set, 0 to 1023, in which the peer of an address is kept: for tests."""
    cdef Key key = _parsed(family, address)
    return PEERS.place(&key) // WAYS
