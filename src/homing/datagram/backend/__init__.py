"""Backends: the system calls that read and send the datagrams of one socket.

contract     the interface of a backend, and the choice of one for a socket
portable     one system call per datagram, on any platform; unix: the same for Unix datagram sockets
native       many datagrams per system call (Linux, compiled); sender: its half that sends
arena        memory that native reads into; admitted: which of it becomes messages; outbox: what is sent next; peers:
             the cache of addresses; system: the kernel's structures and constants
own_address  recognizes the socket's own address, to which nothing is sent
ancillary    the info that comes and goes with a packet, read and written in Python
error_queue  ICMP errors, each with the datagram that it is about; pending: those of a connected socket without a queue
watch        calls when a socket can be read or written
"""
