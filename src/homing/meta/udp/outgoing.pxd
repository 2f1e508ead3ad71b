cimport cython

from ...datagram.message cimport MessageUDP as Message
from ...node.mailbox.lane cimport Lane, filled


cpdef bint is_datagram(thing) except -1

@cython.locals(messages=list, message=object, sender=object)
cpdef list take_datagrams(Lane main, Py_ssize_t limit)

@cython.locals(message=Message)
cpdef bint any_leased(list messages)
