"""Sockets: making, binding and connecting them, setting and changing their options, taking them over.

options        SocketOptions; set_options: sets them on a new socket; change_options: changes them while it is in use
rollback       undoes the steps of a change whose next step has failed
binding        makes bound sockets from host and port; connecting: makes sockets that send to a peer. Both raise errors
               that say what to do
association    connects a socket again when the address of this machine has changed
unix           Unix datagram sockets
namespace      sockets in another network namespace
multicast      joining and leaving groups; links: events of network interfaces; interfaces: keeps a socket's settings
               that name interfaces in force when interfaces are recreated
packet_info    asks the kernel to report packet info; icmp_errors: makes it queue ICMP errors
bpf            filters and steering that the kernel runs
kernel         facts that the kernel reports, such as granted buffers and dropped datagrams; kernel_socket: a bound
               socket with these
inherited      sockets that the program was started with; forks: sockets that a forked child must not keep; snapshot:
               restores the settings of a socket after another program has changed them
shared         sockets of one port that several processes share, kept by the program that supervises them
substitute     replaces the system's network by a test's
"""
