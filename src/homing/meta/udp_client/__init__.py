"""The UDP client.

client          UDPClient, create_udp_client; options: UDPClientOptions, UDPRequest
phase           the life of a client, as one table
connection      the client's socket, and the peer's address
destination     tries the peer's addresses in order, and looks the peer's name up again
exchange        the parts of a started client: sender, reader, requests
request         one request; requests: sends and repeats requests; replies: finds the request that a datagram answers;
                outcomes: the open requests, and how each of them ends
ports           several exchanges, each by a local port of its own; guesses: counts wrong replies, and raises the alarm
request_ids     draws the ids of requests, and restores those of the callers (RequestId)
questions       questions that several requests share
open_requests   the open requests, by peer and key
ended_requests  the last requests that have ended, to recognize late and double replies
icmp_reports    ICMP errors, which fail requests once all datagrams that came before were read; icmp_failures: fails the
                requests that they are about
statistics      the counters
"""
