"""Peers as actors: one process for each peer of a UDP server.

options    PeerOptions
messages   MessagePeerUp, MessagePeerDown, and the reasons for which a peer goes down
peer       Peer, by which a process answers its peer; actor: PeerActor, a base for such processes
table      which peer has a place: by key and address, in the order of their use
counters   the counters of a table
forwarder  gives each datagram to the process of its peer; lifecycle: starts, restarts and ends these processes
process    the process that has the table
"""
