"""The UDP server.

server          UDPServer, create_udp_server; options: UDPServerOptions; opening: opens its socket
phase           the life of a server, as one table
state           all that a server has, which moves whole to a successor
reconfigure     changes options while the server runs; former_sockets: sockets that it had before
protection      allow and deny lists, rate limits, pacing
adoption        servers that outlive their owner and wait for a successor
workers         the server's own pool of workers
"""
