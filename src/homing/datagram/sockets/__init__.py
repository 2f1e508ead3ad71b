"""Sockets: making, binding and connecting them, setting and changing their options, taking them over.

options        SocketOptions; set_options: sets them on a new socket; change_options: changes them while it is in use
rollback       undoes the steps of a change whose next step has failed
binding        from host and port to a bound socket; connecting: to one that sends to a peer. Both raise errors that say
               what to do
association    connecting a socket again when the address of this machine has changed
unix           Unix datagram sockets
namespace      sockets in another network namespace
multicast      joining and leaving groups; links: events of network interfaces; interfaces: what a socket was asked for
               by their names, also when they are made again
packet_info    asking the kernel to report more of each packet; icmp_errors: having it queue ICMP errors
bpf            filters and steering that the kernel runs
kernel         buffers that the kernel granted, datagrams that it dropped, and the like; kernel_socket: a bound socket
               with these
inherited      sockets that the program was started with; forks: sockets that a forked child must not keep
substitute     a network that a test has put in the place of the system's
"""
