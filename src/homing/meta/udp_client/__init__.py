"""The UDP client.

client          UDPClient, create_udp_client; options: UDPClientOptions, UDPRequest
phase           the life of a client, as one table
connection      its socket, and the peer's address
destination     the peer's addresses, one after the other; its name, looked up again
exchange        all that a started client has: sender, reader, requests
request         one request; requests: which is sent, and sent again; replies: which datagram answers which;
                outcomes: those that are open, and how each ends
ports           several exchanges, each by a local port of its own; guesses: wrong replies, and the alarm
open_requests   those that are open, by peer and key
ended_requests  those that have ended, so that late and double replies are known
icmp_reports    ICMP errors, which fail requests when all datagrams before them were read
statistics      the counters
"""
