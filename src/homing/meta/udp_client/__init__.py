"""The UDP client.

client          UDPClient, create_udp_client; options: UDPClientOptions, UDPRequest
phase           the life of a client, as one table
connection      its socket, and the peer's address
exchange        all that a started client has: sender, reader, requests
request         one request; requests: the open ones, and which reply answers which
ended_requests  those that have ended, so that late and double replies are known
icmp_reports    ICMP errors, which fail requests when all datagrams before them were read
statistics      the counters
"""
