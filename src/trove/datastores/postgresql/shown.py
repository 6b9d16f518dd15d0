"""What certificate a server shows. Source: "SSL Session Encryption" in the chapter on the protocol in PostgreSQL's manual."""

import contextlib
import socket
import ssl
import struct

_SSL_REQUEST = struct.pack("!II", 8, 80877103)
_TIMEOUT_S = 10.0


def shown_certificate(address: str, port: int) -> bytes | None:
    """Return the certificate as DER, empty when the server has no TLS; None when nobody is let in at that address now."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with contextlib.closing(socket.create_connection((address, port), timeout=_TIMEOUT_S)) as plain:
            plain.sendall(_SSL_REQUEST)
            if plain.recv(1) != b"S":
                return b""
            with context.wrap_socket(plain) as wrapped:
                return wrapped.getpeercert(binary_form=True) or b""
    except ConnectionRefusedError:
        return None
    except OSError:  # as errors of TLS are, too
        return b""
