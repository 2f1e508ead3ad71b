"""The UDP client.

client          UDPClient, create_udp_client; options: UDPClientOptions, UDPRequest
requests        open requests, and which reply answers which; ended_requests: those that have ended
reader          from the socket to the requests
statistics      the counters
"""
