"""The wire protocol's client side: one connection, and each framing of docs/protocol.md."""
import contextlib
import os
import re
import socket
import time
from typing import NamedTuple

import payloads

SLOW = float(os.environ.get('VPCFLOWD_SLOW') or 1)
if SLOW == 1 and os.environ.get('VPCFLOWD_SLOW'):
    SLOW = 5  # VPCFLOWD_SLOW=1 only says that it is slow
TIMEOUT = 10 * SLOW

OK = re.compile(r'OK exported=(\d+) skipped=(\d+) rejected=(\d+) duplicate=([01])\Z')
ERR = re.compile(r'ERR ([45]\d\d) (\S.*)\Z')


class Reply(NamedTuple):
    exported: int
    skipped: int
    rejected: int
    duplicate: int


def ok(exported, skipped=0, rejected=0):
    return f'OK exported={exported} skipped={skipped} rejected={rejected} duplicate=0'


DUPLICATE = 'OK exported=0 skipped=0 rejected=0 duplicate=1'


def error_code(line):
    """The code of an ERR line, or 0 for any other line."""
    match = ERR.match(line or '')
    return int(match[1]) if match else 0


class Client:
    def __init__(self, address, source=None):
        self.sock = socket.create_connection(address, TIMEOUT, source_address=source and (source, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b''

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)
        return self

    def finish(self):
        """No more will be sent; replies can still be read."""
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def data(self, payload):
        return self.send(b'DATA %d\n' % len(payload) + payload)

    def line(self, timeout=TIMEOUT):
        """The next reply line without its newline; None if the daemon closed the connection instead."""
        deadline = time.monotonic() + timeout
        while b'\n' not in self.buffer:
            self.sock.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                chunk = self.sock.recv(65536)
            except ConnectionResetError:
                chunk = b''
            if not chunk:
                assert not self.buffer, f'connection closed in the middle of a reply: {self.buffer!r}'
                return None
            self.buffer += chunk
        line, self.buffer = self.buffer.split(b'\n', 1)
        return line.decode()

    def lines(self, count):
        return [self.line() for _ in range(count)]

    def closed(self, timeout=TIMEOUT):
        """True once the daemon has closed the connection without a further word."""
        return self.line(timeout) is None

    def silent(self, seconds):
        """True if nothing arrives for this long, and the connection stays open."""
        if self.buffer:
            return False
        self.sock.settimeout(seconds)
        try:
            self.buffer += self.sock.recv(65536)
            return False
        except (TimeoutError, socket.timeout):
            return True

    def ask(self, payload):
        """One counted payload, its reply."""
        return self.data(payload).line()

    def ping(self):
        return self.send(b'PING\n').line()


def lambda_2016(address, document):
    """The 2016 article's Lambda: connect, write one bare JSON document, close, read nothing."""
    with socket.create_connection(address, TIMEOUT) as sock:
        sock.sendall(document)


class Framing(NamedTuple):
    """How a document travels. wrap: document bytes → bytes on the wire. closes: the end of stream ends the payload, so
    it needs a connection of its own."""
    wrap: object
    closes: bool = False


def _counted(encode):
    def wrap(document):
        payload = encode(document)
        return b'DATA %d\n' % len(payload) + payload
    return wrap


FRAMINGS = {
    **{f'DATA, {name}': Framing(_counted(encode)) for name, encode in payloads.ENCODINGS.items()},
    'bare JSON and newline': Framing(lambda d: d + b'\n'),
    'bare JSON and CR LF': Framing(lambda d: d + b'\r\n'),
    'bare JSON and close': Framing(lambda d: d, True),
    'bare base64 and newline': Framing(lambda d: payloads.ENCODINGS['base64 of gzip'](d) + b'\n'),
    'bare base64url, unpadded, and newline':
        Framing(lambda d: payloads.ENCODINGS['base64url of gzip, unpadded'](d) + b'\n'),
    'bare base64 of JSON and newline': Framing(lambda d: payloads.ENCODINGS['base64'](d) + b'\n'),
    'bare base64 and close': Framing(payloads.ENCODINGS['base64 of gzip'], True),
    'bare gzip and close': Framing(payloads.ENCODINGS['gzip'], True),
    'bare gzip members and close': Framing(payloads.ENCODINGS['gzip members'], True),
}


class Sender:
    """Sends documents by any framing: one connection stays open for those that allow it."""

    def __init__(self, address):
        self.address = address
        self.kept = Client(address)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kept.close()

    def send(self, framing, document):
        """The reply line."""
        framing = FRAMINGS[framing] if isinstance(framing, str) else framing
        if not framing.closes:
            return self.kept.send(framing.wrap(document)).line()
        with Client(self.address) as client:
            reply = client.send(framing.wrap(document)).finish().line()
            assert client.closed(), 'the daemon left the connection open'
            return reply


@contextlib.contextmanager
def many_clients(address, count):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Client(address)) for _ in range(count)]
