"""The TCP client.

client      TCPClient, create_tcp_client; options: TCPClientOptions
phase       the life of a client, as one table
connecting  makes the connection
replies     the way of the frames, which goes to requests first
requests    requests that wait for their answers, which come in the order of the requests
"""
