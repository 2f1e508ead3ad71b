"""The UDP client.

client          UDPClient, create_udp_client; options: UDPClientOptions, UDPRequest
phase           the life of a client, as one table
connection      its socket, and the peer's address
exchange        all that a started client has: sender, reader, requests
request         one request; requests: which is sent again, and which reply answers which
open_requests   those that are open, by peer and key
ended_requests  those that have ended, so that late and double replies are known
icmp_reports    ICMP errors, which fail requests when all datagrams before them were read
statistics      the counters
"""
