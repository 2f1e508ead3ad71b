from libc.stdint cimport uint32_t, uint64_t

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t


ctypedef struct Key:
    # Identifies a peer of any family.
    uint64_t words[4]


cdef Key key_of(const char* raw) noexcept nogil

cdef bint number_of(const Key* key, uint64_t* high, uint64_t* low) noexcept nogil

cdef inline bint same(const Key* one, const Key* other) noexcept nogil:
    return (
        one.words[0] == other.words[0]
        and one.words[1] == other.words[1]
        and one.words[2] == other.words[2]
        and one.words[3] == other.words[3]
    )


cdef class Peers:
    cdef void* _known
    cdef void* _tuples
    cdef uint64_t _secret[8]
    cdef uint32_t _victim
    cdef int place(self, const Key* key) noexcept nogil
    cdef inline uint64_t _hash(self, const Key* key) noexcept nogil
    cdef void expect(self, int place) noexcept nogil
    cdef object address(self, const Key* key, int place)
    cdef int raw(self, int family, object address, Key* key, char* out) except -1
    cdef void _remember(self, object address, const Key* key) noexcept


cdef Peers PEERS
