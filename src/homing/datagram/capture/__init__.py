"""Captures of datagrams: files in the formats pcap and pcapng. Knows nothing of sockets.

options   Tap: what a server records, and where to
packets   the headers of IP and UDP that a recorded datagram gets
blocks    the blocks of a pcapng file, as bytes
file      CaptureFile: the file of a tap, which ends or is rotated when it is full
writer    Writer: writes the file in a thread of its own, behind a bounded queue
tapping   Tapping: the running tap of a server; ears and mouths of its sockets
reading   Capture: reads the datagrams of a file; classic: reads pcap; modern: reads pcapng
frames    takes a datagram out of a frame of Ethernet, Linux cooked, raw IP or loopback; source: bytes of a file

A module imports only the modules below its own place in this order: tapping, writer, file, blocks, packets, options;
reading, then modern, classic, source and frames.
"""
