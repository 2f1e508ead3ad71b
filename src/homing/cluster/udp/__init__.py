"""UDP over a cluster: datagrams and their answers between nodes.

columns   datagrams in columns, as frames have them
outflow   from a UDP server to a receiver of another node, with credits
inflow    the other end: into the receiver's mailbox
edge      the stand-in for a UDP server of another node: takes the answers
exchange  all of these of one node
away      the process of a UDP server whose receiver is on another node; forwarding: what takes its datagrams
sessions  the process of a UDP server with sessions; session_table: which node gets a datagram; ways: the ways there
members   the nodes that take part in sessions; pins: the owners that a node remembers
moving    sessions that move to another node with their state
"""
