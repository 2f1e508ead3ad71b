"""DTLS 1.2, on OpenSSL's memory buffers (the extra `dtls`).

server, client    DTLSServer, DTLSClient, create_dtls_server, create_dtls_client; client_statistics: the client's
                  counters
options           DTLSServerOptions, DTLSClientOptions
messages          MessageSessionUp, MessageSessionDown, CloseSession, and the reasons for which sessions end
endpoint          the socket: what it receives was decrypted; queue: what it sends will be encrypted
server_sessions   the sessions of a server, by address; client_session: the one of a client
timetable         one timer for all handshakes of a socket; rate: how many begin in a second
listener          the stateless exchange of a cookie
session           one session: bytes in, bytes out, time as an argument
counters          what has happened: DTLSStatistics
records           records as they are on the wire
security          keys and certificates, as an OpenSSL context; identity: the name in a certificate; psk: pre-shared
                  keys, by private bindings
library           imports OpenSSL when it is needed
"""
