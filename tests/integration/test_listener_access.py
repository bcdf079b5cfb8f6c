"""Who may send: tokens, allow, connections by address, the PROXY protocol; and what the log says of the others."""
import ipaddress
import re
import socket
import struct
import time

import pytest

import payloads
from certificates import Certificates, TlsClient
from daemon import udp, write_config
from scenario import reply_to, two_vpcs
from wire import FRAMINGS, SLOW, TIMEOUT, Client, error_code

TOKENS = ('first-token-7f3a', 'second-token-91bc')
WRONG = 'wrong-token-00'
LOG_LINE = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (error|warning|info|debug): [^\x00-\x1f\x7f-\x9f]*\Z')


@pytest.fixture
def listener(start, sink, tmp_path):
    """listener(tokens=(), **keys of [listener]) → a daemon."""
    def start_listener(tokens=(), log_level='info', **keys):
        if tokens:
            path = tmp_path / 'tokens'
            path.write_text('# who may send\n' + '\n'.join(tokens) + '\n')
            path.chmod(0o600)
            keys['token_file'] = path
        config = write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs(), keys, {'log_level': log_level})
        return start(['-c', config])
    return start_listener


def wait_for_log(daemon, words):
    deadline = time.monotonic() + TIMEOUT
    while words not in daemon.stderr:
        assert time.monotonic() < deadline, f'no "{words}" in:\n{daemon.stderr}'
        time.sleep(0.02)


def unauthorised(client):
    reply = client.line()
    assert error_code(reply) == 401 and reply.startswith('ERR 401 not authorised: '), reply
    assert client.closed()


# ---- tokens ----

@pytest.mark.parametrize('token', TOKENS)
def test_a_token_of_the_file_lets_in(listener, generator, token):
    lines = generator.mixed_lines(5)
    with Client(listener(TOKENS).address) as client:
        client.send(f'AUTH {token}\n'.encode())
        assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
        assert client.send(f'AUTH {token}\r\n'.encode()).ping() == 'PONG'


def test_the_token_may_come_byte_by_byte_and_with_the_payload(listener, generator):
    address = listener(TOKENS).address
    lines = generator.mixed_lines(3)
    document = payloads.simple_document(lines)
    stream = f'PING\n AUTH {TOKENS[1]}\n'.encode() + b'DATA %d\n' % len(document) + document
    with Client(address) as client:
        assert client.send(stream).lines(2) == ['PONG', reply_to(lines)]
    with Client(address) as client:
        for byte in stream:
            client.send(bytes([byte]))
        assert client.lines(2) == ['PONG', reply_to(lines)]


@pytest.mark.parametrize('sent', (WRONG, TOKENS[0][:-1], TOKENS[0] + 'x', TOKENS[0].upper(), TOKENS[0] + ' ', '#', 'x' * 512,
                                  '# who may send', TOKENS[0] + ' ' + TOKENS[1], 'x' * 600, ''))
def test_a_wrong_token_is_401_and_closes(listener, sent):
    daemon = listener(TOKENS)
    with Client(daemon.address) as client:
        client.send(f'AUTH {sent}\n'.encode())
        unauthorised(client)
        own = '%s:%d' % client.sock.getsockname() if client.sock.fileno() >= 0 else '127.0.0.1:'
    wait_for_log(daemon, f'{own}: refused: 401 not authorised: ')
    if len(sent) > 3:
        assert sent not in daemon.stderr


@pytest.mark.parametrize('name', FRAMINGS)
def test_no_payload_is_taken_before_the_token(listener, sink, generator, name):
    daemon = listener(TOKENS)
    with Client(daemon.address) as client:
        client.send(FRAMINGS[name].wrap(payloads.simple_document(generator.mixed_lines(5))))
        unauthorised(client)
    assert 'a payload before AUTH' in daemon.stderr
    time.sleep(0.1)
    assert not sink.flows()


def test_nothing_of_a_large_payload_is_kept_before_the_token(listener):
    with Client(listener(TOKENS, max_payload='64M').address) as client:
        client.send(b'DATA 60000000\n')
        unauthorised(client)


@pytest.mark.parametrize('sent', (b'DATA 99999999999999\n', b'DATA x\n', b'!', b'\x16\x03\x01'))
def test_what_is_malformed_before_the_token_is_401_too(listener, sent):
    with Client(listener(TOKENS).address) as client:
        client.send(sent)
        unauthorised(client)


def test_a_wrong_token_behind_a_right_one_ends_the_connection(listener, generator):
    lines = generator.mixed_lines(3)
    document = payloads.simple_document(lines)
    with Client(listener(TOKENS).address) as client:
        client.send(f'AUTH {TOKENS[0]}\n'.encode() + b'DATA %d\n' % len(document) + document + b'AUTH no\n')
        assert client.line() == reply_to(lines)
        unauthorised(client)


def test_who_shows_no_token_in_time_is_closed(listener):
    daemon = listener(TOKENS, handshake_timeout='600ms')
    with Client(daemon.address) as silent, Client(daemon.address) as pinging, Client(daemon.address) as good:
        good.send(f'AUTH {TOKENS[0]}\n'.encode())
        assert pinging.ping() == 'PONG'
        unauthorised(silent)
        unauthorised(pinging)
        time.sleep(0.3)
        assert good.ping() == 'PONG'
    assert 'no AUTH within 600 ms' in daemon.stderr


def test_without_tokens_auth_is_ignored(listener, generator):
    lines = generator.mixed_lines(3)
    with Client(listener().address) as client:
        client.send(b'AUTH whatever\n')
        assert client.ask(payloads.simple_document(lines)) == reply_to(lines)


def resident_kib(daemon):
    with open(f'/proc/{daemon.pid}/status', encoding='ascii') as status:
        return int(status.read().split('VmRSS:')[1].split()[0])


def test_ten_thousand_wrong_tokens_cost_a_few_log_lines(listener, generator):
    daemon = listener(TOKENS)
    began, before = time.monotonic(), 0
    for n in range(10000):
        with Client(daemon.address, f'127.1.{n >> 8}.{n & 255 or 1}') as client:
            client.send(b'AUTH wrong-%d\n' % n)
            assert error_code(client.line()) == 401
        if n == 1000:
            before = resident_kib(daemon)
    windows = (time.monotonic() - began) / 10 + 2
    lines = [line for line in daemon.stderr.splitlines() if '401' in line]
    assert 5 <= len(lines) <= 5 * windows
    assert 'more like it were held back' in daemon.stderr or windows < 3
    if SLOW == 1:  # sanitizers keep freed memory
        assert resident_kib(daemon) - before < 4 << 10
    with Client(daemon.address) as client:
        good = generator.mixed_lines(3)
        client.send(f'AUTH {TOKENS[1]}\n'.encode())
        assert client.ask(payloads.simple_document(good)) == reply_to(good)


# ---- allow ----

def test_only_the_networks_of_allow_may_connect(listener):
    daemon = listener(allow='127.0.5.0/24, 127.0.6.1, ::1')
    for source in ('127.0.5.1', '127.0.5.255', '127.0.6.1'):
        with Client(daemon.address, source) as client:
            assert client.ping() == 'PONG'
    for source in ('127.0.0.1', '127.0.6.2', '127.0.4.255'):
        with Client(daemon.address, source) as client:
            assert client.closed()
            own = '%s:%d' % client.sock.getsockname()
        wait_for_log(daemon, f'{own}: is in no network of allow')


def test_thousands_of_denied_connections_cost_a_few_log_lines(listener):
    daemon = listener(allow='127.0.5.0/24')
    began = time.monotonic()
    for _ in range(2000):
        with Client(daemon.address) as client:
            assert client.closed()
    assert daemon.stderr.count('is in no network of allow') <= 5 * ((time.monotonic() - began) / 10 + 2)
    with Client(daemon.address, '127.0.5.9') as client:
        assert client.ping() == 'PONG'


# ---- connections by address ----

def wait_for_place(address, source):
    deadline = time.monotonic() + TIMEOUT
    while True:
        with Client(address, source) as client:
            if client.send(b'PING\n').line() == 'PONG':
                return
        assert time.monotonic() < deadline


def test_an_address_has_so_many_connections_and_no_more(listener):
    daemon = listener(max_connections_per_address=2)
    with Client(daemon.address, '127.0.0.5') as one, Client(daemon.address, '127.0.0.5') as two:
        assert one.ping() == two.ping() == 'PONG'
        for _ in range(100):
            with Client(daemon.address, '127.0.0.5') as three:
                reply = three.line()
                assert error_code(reply) == 503 and 'your address' in reply
        with Client(daemon.address, '127.0.0.6') as other:
            assert other.ping() == 'PONG'
        assert one.ping() == two.ping() == 'PONG'
        two.close()
        wait_for_place(daemon.address, '127.0.0.5')
    assert 'max_connections_per_address' in daemon.stderr


def test_those_that_are_refused_take_nobody_elses_place(listener):
    daemon = listener(max_connections_per_address=1, max_connections=4)
    greedy = [Client(daemon.address, '127.0.0.5') for _ in range(100)]
    try:
        for source in ('127.0.0.6', '127.0.0.7'):
            with Client(daemon.address, source) as client:
                assert client.ping() == 'PONG'
    finally:
        for client in greedy:
            client.close()


# ---- PROXY protocol ----

SIGNATURE = b'\r\n\r\n\0\r\nQUIT\n'
BALANCER = '127.0.9.9'


def proxy_header(source, port=4711, command=1, kind=None, more=b''):
    address = ipaddress.ip_address(source)
    to = ipaddress.ip_address('192.0.2.1' if address.version == 4 else '2001:db8::1')
    if kind is None:
        kind = 0x11 if address.version == 4 else 0x21
    block = address.packed + to.packed + struct.pack('>HH', port, 20555) + more
    return SIGNATURE + struct.pack('>BBH', 0x20 | command, kind, len(block)) + block


@pytest.mark.parametrize('source, shown', (('203.0.113.7', '203.0.113.7:4711'), ('2001:db8::7', '[2001:db8::7]:4711')))
def test_the_address_in_the_header_is_the_senders(listener, generator, source, shown):
    daemon = listener(proxy_from=BALANCER)
    lines = generator.mixed_lines(3)
    with Client(daemon.address, BALANCER) as client:
        client.send(proxy_header(source))
        assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
        assert error_code(client.ask(b'{"messageType":')) == 400
        client.send(b'!')
        assert error_code(client.line()) == 400
    wait_for_log(daemon, f'{shown}: payload refused, 400')
    wait_for_log(daemon, f'{shown}: refused: 400')
    assert BALANCER not in daemon.stderr


def test_header_and_payload_in_single_bytes(listener, generator):
    lines = generator.mixed_lines(1)
    document = payloads.simple_document(lines)
    with Client(listener(proxy_from='127.0.9.0/24').address, BALANCER) as client:
        for byte in proxy_header('203.0.113.7', more=b'\x04\0\x03abc') + b'DATA %d\n' % len(document) + document:
            client.send(bytes([byte]))
        assert client.line() == reply_to(lines)


def test_a_balancer_may_speak_for_itself(listener):
    daemon = listener(proxy_from=BALANCER, max_connections_per_address=1)
    for header in (proxy_header('203.0.113.7', command=0), SIGNATURE + b'\x20\0\0\0', SIGNATURE + b'\x21\0\0\0'):
        with Client(daemon.address, BALANCER) as client:
            deadline = time.monotonic() + TIMEOUT
            while client.send(header + b'!').line() is None or 'refused: 400' not in daemon.stderr:
                assert time.monotonic() < deadline
            assert f'{BALANCER}:' in daemon.stderr
        wait_for_gone(daemon, header)


def wait_for_gone(daemon, header):
    """The next connection of the balancer's own address is taken again."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        with Client(daemon.address, BALANCER) as client:
            if client.send(header + b'PING\n').line() == 'PONG':
                return
        assert time.monotonic() < deadline


WRONG_HEADERS = {
    'none': b'PING\n',
    'TLS': b'\x16\x03\x01\x02\x00\x01',
    'version 1': b'PROXY TCP4 203.0.113.7 192.0.2.1 4711 20555\r\nPING\n',
    'version 3': SIGNATURE + b'\x31\x11\0\x0c' + b'\1' * 12,
    'UDP': proxy_header('203.0.113.7', kind=0x12),
    'UNIX': SIGNATURE + b'\x21\x31\0\xd8' + b'/' * 216,
    'too short': SIGNATURE + b'\x21\x11\0\x04abcd',
    'too long': SIGNATURE + b'\x21\x11\xff\xff',
    'checksum': proxy_header('203.0.113.7', more=b'\x03\0\x04abcd'),
    'control characters': b'\r\n\r\n\x1b[31m',
}


@pytest.mark.parametrize('name', WRONG_HEADERS)
def test_a_wrong_header_closes_without_a_reply(listener, name):
    daemon = listener(proxy_from=BALANCER)
    with Client(daemon.address, BALANCER) as client:
        client.send(WRONG_HEADERS[name])
        assert client.closed()
        own = '%s:%d' % client.sock.getsockname() if name == 'none' else BALANCER
    wait_for_log(daemon, own)
    assert re.search(r'PROXY (protocol version 2 )?header', daemon.stderr)


def test_others_headers_are_garbage(listener):
    daemon = listener(proxy_from=BALANCER, allow='127.0.0.1, 203.0.113.7')
    with Client(daemon.address) as client:
        client.send(proxy_header('203.0.113.7') + b'PING\n')
        assert error_code(client.line()) == 400
        assert client.closed()


def test_a_header_that_does_not_come_in_time(listener):
    daemon = listener(proxy_from=BALANCER, handshake_timeout='500ms')
    with Client(daemon.address, BALANCER) as silent, Client(daemon.address, BALANCER) as half:
        half.send(SIGNATURE + b'\x21\x11\0\x0cabcd')
        assert silent.closed() and half.closed()
    wait_for_log(daemon, 'no PROXY header within 500 ms')


def test_health_checks_that_only_connect_are_no_news(listener):
    daemon = listener(proxy_from=BALANCER)
    for _ in range(20):
        with Client(daemon.address, BALANCER):
            pass
    with Client(daemon.address, BALANCER) as client:
        assert client.send(proxy_header('203.0.113.7')).ping() == 'PONG'
    assert BALANCER not in daemon.stderr


def test_allow_is_about_the_sender_behind_the_balancer(listener):
    daemon = listener(proxy_from=BALANCER, allow='203.0.113.0/24')
    with Client(daemon.address, BALANCER) as client:
        assert client.send(proxy_header('203.0.113.7')).ping() == 'PONG'
    with Client(daemon.address, BALANCER) as client:
        assert client.send(proxy_header('198.51.100.7') + b'PING\n').closed()
    wait_for_log(daemon, '198.51.100.7:4711: is in no network of allow')
    with Client(daemon.address, BALANCER) as client:  # for itself
        assert client.send(proxy_header('203.0.113.7', command=0) + b'PING\n').closed()
    with Client(daemon.address) as client:
        assert client.closed()


def test_connections_are_counted_by_the_sender_behind_the_balancer(listener):
    daemon = listener(proxy_from=BALANCER, max_connections_per_address=1)
    with Client(daemon.address, BALANCER) as one, Client(daemon.address, BALANCER) as two:
        assert one.send(proxy_header('203.0.113.7')).ping() == 'PONG'
        assert two.send(proxy_header('203.0.113.8')).ping() == 'PONG'
        with Client(daemon.address, BALANCER) as three:
            assert error_code(three.send(proxy_header('203.0.113.7', port=4712)).line()) == 503
        with Client(daemon.address, BALANCER) as four, Client(daemon.address, BALANCER) as five:
            assert four.send(proxy_header('2001:db8:0:7::1')).ping() == 'PONG'
            assert error_code(five.send(proxy_header('2001:db8:0:7:ffff::2')).line()) == 503


def test_header_then_tls_then_token(listener, generator, tmp_path):
    certificates = Certificates(tmp_path / 'certificates')
    daemon = listener(TOKENS, proxy_from=BALANCER, **certificates.listener(client_ca=True))
    context = certificates.context(certificates.client)
    lines = generator.mixed_lines(3)
    for piece in (None, 1):
        with TlsClient(daemon.address, context, BALANCER, piece, proxy_header('203.0.113.7')) as client:
            client.send(f'AUTH {TOKENS[0]}\n'.encode())
            assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
    with TlsClient(daemon.address, context, BALANCER, before=proxy_header('203.0.113.7')) as client:
        client.send(b'AUTH wrong\n')
        unauthorised(client)
    wait_for_log(daemon, '203.0.113.7:4711: refused: 401 not authorised')
    with Client(daemon.address, BALANCER) as client:
        client.send(proxy_header('203.0.113.7') + b'PING\n')
        try:
            assert client.sock.recv(1) in (b'', b'\x15')
        except ConnectionResetError:
            pass
    wait_for_log(daemon, '203.0.113.7:4711: no TLS: ')


# ---- the log ----

FORGED = '\r\n2026-01-01T00:00:00Z info: all is well\x1b[2J\x07\x9b31m\x7f'.encode('latin-1')
HOSTILE = {
    'AUTH': b'AUTH ' + FORGED + b'\n',
    'AUTH with a carriage return': b'AUTH x\rinfo: forged\x1b[0m\n',
    'DATA': b'DATA 1\x1b]0;forged\x07\n',
    'first byte': b'\x1b' + FORGED,
    'second byte of gzip': b'\x1f\n',
    'behind JSON': b'{}\x1b',
    'line': b'2 1 eni-' + FORGED,
    'JSON': b'{"messageType":"' + FORGED + b'"}',
}


@pytest.mark.parametrize('tokens', ((), TOKENS), ids=('open', 'with tokens'))
def test_nothing_a_peer_sends_forges_a_log_line(listener, tokens):
    daemon = listener(tokens, log_level='debug', proxy_from=BALANCER)
    document = payloads.json.dumps({'messageType': 'DATA_MESSAGE', 'owner': FORGED.decode('latin-1'),
                                    'logGroup': FORGED.decode('latin-1'), 'logStream': FORGED.decode('latin-1'),
                                    'subscriptionFilters': ['x'], 'logEvents': [
                                        {'id': '1', 'timestamp': 1, 'message': FORGED.decode('latin-1')}]}).encode()
    for sent in [*HOSTILE.values(), b'DATA %d\n' % len(document) + document, document + b'\n']:
        for start_with in (b'', b'AUTH ' + TOKENS[0].encode() + b'\n'):
            with Client(daemon.address) as client:
                client.send(start_with + sent)
                client.sock.shutdown(socket.SHUT_WR)
                while client.line() is not None:
                    pass
    with Client(daemon.address, BALANCER) as client:
        assert client.send(FORGED).closed()
    daemon.stop()
    with open(daemon.stderr_path, 'rb') as log:
        for line in log.read().decode().split('\n')[:-1]:
            assert LOG_LINE.match(line), repr(line)
            assert not line.split(': ', 1)[1].startswith('all is well')
    for token in TOKENS:
        assert token not in daemon.stderr
