"""Sockets: made, bound or connected, set, changed and taken over.

options         SocketOptions; set_options: set on a new socket; change_options: changed while it is used
rollback        undoes the first steps of a change whose next step has failed
binding         from host and port to a bound socket, or an error that says what to do; connecting: to a connected one
unix            Unix datagram sockets
namespace       sockets in another network namespace
multicast       groups
inherited       sockets that the program was started with
packet_info     asking the kernel to tell more of each packet; icmp_errors: having it queue ICMP errors
kernel          what the kernel tells of a socket; kernel_socket: a bound socket with what the kernel has of it
bpf             filters and steering that the kernel runs
substitute      a network that a test has put in the system's place
"""
