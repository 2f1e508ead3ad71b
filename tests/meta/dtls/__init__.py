"""Tests of DTLS: sessions without sockets, servers and clients, and programs of others."""
