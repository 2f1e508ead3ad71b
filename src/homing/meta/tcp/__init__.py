"""The parts that TCP server and TCP client are composed of.

frames      the kinds of frames, and the contract of a framing of your own; decoding: their decoders
messages    MessageTCP, MessageTCPConnect, MessageTCPDisconnect; reasons: why connections end; errors: at a caller
limits      the options that servers and clients have in common
counters    TCPStatistics
tls         the options of TLS, and certificates that are read again; info: facts about a connection
table       which connections are there, and how many each source has
connection  one connection, as a protocol of asyncio
inflow      the way of frames into a mailbox; outflow: the way from a mailbox to the connections
hub         what the connections of one server or client have in common: counters, times, rates, their end
travelling  the messages on their way to other nodes of a cluster
half_closed  connections whose peer has ended its side
closing     the way of `message.close()` to the server
"""
