"""TLS on the listener: who gets in, who does not, and payloads and replies as without it."""
import gzip
import os
import socket
import ssl
import subprocess
import threading
import time

import pytest

import flows
import payloads
from certificates import Certificates, TlsClient
from daemon import udp, write_config
from scenario import reply_to, two_vpcs
from wire import FRAMINGS, SLOW, TIMEOUT, Client, error_code

pytestmark = pytest.mark.filterwarnings('ignore:ssl.TLSVersion:DeprecationWarning')  # old ones are what is tested

OLD = {'TLS 1.0': ssl.TLSVersion.TLSv1, 'TLS 1.1': ssl.TLSVersion.TLSv1_1}
GOOD = {'TLS 1.2': ssl.TLSVersion.TLSv1_2, 'TLS 1.3': ssl.TLSVersion.TLSv1_3}


@pytest.fixture(scope='module')
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp('certificates'))


@pytest.fixture
def listener(start, sink, tmp_path, certificates):
    """listener(client_ca=False, **keys of [listener]) → a daemon that speaks TLS."""
    def start_listener(client_ca=False, **keys):
        keys = {**certificates.listener(client_ca), **keys}
        return start(['-c', write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs(), keys)])
    return start_listener


def wait_for_log(daemon, words):
    deadline = time.monotonic() + TIMEOUT
    while words not in daemon.stderr:
        assert time.monotonic() < deadline, f'no "{words}" in:\n{daemon.stderr}'
        time.sleep(0.02)


# ---- who gets in ----

@pytest.mark.parametrize('version', GOOD)
def test_tls_1_2_and_1_3_are_taken(listener, certificates, generator, version):
    lines = generator.mixed_lines(5)
    with TlsClient(listener().address, certificates.context(version=GOOD[version])) as client:
        assert client.ping() == 'PONG'
        assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
        name, protocol, _ = client.sock.tls.cipher()
        assert protocol == version.replace(' ', 'v')
        assert 'GCM' in name or 'CHACHA20' in name


@pytest.mark.parametrize('version', OLD)
def test_older_versions_are_refused(listener, certificates, version):
    daemon = listener()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        TlsClient(daemon.address, certificates.context(version=OLD[version]))
    wait_for_log(daemon, 'no TLS: the peer speaks only old versions: TLS 1.2 or 1.3 is needed')


@pytest.mark.parametrize('option, taken', [('-tls1', False), ('-tls1_1', False), ('-tls1_2', True), ('-tls1_3', True)])
def test_what_openssl_s_client_gets(listener, certificates, option, taken):
    host, port = listener().address
    command = ['openssl', 's_client', '-connect', f'{host}:{port}', '-CAfile', certificates.authority.certificate,
               '-verify_return_error', '-cipher', 'ALL:@SECLEVEL=0', '-brief', option]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as client:
        client.stdin.write(b'PING\n')
        client.stdin.flush()
        answer = client.stdout.readline()
        client.stdin.close()
        assert answer == (b'PONG\n' if taken else b'')
        assert (client.wait(TIMEOUT) == 0) == taken


@pytest.mark.parametrize('cipher', ('ECDHE-ECDSA-AES128-SHA', 'ECDHE-ECDSA-AES256-SHA384', 'AES128-GCM-SHA256'))
def test_ciphers_without_aead_or_forward_secrecy_are_refused(listener, certificates, cipher):
    daemon = listener()
    context = certificates.context(version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(f'{cipher}:@SECLEVEL=0')
    with pytest.raises(ssl.SSLError):
        TlsClient(daemon.address, context)
    wait_for_log(daemon, 'the peer offers no cipher that is taken here')


@pytest.mark.parametrize('version', GOOD)
def test_a_client_certificate_is_enforced(listener, certificates, version):
    daemon = listener(client_ca=True)
    with TlsClient(daemon.address, certificates.context(certificates.client, version=GOOD[version])) as client:
        assert client.ping() == 'PONG'
    for show, why in ((None, 'the peer showed no certificate'), (certificates.stranger, 'is not from an authority in ')):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            with TlsClient(daemon.address, certificates.context(show, version=GOOD[version])) as client:
                client.send(b'PING\n')  # TLS 1.3 tells the client with its first answer
                assert client.line() is None
                raise ConnectionError('closed')
        wait_for_log(daemon, why)


def test_a_client_that_does_not_trust_the_authority_leaves(listener, certificates):
    daemon = listener()
    with pytest.raises(ssl.SSLCertVerificationError):
        TlsClient(daemon.address, certificates.context(trust=certificates.other_authority))
    wait_for_log(daemon, 'the peer does not know the authority of our certificate')


@pytest.mark.parametrize('sent', (b'PING\n', b'DATA 5\nhello', b'{"messageType":"DATA_MESSAGE"}\n', b'H4sIAAAAAAAA\n',
                                  b'GET / HTTP/1.1\r\n\r\n', b'\x1f\x8b\x08' + b'\0' * 50),
                         ids=('PING', 'DATA', 'JSON', 'base64', 'HTTP', 'gzip'))
def test_plain_text_is_closed_without_a_reply(listener, sent):
    daemon = listener()
    with Client(daemon.address) as client:
        client.send(sent)
        while True:
            try:
                answer = client.sock.recv(1000)
            except ConnectionResetError:
                break
            if not answer:
                break
            assert answer[0] == 21, 'only a TLS alert may come'
    wait_for_log(daemon, 'no TLS: ')
    assert '127.0.0.1:' in daemon.stderr.split('no TLS: ')[0]


def test_a_handshake_that_is_not_done_in_time_ends(listener, certificates):
    daemon = listener(handshake_timeout='700ms')
    half_hello = b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'
    with Client(daemon.address) as silent, Client(daemon.address) as slow:
        began = time.monotonic()
        slow.send(half_hello)
        with TlsClient(daemon.address, certificates.context()) as client:
            assert client.ping() == 'PONG'
            assert silent.closed() and slow.closed()
            assert time.monotonic() - began > 0.6
            time.sleep(0.3)
            assert client.ping() == 'PONG'
    wait_for_log(daemon, 'no TLS handshake within 700 ms (handshake_timeout)')


def test_a_certificate_that_cannot_be_used_stops_the_start(certificates, sink, tmp_path, vpcflowd):
    keys = {'tls_certificate': certificates.server.certificate, 'tls_key': certificates.client.key}
    path = write_config(tmp_path, {'sink': udp(sink.port)}, two_vpcs(), keys)
    result = subprocess.run([vpcflowd, '-c', path], capture_output=True, timeout=TIMEOUT, check=False)
    assert result.returncode != 0
    assert b'does not belong to the (first) certificate' in result.stderr


def test_many_failed_handshakes_cost_few_log_lines(listener, certificates):
    daemon = listener()
    for _ in range(200):
        with Client(daemon.address) as client:
            client.send(b'PING\n').finish()
            while client.sock.recv(100):
                pass
    assert daemon.stderr.count('no TLS: ') <= 5 * (1 + SLOW * 6)
    with TlsClient(daemon.address, certificates.context()) as client:
        assert client.ping() == 'PONG'


# ---- payloads and replies ----

@pytest.fixture
def connect(listener, certificates):
    """connect(version=…, piece=…) → a client of one daemon."""
    daemon = listener(max_payload='64M', max_inflated='128M')
    connect.daemon = daemon
    clients = []

    def connect_client(version=None, **more):
        clients.append(TlsClient(daemon.address, certificates.context(version=version), **more))
        return clients[-1]
    connect_client.daemon = daemon
    yield connect_client
    for client in clients:
        client.close()


@pytest.mark.parametrize('name', FRAMINGS)
def test_every_framing(connect, generator, name):
    lines = generator.mixed_lines(20)
    client = connect()
    client.send(FRAMINGS[name].wrap(payloads.simple_document(lines)))
    if FRAMINGS[name].closes:
        client.finish()
    assert client.line() == reply_to(lines)


def test_a_record_for_each_byte(connect, generator):
    lines = generator.mixed_lines(3)
    document = payloads.simple_document(lines)
    client = connect()
    for byte in b'DATA %d\n' % len(document) + document + b'PING\n':
        client.sock.tls.write(bytes([byte]))
    client.send(b'\n')
    assert client.lines(2) == [reply_to(lines), 'PONG']


@pytest.mark.parametrize('version', GOOD)
def test_a_segment_for_each_byte(connect, generator, version):
    lines = generator.mixed_lines(3)
    client = connect(GOOD[version], piece=1)
    assert client.ask(gzip.compress(payloads.simple_document(lines))) == reply_to(lines)
    client.finish()
    assert client.closed()


@pytest.mark.parametrize('version', GOOD)
def test_large_payloads(connect, sink, generator, version):
    client = connect(GOOD[version])
    for n in (3000, 20000):
        lines = generator.mixed_lines(n)
        assert client.ask(payloads.simple_document(lines)) == reply_to(lines)
    lines = generator.mixed_lines(10)
    padded = payloads.simple_document(lines) + b' ' * (30 << 20)
    assert client.ask(padded) == reply_to(lines)
    sink.wait_for(flows.expected(lines))


def test_pipelined_payloads_are_answered_in_order(connect, generator):
    batches = [generator.mixed_lines(1 + n % 7) for n in range(600)]
    stream = b''.join(b'DATA %d\n' % len(p) + p for p in map(payloads.simple_document, batches))
    client = connect()
    sender = threading.Thread(target=client.send, args=(stream,))
    sender.start()
    sender.join()
    assert client.lines(len(batches)) == [reply_to(lines) for lines in batches]


def test_replies_wait_for_a_client_that_does_not_read(connect):
    client = connect()
    count = 200000
    sender = threading.Thread(target=client.sock.sock.sendall, args=(_encrypted(client, b'PING\n' * count),))
    sender.start()
    time.sleep(0.3)
    got = 0
    while got < 5 * count:
        chunk = client.sock.recv(1 << 16)
        assert chunk
        got += len(chunk)
    sender.join()
    assert client.ping() == 'PONG'


def _encrypted(client, data):
    client.sock.tls.write(data)
    return client.sock.outgoing.read()


def test_the_end_of_tls_ends_a_bare_payload_and_the_reply_still_comes(connect, generator):
    lines = generator.mixed_lines(5)
    client = connect()
    client.send(payloads.simple_document(lines)).finish()
    assert client.line() == reply_to(lines)
    assert client.closed()
    assert not client.sock.ragged, 'the daemon must say close_notify too'


def test_a_connection_that_is_cut_ends_no_payload(connect, sink, generator):
    lines, whole = generator.mixed_lines(5), generator.mixed_lines(4)
    client = connect()
    assert client.ask(payloads.simple_document(whole)) == reply_to(whole)
    client.send('\n'.join(lines).encode() + b'\n2 1234')
    assert client.lines(len(lines)) is not None
    client.sock.cut()
    with pytest.raises(ssl.SSLError):  # the alert
        client.line()
    wait_for_log(connect.daemon, 'cut the connection without ending TLS in order (close_notify); a payload that had not '
                                 'ended is not taken')


def test_a_reset_in_mid_payload_hurts_nobody_else(connect, generator):
    client, other = connect(), connect()
    client.send(b'DATA 1000\n' + b'x' * 500)
    client.sock.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
    client.close()
    lines = generator.mixed_lines(5)
    assert other.ask(payloads.simple_document(lines)) == reply_to(lines)


def test_garbage_within_tls_records_ends_the_connection(connect):
    client, other = connect(), connect()
    client.sock.sock.sendall(b'\x17\x03\x03\x00\x20' + os.urandom(32))
    with pytest.raises((ssl.SSLError, ConnectionError)):
        assert client.line() is None
        raise ConnectionError('closed')
    assert other.ping() == 'PONG'


def test_errors_close_as_without_tls(connect):
    client = connect()
    client.send(b'DATA 100000000000\n')
    assert error_code(client.line()) == 413
    assert client.closed() and not client.sock.ragged
    client = connect()
    client.send(b'!')
    assert error_code(client.line()) == 400
    assert client.closed()


def test_idle_connections_end_and_say_so(listener, certificates):
    daemon = listener(idle_timeout='500ms')
    with TlsClient(daemon.address, certificates.context()) as client:
        assert client.closed()
        assert not client.sock.ragged


def test_stopping_answers_what_was_taken(listener, certificates, generator):
    daemon = listener()
    lines = generator.mixed_lines(2000)
    with TlsClient(daemon.address, certificates.context()) as client:
        client.data(payloads.simple_document(lines))
        assert client.line() == reply_to(lines)
        daemon.stop()
        assert client.closed()
