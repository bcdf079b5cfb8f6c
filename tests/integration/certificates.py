"""Certificates for a test, made by the openssl command, and a TLS client whose every step can be held back."""
import socket
import ssl
import subprocess
from typing import NamedTuple

from wire import TIMEOUT, Client


class Pair(NamedTuple):
    certificate: str
    key: str


class Certificates:
    """An authority and what it signed; another one that nobody trusts."""

    def __init__(self, directory):
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.authority = self._make('authority')
        self.other_authority = self._make('other-authority')
        self.server = self._make('server', self.authority, 'IP:127.0.0.1,DNS:localhost')
        self.client = self._make('client', self.authority, 'DNS:client')
        self.stranger = self._make('stranger', self.other_authority, 'DNS:stranger')

    def _make(self, name, by=None, alt=None):
        pair = Pair(str(self.directory / f'{name}.pem'), str(self.directory / f'{name}.key'))
        command = ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days',
                   '30', '-subj', f'/CN={name}', '-out', pair.certificate, '-keyout', pair.key]
        if by:
            command += ['-CA', by.certificate, '-CAkey', by.key, '-addext', f'subjectAltName={alt}', '-addext',
                        'basicConstraints=critical,CA:FALSE']
        subprocess.run(command, check=True, capture_output=True)
        return pair

    def listener(self, client_ca=False):
        """Keys of [listener]."""
        keys = {'tls_certificate': self.server.certificate, 'tls_key': self.server.key}
        if client_ca:
            keys['tls_client_ca'] = self.authority.certificate
        return keys

    def context(self, show=None, trust=None, version=None):
        """A client's: it trusts the authority, shows a Pair or nothing, and speaks one version if it is named."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations((trust or self.authority).certificate)
        if show:
            context.load_cert_chain(show.certificate, show.key)
        if version:
            context.set_ciphers('ALL:@SECLEVEL=0')  # else this client refuses old versions itself
            context.minimum_version = context.maximum_version = version
        return context


class TlsSocket:
    """A socket's methods over TLS. shutdown() ends the sending side by close_notify alone, which ssl.SSLSocket can't.
    piece: most bytes of the TLS stream in one TCP segment. ragged: the daemon has cut the connection without
    close_notify."""

    def __init__(self, sock, context, piece=None):
        self.sock, self.piece, self.ragged = sock, piece, False
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname='127.0.0.1')
        try:
            self._wait(self.tls.do_handshake)
        finally:
            self._flush()  # the alert, if it failed

    def _flush(self):
        data = self.outgoing.read()
        piece = self.piece or len(data) or 1
        for at in range(0, len(data), piece):
            self.sock.sendall(data[at:at + piece])

    def _wait(self, call, *args):
        while True:
            try:
                return call(*args)
            except ssl.SSLWantReadError:
                self._flush()
                chunk = self.sock.recv(65536)
                if chunk:
                    self.incoming.write(chunk)
                else:
                    self.incoming.write_eof()

    def settimeout(self, seconds):
        self.sock.settimeout(seconds)

    def sendall(self, data):
        self.tls.write(data)
        self._flush()

    def recv(self, size):
        try:
            return self._wait(self.tls.read, size)
        except ssl.SSLZeroReturnError:
            return b''
        except ssl.SSLEOFError:
            self.ragged = True
            return b''

    def shutdown(self, _how):
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:  # for the daemon's own close_notify
            pass
        self._flush()

    def cut(self):
        """Ends the connection as one without TLS would."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()


class TlsClient(Client):
    def __init__(self, address, context, source=None, piece=None, before=b''):
        super().__init__(address, source)
        self.sock.settimeout(TIMEOUT)
        try:
            if before:
                self.sock.sendall(before)
            self.sock = TlsSocket(self.sock, context, piece)
        except BaseException:
            self.sock.close()
            raise
