"""Backends: the system calls that read and send the datagrams of one socket.

base         the interface of a backend; contract: the choice of one for a socket
portable     one system call per datagram, on any platform; unix: the same for Unix datagram sockets
native       many datagrams per system call (Linux, compiled); native_sender: its sending half
arena        memory that native reads into; spares: memory of messages, used again; admitted: selects the datagrams that
             become messages; verdict: runs a condition on them; outbox: the datagrams of the next send call; peers: the
             cache of addresses; system: the kernel's structures and constants
holes        where datagrams are missing in the order of arrival
own_address  recognizes the socket's own address, to which no datagram is sent
ancillary    packet info, read and written in Python
error_queue  ICMP errors, each with the datagram that caused it; pending: ICMP errors of a connected socket without a
             queue
watch        calls when a socket can be read or written
"""
