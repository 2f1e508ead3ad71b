"""Sockets of one port that several OS processes share, kept by the program that supervises the processes.

The supervising program keeps a duplicate of each socket, so a process that dies loses nothing that waits in its socket,
and the sockets of a port keep their number and order: `reuse_port_steering` stays right. Linux only.

messages  what the two sides say to each other, through a pair of Unix sockets
group     the sockets of one port
keeper    the side of the supervising program: Keeper
seat      the side of a process: a server that is about to bind asks for the socket of its process
"""
