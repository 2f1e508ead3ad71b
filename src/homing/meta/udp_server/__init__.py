"""The UDP server.

server          UDPServer, create_udp_server; options: UDPServerOptions; opening: opens the server's socket
phase           the life of a server, as one table
state           everything that a server owns; it moves as a whole to a successor
reconfigure     changes options while the server runs; former_sockets: the server's previous sockets
protection      allow and deny lists, rate limits, pacing
shape           markers of losses
validating      tells a server that an address was proven
adoption        servers that outlive their owner and wait for a successor
workers         the server's own pool of workers; peers: the table of its peers
elsewhere       receivers on other nodes of a cluster: the contract
"""
