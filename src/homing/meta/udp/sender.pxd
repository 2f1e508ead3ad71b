cimport cython

from ...datagram.endpoint cimport Endpoint
from ...datagram.send_queue cimport SendQueue
from .outgoing cimport any_leased, is_datagram, take_datagrams
from ...node.mailbox.lane cimport Lane, filled
from ...node.scheduling.activity cimport Activity
from ...node.scheduling.forwarder cimport Forwarder
from ...node.scheduling.scheduler cimport Scheduler

cdef Py_ssize_t SEND_LIMIT


cdef class Sender(Forwarder):
    cdef public Endpoint endpoint
    cdef public object leases, last_leases, on_icmp_error
    cdef public Py_ssize_t pauses
    cdef object _process, _log, _kind, _takes, _take, _plain_take, _noted, _others, _reporter
    cdef list _other_sockets
    cdef Scheduler _scheduler
    cdef double _sent_in
    cdef bint _may_pause
    cdef Py_ssize_t _queue_limit, _lost_reports

    @cython.locals(most=Py_ssize_t, messages=list)
    cpdef Py_ssize_t take_main(self, main) except -1

    @cython.locals(process=Activity, own=Activity, scheduler=Scheduler, queue=SendQueue)
    cpdef bint send_now(self, sender, target, message) except -1

    @cython.locals(done=Py_ssize_t, most=Py_ssize_t, part=list)
    cpdef Py_ssize_t send_at_once(self, list messages) except -1

    cdef _send_limited(self, SendQueue queue, message)
    cpdef send(self, list messages)

    @cython.locals(queue=SendQueue, done=Py_ssize_t, index=Py_ssize_t)
    cdef _send_by(self, Endpoint endpoint, list messages)
