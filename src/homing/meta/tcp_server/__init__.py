"""The TCP server.

server     TCPServer, create_tcp_server; options: TCPServerOptions; listening: makes the server's socket
phase      the life of a server, as one table
accepting  accepts connections, as far as there is room for them
both       the UDP server on the same port; both_options: its options
reconfigure  changes limits while it runs
reload     the request to read the certificate again
lingering  servers that outlive their owner and wait for a successor
facts      the answer to an inspection
workers    the server's own pool of workers
peers      a process for each connection; peer_table: their parent; peer: the connection as its process sees it
"""
