"""Well-formed datagrams of clients, from which the fuzzers begin: for each server, by its name."""

from __future__ import annotations

QUERIES = (
    b"\0\7\1\0\0\1\0\0\0\0\0\0\3www\7example\0\0\1\0\1",
    bytes.fromhex(
        "0007010000010000000000010474657874076578616d706c65000010000100002904d000000000000c000a00080001020304050607"
    ),  # dig
)

SEEDS: dict[str, tuple[bytes, ...]] = {
    "nameserver": QUERIES,
    "forwarder": (
        *QUERIES,
        b"\0\7\x81\x80\0\1\0\1\0\0\0\0\3one\7example\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1",
    ),
    "stun": (
        b"\0\1\0\0\x21\x12\xa4\x42" + bytes(range(12)),  # turnutils_stunclient
        b"\0\1\0\x08" + bytes(range(16)) + b"\0\3\0\4\0\0\0\0",  # stun, a client of RFC 3489
        b"\0\1\0\x08\x21\x12\xa4\x42" + bytes(12) + b"\x80\x28\0\4\xb2\xaa\xf9\xf6",
        b"hello",
    ),
    "ntp": (
        b"\x23\0\6\x20" + bytes(36) + bytes.fromhex("8f3ad1c25e7b9a01"),  # chronyd
        b"\xdb\0\x0a\xfa" + bytes(44),  # version 3
    ),
    "tftp": (
        b"\0\1name.txt\0octet\0tsize\x000\0blksize\x00512\0timeout\x006\0",  # curl
        b"\0\2remote.txt\0octet\0",  # tftp
    ),
    "radius": (
        bytes.fromhex(
            "013e004ba192fd2c9037fffee07a1f782167262a0107616c696365021231cd2c2785df53e4188328f1b6460e1b04067f"
            "000001050600000000501208d7e200852b58a536545792ecbac44f"
        ),  # radtest
        bytes.fromhex(
            "01ad004c1f5581157ce129232544bb70327717860107616c6963650313268a0a55d8b0f7555b0899bc544e018b8f0406"
            "7f00000105060000000050122d726694ec098acceca2c11802e21b15"
        ),  # radtest -t chap
    ),
    "coap": (
        b"\x41\1\x1c\x6c\1\x60\x12\x8b\x85\x44time",  # coap-client -s 1
        b"\x41\1\x90\xba\1\x72\x94\x5c\x45large\xc1\x12",
        b"\x41\3\x2c\x8f\1\x72\xc1\x7c\x45store\xd1\3\x0a\xd1\x14\x64\xd4\xdb\xa3\xda\x30\xa1\xff" + b"0" * 64,
        b"\x40\0\0\1",
    ),
    "snmptrap": (
        bytes.fromhex(
            "305902010104067075626c6963a74c020437d375a2020100020100303e300e06082b06010201010300430204d2301706"
            "0a2b06010603010104010006092b06010603010105033013060a2b060102010202010102040568656c6c6f"
        ),  # snmptrap -v 2c
        bytes.fromhex(
            "304302010104067075626c6963a63602045e03f1a70201000201003028300d06082b060102010103004301013017060a"
            "2b06010603010104010006092b0601060301010503"
        ),  # snmpinform
        bytes.fromhex(
            "303702010004067075626c6963a42a06062b06010401094004010203040201060201114301643011300f060a2b060102"
            "010202010101020101"
        ),  # snmptrap -v 1
    ),
    "sip": (
        b"REGISTER sip:127.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:34494;branch=z9hG4bK.3a132ed;rport\r\n"
        b"From: sip:a@127.0.0.1:5060;tag=5a622001\r\nTo: sip:a@127.0.0.1:5060\r\nCall-ID: 1516380161@127.0.0.1\r\n"
        b"CSeq: 1 REGISTER\r\nContent-Length: 0\r\nExpires: 15\r\nContact: sip:a@127.0.0.1:6000\r\n\r\n",  # sipsak
        b"INVITE sip:a@b SIP/2.0\r\nv: SIP/2.0/UDP c;branch=z9hG4bK1\r\nf: <sip:d@e>;tag=1\r\nt: <sip:a@b>\r\ni: 1\r\n"
        b"CSeq: 2 INVITE\r\nl: 5\r\n\r\nv=0\r\n",
    ),
    "game": (b"5 5", b" 999  0\n"),
    "syslog": (
        b"<34>Oct 11 22:14:15 host su[7]: failed",
        b'<165>1 2003-10-11T22:14:15.003Z host app 42 ID47 [a b="c\\"]"][d] \xef\xbb\xbftext',
        b"<38>2026-12-01T12:49:23 localhost prg00000[1234]: seq: 0000293251, thread: 0000 PADD",  # loggen
    ),
    "netflow": (
        b"\0\5\0\1" + bytes(20) + bytes(range(48)),
        b"\0\x09\0\2"
        + bytes(16)  # a template, and a record
        + b"\0\0\0\x14\1\0\0\3\0\x08\0\4\0\1\0\4\0\2\0\2"
        + b"\1\0\0\x10\xc0\0\2\1\0\0\1\0\0\1\0\0",
        b"\0\x0a\0\x3c"
        + bytes(12)  # IPFIX, with an enterprise's own element
        + b"\0\2\0\x1c\1\1\0\4\0\x1b\0\x10\0\1\0\1\0\2\0\1\x80\1\0\1\0\0\0\1"
        + b"\1\1\0\x10"
        + bytes(12),
        b"\0\x0a\0\x2c" + bytes(12) + b"\0\3\0\x12\1\2\0\2\0\1\0\x95\0\4\0\x22\0\4" + b"\1\2\0\x0a" + bytes(6),
    ),
    "statsd": (
        b"page.views:1|c|@0.5|#site:shop,flag",  # datadog
        b"load:-0.5|g",
        b"wait:12|ms|@0.1",
        b"user:ann|s",
        b"size:3e2|h",
    ),
}
