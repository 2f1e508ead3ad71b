cimport cython

from ...datagram.message cimport MessageUDP, PacketInfo, received

cdef Py_ssize_t _NO_INFO, _BESIDE, _MOST

cpdef tuple read(object frame)

@cython.locals(message=MessageUDP, count=Py_ssize_t, number=Py_ssize_t, place=Py_ssize_t, several=Py_ssize_t,
               info_place=Py_ssize_t, different=bint, addresses=list, infos=list, known=dict, cut=list, payloads=list,
               places=cython.ushort[::1], info_places=cython.ushort[::1], lengths=cython.uint[::1])
cpdef tuple pack(list messages)

cdef _info_place(object info, list infos)

cpdef info_fields(PacketInfo info)


@cython.locals(count=Py_ssize_t, start=Py_ssize_t, end=Py_ssize_t, number=Py_ssize_t, place=Py_ssize_t, several=bint,
               different=bint, data=bytes, octets=cython.p_char, messages=list, message=MessageUDP, addresses=list,
               infos=list, places=cython.ushort[::1], info_places=cython.ushort[::1], lengths=cython.uint[::1])
cpdef list unpack(object id, object frame)

@cython.locals(message=MessageUDP, size=Py_ssize_t, found=list, part=list)
cpdef list cut_by_size(list messages, Py_ssize_t most)

@cython.locals(message=MessageUDP, size=Py_ssize_t)
cpdef Py_ssize_t gathered_size(list messages) except? -1

@cython.locals(lengths=cython.uint[::1], number=Py_ssize_t, total=cython.longlong)
cdef long long _total(object numbers) except -1

@cython.locals(places=cython.ushort[::1], number=Py_ssize_t, place=Py_ssize_t)
cdef bint _fits(object numbers, Py_ssize_t most, bint gaps) except -1
