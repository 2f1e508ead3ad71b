"""What all meta-processes that own a UDP socket have in common.

udp_socket     sends, reports failures, counts, closes
outgoing       takes what is sent to the alias from the mailbox
counters       the counters of one socket, and of several together
error_reports  tells `on_error` of datagrams that were not sent
buffer_pool    BufferPool; buffer_lease: how its buffers go to datagrams and come back
"""
