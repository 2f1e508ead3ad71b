"""A DTLS echo server with a pre-shared key, or with a certificate.

python examples/dtls_echo.py 5684 0123456789abcdef
openssl s_client -dtls1_2 -connect 127.0.0.1:5684 -psk_identity sensor-7 -psk 0123456789abcdef

python examples/dtls_echo.py 5684 server.pem server.key
openssl s_client -dtls1_2 -connect 127.0.0.1:5684 -CAfile ca.pem -verify_return_error
"""

import sys

import homing
from homing import act, meta


class Echo(act.Actor):
    async def init(self, port, *files):
        if len(files) == 2:
            keys = {"certificate": files[0], "key": files[1]}
        else:
            keys = {"psk": {"sensor-7": bytes.fromhex(files[0])}}
        server = await meta.listen_dtls(self, host="127.0.0.1", port=port, notify=self.pid, **keys)
        print("listening on port", server.local_address[1], flush=True)

    def handle_message(self, sender, message):
        match message:
            case meta.MessageUDP(data=data, info=info):
                print(info.identity, "sent", len(data), "bytes", flush=True)
                self.reply(message, b"OK: " + data)
            case meta.MessageSessionDown(identity=identity, reason=reason):
                print(identity, "has left:", reason, flush=True)


if __name__ == "__main__":
    homing.run(Echo, int(sys.argv[1]), *sys.argv[2:])
