"""The event loop: asyncio's own, with a selector that serves the sockets of datagrams itself.

event_loop   `new_event_loop`, which makes it, or a loop of asyncio's where the selector was not built
alarm        a timer of the kernel's that is kept from one wait to the next
selector     epoll in C: calls the callbacks of such sockets from within `select`, and stays there while nothing else is
             due; registration: what is registered for one descriptor; epoll: the kernel's structures
"""

from .event_loop import new_event_loop as new_event_loop
