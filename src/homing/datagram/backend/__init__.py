"""Backends: the system calls that read and send the datagrams of one socket.

contract     what a backend is, and which one serves
portable     one system call per datagram, anywhere; unix: Unix datagram sockets
native       many datagrams per system call (Linux, compiled); arena: what they are read into; outbox: what they are
             sent from; peers: addresses; system: the kernel's structures and constants
ancillary    what comes and goes with a packet beside its payload, read and written in Python
error_queue  ICMP errors, each with the datagram that it is about; pending: those of a connected socket without one
watch        who is called when a socket can be read or written
"""
