"""Larger or surer than one datagram: plain objects for a handler, without sockets and clocks. The time is an argument.

assembler  Assembler: joins numbered chunks, bounded on every side
sources    how much each source holds, and which one holds most
counters   the counters of both
chunk      Chunk, a numbered part of a message; gelf_chunk reads those of GELF
inflate    decompresses up to a limit
dedupe     Dedupe: refuses duplicates and old sequence numbers
stream     the window of one stream of sequence numbers
arguments  checks of payloads, keys and times
"""
